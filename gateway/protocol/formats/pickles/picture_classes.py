"""The names of PIL's picture classes that a pickle may use: exact names, each for the same inert stand-in."""

# Without EPS, WMF and MPEG files: PIL alone cannot decode them.
_OF_PIL = (
    *("Avif", "Blp", "Bmp", "Cur", "Dcx", "Dds", "Fits", "Fli", "Ftex", "Gbr", "Gif", "Icns", "Ico", "Im"),
    *("Imt", "Iptc", "Jpeg", "Jpeg2K", "McIdas", "Mic", "Mpo", "Msp", "Pcd", "Pcx", "Pixar", "Png", "Ppm"),
    *("Psd", "Qoi", "Sgi", "Spider", "Sun", "Tga", "Tiff", "WebP", "XVThumb", "Xbm", "Xpm"),
)

PICTURE_CLASSES = frozenset(
    {
        ("PIL.Image", "Image"),
        *((f"PIL.{name}ImagePlugin", f"{name}ImageFile") for name in _OF_PIL),
        ("PIL.BmpImagePlugin", "DibImageFile"),
        # Common plug-ins.
        ("pillow_avif.AvifImagePlugin", "AvifImageFile"),
        ("pillow_heif.as_plugin", "AvifImageFile"),
        ("pillow_heif.as_plugin", "HeifImageFile"),
    }
)
"""Module and name of each."""
