"""Image files: no header makes cv2 decode a larger picture than was checked."""

import io
from contextlib import suppress

import cv2
import numpy as np
import PIL.Image

from gateway.errors import ImageError
from gateway.image_headers import image_header
from gateway.images import as_frame
from gateway.protocol.messages import ImageFile

MAX_BYTES = 1024
MAX_PIXELS = 10_000


def _seed(kind: str, **how: object) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.linear_gradient("L").resize((13, 5)).convert("RGB").save(buffer, kind, **how)
    return buffer.getvalue()


# The decoders' own coverage is not seen, so that good files would be dropped from the corpus.
SEEDS = (
    _seed("PNG"),
    _seed("BMP"),
    _seed("JPEG"),
    _seed("JPEG", progressive=True),
    _seed("WEBP"),
    _seed("WEBP", lossless=True),
    _seed("WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0"),
)


def check(data: bytes) -> None:
    """Fail on any exception but an ImageError, and on a size that the header did not tell."""
    with suppress(ImageError):
        as_frame(ImageFile(data, may_be_raw=False), MAX_PIXELS)
    header = image_header(data)
    if header is None or header.width * header.height > MAX_PIXELS:
        return
    with suppress(cv2.error):
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert bgr is None or sorted(bgr.shape[:2]) == sorted((header.width, header.height))
