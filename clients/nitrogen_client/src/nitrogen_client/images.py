"""Images as they are given to `predict`, and what of them is sent: pixels, or a file as it is."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from nitrogen_client.errors import ArgumentError, ImageError, UnsupportedError

RESIZE_MODES = ("pad", "crop", "stretch")
FRAME_SIZE = (256, 256)
# The modes that convert to RGB without a choice of range.
_PIL_MODES = frozenset({"RGB", "RGBA", "RGBX", "L", "LA", "P", "PA", "1", "CMYK", "YCbCr"})
_WANTED = "send uint8 RGB pixels of shape (H, W, 3), a PIL image, or an image file's bytes"

GivenImage = Union[NDArray[np.uint8], bytes, bytearray, memoryview, Any]


@dataclass(frozen=True)
class Pixels:
    """Pixels, which the server stretches to 256x256.

    Attributes:
        array: (H, W, 3), (H, W) or (H, W, 4) uint8.
    """

    array: NDArray[np.uint8]


@dataclass(frozen=True)
class ImageFile:
    """An image file, which the server decodes.

    Attributes:
        resize_mode: None for the server's default, "pad".
    """

    data: bytes
    resize_mode: str | None


Image = Union[Pixels, ImageFile]


def read_image(image: GivenImage, resize_mode: str | None = None) -> Image:
    """Return what is sent of an image.

    Args:
        image: pixels, a PIL image, or a file's bytes.
        resize_mode: how a file is brought to 256x256; pixels are always stretched.

    Raises:
        ImageError: the image has a type, dtype, shape or mode that no server takes.
        ArgumentError: the mode is unknown, or given with pixels.
    """
    if resize_mode is not None and resize_mode not in RESIZE_MODES:
        raise ArgumentError(f"resize_mode must be one of {', '.join(RESIZE_MODES)}; it is {resize_mode!r}")
    if isinstance(image, (bytes, bytearray, memoryview)):
        if len(image) == 0:
            raise ImageError(f"the image has no bytes; {_WANTED}")
        return ImageFile(bytes(image), resize_mode)
    if resize_mode not in (None, "stretch"):
        raise ArgumentError(
            f"resize_mode={resize_mode!r} is for image files; pixels are stretched: pad or crop them first"
        )
    if isinstance(image, np.ndarray):
        return Pixels(_checked(image))
    if _is_pil(image):
        return Pixels(_pil_pixels(image))
    raise ImageError(f"the image is a {type(image).__name__}; {_WANTED}")


def decoded(file: ImageFile) -> Pixels:
    """Return a file's pixels, for servers that take no files.

    Raises:
        UnsupportedError: Pillow is not installed, or the picture has to be resized as such servers do not.
        ImageError: the bytes are not an image file.
    """
    try:
        import PIL.Image  # noqa: PLC0415 - optional, and only wanted here
    except ImportError:
        raise UnsupportedError(
            "this server takes pixels, not image files: install Pillow, or give predict() an array"
        ) from None
    try:
        with PIL.Image.open(io.BytesIO(file.data)) as image:
            pixels = np.asarray(image.convert("RGB"))
    except Exception as error:  # Pillow raises whatever its decoders do
        raise ImageError(f"the image's {len(file.data)} bytes are not an image file ({error})") from error
    if pixels.shape[:2] != FRAME_SIZE and file.resize_mode != "stretch":
        height, width = pixels.shape[:2]
        raise UnsupportedError(
            f"this server only stretches pictures, and this one has {width}x{height} pixels: give "
            'resize_mode="stretch", or send 256x256 pixels'
        )
    return Pixels(pixels)


def _checked(array: NDArray[Any]) -> NDArray[np.uint8]:
    is_picture = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if array.dtype != np.uint8 or not is_picture or array.size == 0:
        raise ImageError(f"the image has dtype {array.dtype} and shape {array.shape}; {_WANTED}")
    return np.ascontiguousarray(array)


def _is_pil(image: object) -> bool:
    # Who has a PIL image has imported PIL; without one there is no need for it.
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(image, module.Image)


def _pil_pixels(image: Any) -> NDArray[np.uint8]:  # noqa: ANN401 - Pillow need not be installed
    if image.mode not in _PIL_MODES:
        raise ImageError(f"a PIL image of mode {image.mode!r} cannot be sent: send image.convert('RGB')")
    return _checked(np.asarray(image if image.mode == "RGB" else image.convert("RGB")))
