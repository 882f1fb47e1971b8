"""Image files' kinds and sizes, read from their headers before a decoder sees them.

Layouts: PNG and its IHDR (W3C PNG), JPEG's markers (ITU-T T.81, annex B), BITMAPINFOHEADER (Microsoft), RIFF
WebP (RFC 9649). Files of other kinds never reach cv2's decoders.
"""

import re
import struct
from dataclasses import dataclass
from typing import Literal

# Ordinary progressive files have about ten scans; each is a pass over all pixels for a few dozen bytes.
MAX_JPEG_SCANS = 32
MAX_JPEG_SEGMENTS = 1000

_NO_FILL = re.compile(rb"[^\xff]")
_START_OF_SCAN = b"\xff\xda"
# Baseline, extended and progressive frames, Huffman or arithmetic: what libjpeg decodes.
_FRAME_MARKERS = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
_MARKERS_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_MARKERS_OUT_OF_PLACE = frozenset({0xD8, 0xD9, 0xDA})

Data = bytes | bytearray


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """An image file's header; sizes in pixels, before EXIF turns the picture."""

    kind: Literal["PNG", "JPEG", "BMP", "WebP"]
    width: int
    height: int


def image_header(data: Data) -> ImageHeader | None:
    """Return an image file's header, or None if it is not a PNG, JPEG, BMP or WebP file."""
    head = bytes(data[:32])
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(head)
    if head.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if head.startswith(b"BM"):
        return _bmp(head)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _webp(head)
    return None


def _png(head: bytes) -> ImageHeader | None:
    if len(head) < 24 or head[12:16] != b"IHDR":
        return None
    return _header("PNG", *struct.unpack_from(">II", head, 16))


def _bmp(head: bytes) -> ImageHeader | None:
    if len(head) < 26:
        return None
    (header_bytes,) = struct.unpack_from("<I", head, 14)
    width, height = struct.unpack_from("<HH" if header_bytes == 12 else "<ii", head, 18)
    return _header("BMP", width, abs(height))


def _webp(head: bytes) -> ImageHeader | None:
    if len(head) < 30:
        return None
    chunk = head[12:16]
    if chunk == b"VP8X":
        width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (24, 27))
    elif chunk == b"VP8L" and head[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", head, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif chunk == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = (size & 0x3FFF for size in struct.unpack_from("<HH", head, 26))
    else:
        return None
    return _header("WebP", width, height)


def _jpeg(data: Data) -> ImageHeader | None:
    """Return the size in the first frame's marker, which libjpeg uses, too."""
    if data.count(_START_OF_SCAN) > MAX_JPEG_SCANS:
        return None
    at = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        # A marker is one or more 0xFF and a byte other than 0; bytes before it are skipped.
        fill = data.find(b"\xff", at)
        end = None if fill < 0 else _NO_FILL.search(data, fill)
        if end is None:
            return None
        marker, at = data[end.start()], end.end()
        if marker == 0 or marker in _MARKERS_ALONE:
            continue
        if marker in _MARKERS_OUT_OF_PLACE or at + 7 > len(data):
            return None
        if marker in _FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", data, at + 3)
            return _header("JPEG", width, height)
        at += int.from_bytes(data[at : at + 2], "big")
    return None


def _header(kind: Literal["PNG", "JPEG", "BMP", "WebP"], width: int, height: int) -> ImageHeader | None:
    return ImageHeader(kind, width, height) if width > 0 and height > 0 else None
