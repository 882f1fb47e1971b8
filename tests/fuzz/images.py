"""Image files: no header makes cv2 decode a larger picture than was checked."""

from contextlib import suppress

import cv2
import numpy as np

from gateway.errors import ImageError
from gateway.image_headers import image_header
from gateway.images import to_frame
from gateway.protocol.messages import ImageFile

MAX_BYTES = 1024
MAX_PIXELS = 10_000


def check(data: bytes) -> None:
    """Fail on any exception but an ImageError, and on a size that the header did not tell."""
    with suppress(ImageError):
        to_frame(ImageFile(data, may_be_raw=False), MAX_PIXELS)
    header = image_header(data)
    if header is None or header.width * header.height > MAX_PIXELS:
        return
    with suppress(cv2.error):
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert bgr is None or sorted(bgr.shape[:2]) == sorted((header.width, header.height))
