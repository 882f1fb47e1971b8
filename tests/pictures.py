"""Pictures for the requests, and the frames that the protocols make of them, computed without the gateway."""

import io

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def picture(number: int, height: int = 256, width: int = 256) -> Picture:
    """A picture (H, W, 3) like no other number's: blocks of noise of 8 pixels, over a gradient."""
    rng = np.random.default_rng([number, height, width])
    blocks = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    noise = blocks.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    gradient = np.linspace(0, 60, width, dtype=np.uint8)[np.newaxis, :, np.newaxis]
    return noise // 4 * 3 + gradient


def image_file(rgb: Picture, file_format: str = "PNG") -> bytes:
    """The picture as an image file."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(rgb).save(buffer, file_format)
    return buffer.getvalue()


def stretched_by_pil(rgb: Picture) -> Picture:
    """Port 5555: a plain antialiased stretch."""
    return np.array(PIL.Image.fromarray(rgb).resize((256, 256), PIL.Image.Resampling.BILINEAR))


def resized_by_cv2(rgb: Picture, mode: str) -> Picture:
    """Port 5556: to a square by the mode, then INTER_AREA."""
    height, width = rgb.shape[:2]
    if mode == "pad":
        side = max(height, width)
        above, left = (side - height) // 2, (side - width) // 2
        around = ((above, side - height - above), (left, side - width - left), (0, 0))
        rgb = np.pad(rgb, around)
    elif mode == "crop":
        side = min(height, width)
        above, left = max(0, height // 2 - side // 2), max(0, width // 2 - side // 2)
        rgb = rgb[above : above + side, left : left + side]
    if rgb.shape[:2] == (256, 256):
        return np.ascontiguousarray(rgb)
    return np.asarray(cv2.resize(rgb, (256, 256), interpolation=cv2.INTER_AREA))


def decoded_by_cv2(data: bytes) -> Picture:
    """An image file's RGB pixels as port 5556 decodes it."""
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.ascontiguousarray(bgr[:, :, ::-1])
