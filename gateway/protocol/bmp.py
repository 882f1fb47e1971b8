"""Tells a BMP file at the start of a byte stream from a raw frame that happens to begin with "BM".

The layout is BITMAPFILEHEADER (14 bytes) followed by BITMAPCOREHEADER (12) or one of the BITMAPINFOHEADER
family, as in Microsoft's "Bitmap Header Types".
"""

import struct

NEED_MORE_BYTES = 0
MAX_SIDE = 2**15
MAX_TRAILING_BYTES = 2**16

_FILE_HEADER = struct.Struct("<2sIHHII")  # with the DIB header's size, which follows it
_CORE_HEADER = struct.Struct("<HHHH")
_INFO_HEADER = struct.Struct("<iiHHI")
_CORE_HEADER_BYTES = 12
_INFO_HEADER_BYTES = frozenset({40, 52, 56, 108, 124})
_BI_RGB = 0
_BITFIELDS = frozenset({3, 6})


def bmp_size(head: bytes | bytearray | memoryview) -> int | None:
    """Return the size in bytes of the BMP file that starts with `head`.

    It knows uncompressed 24-bit and 32-bit files, bottom-up or top-down, with any pixel offset. The header's
    fields must agree with one another.

    Returns:
        The file's size; None for another kind of file; NEED_MORE_BYTES (0) while `head` is too short to tell.
        34 bytes are always enough, and no BMP file is shorter.
    """
    if bytes(head[:2]) != b"BM"[: len(head)]:
        return None
    if len(head) < _FILE_HEADER.size:
        return NEED_MORE_BYTES
    _, size, reserved1, reserved2, offset, dib_bytes = _FILE_HEADER.unpack_from(head)
    if reserved1 or reserved2:
        return None
    if dib_bytes == _CORE_HEADER_BYTES:
        if len(head) < _FILE_HEADER.size + _CORE_HEADER.size:
            return NEED_MORE_BYTES
        width, height, planes, depth = _CORE_HEADER.unpack_from(head, _FILE_HEADER.size)
        compression = _BI_RGB
    elif dib_bytes in _INFO_HEADER_BYTES:
        if len(head) < _FILE_HEADER.size + _INFO_HEADER.size:
            return NEED_MORE_BYTES
        width, height, planes, depth, compression = _INFO_HEADER.unpack_from(head, _FILE_HEADER.size)
    else:
        return None
    known = planes == 1 and (
        (depth == 24 and compression == _BI_RGB)
        or (depth == 32 and (compression == _BI_RGB or compression in _BITFIELDS))
    )
    if not known or not 0 < width <= MAX_SIDE or not 0 < abs(height) <= MAX_SIDE:
        return None
    row_bytes = (width * depth + 31) // 32 * 4
    end_of_pixels = offset + row_bytes * abs(height)
    if offset < 14 + dib_bytes or not end_of_pixels <= size <= end_of_pixels + MAX_TRAILING_BYTES:
        return None
    return int(size)
