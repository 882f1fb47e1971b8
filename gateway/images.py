"""Images to frames: every client's picture becomes (256, 256, 3) uint8 RGB.

Import this module before any other that imports cv2: cv2 reads its size limits when it is loaded.
"""

import os
from typing import cast

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from gateway.errors import ImageError
from gateway.protocol.messages import (
    FRAME_BYTES,
    FRAME_SHAPE,
    FRAME_SIDE,
    Image,
    ImageFile,
    Pixels,
    RawFrame,
    ResizeMode,
)

MAX_IMAGE_PIXELS = 2**25
# Also bounds what padding to a square and PIL's resize in two passes can allocate.
MAX_IMAGE_SIDE = 2**13

# cv2 compares the header's size with these before it allocates or decodes the pixels.
os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(MAX_IMAGE_PIXELS)
os.environ["OPENCV_IO_MAX_IMAGE_WIDTH"] = str(MAX_IMAGE_SIDE)
os.environ["OPENCV_IO_MAX_IMAGE_HEIGHT"] = str(MAX_IMAGE_SIDE)

import cv2  # noqa: E402 # after its limits

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

Frame = NDArray[np.uint8]


def to_frame(image: Image) -> Frame:
    """The frame that the model sees: (256, 256, 3) uint8 RGB, C-contiguous, possibly read-only.

    `Pixels` are stretched by PIL's antialiased BILINEAR. `ImageFile`s are decoded by cv2, brought to a square
    by their resize mode and then resized by INTER_AREA. What is 256x256 already is not resized.

    Raises:
        ImageError: bytes that are no image, or an image beyond MAX_IMAGE_SIDE or MAX_IMAGE_PIXELS.
    """
    match image:
        case Pixels(rgb):
            return _stretch_pixels(rgb)
        case RawFrame(data):
            return _raw_frame(data)
        case ImageFile(data, resize_mode, may_be_raw):
            bgr = _decode(data)
            if bgr is not None:
                # The channels are swapped last: a resize treats each alone, and 256x256 is less to move.
                return cast(Frame, cv2.cvtColor(_resize(bgr, resize_mode), cv2.COLOR_BGR2RGB))
            if may_be_raw and len(data) == FRAME_BYTES:
                return _raw_frame(data)
            raise ImageError(
                f"the {len(data)} image bytes do not decode; send a PNG, JPEG or BMP file of at most "
                f"{MAX_IMAGE_PIXELS} pixels and {MAX_IMAGE_SIDE} a side, or {FRAME_BYTES} bytes of raw RGB"
            )


def _raw_frame(data: bytes) -> Frame:
    if len(data) != FRAME_BYTES:
        raise ImageError(f"a raw frame has {FRAME_BYTES} bytes (256x256 RGB), not {len(data)}")
    return np.frombuffer(data, np.uint8).reshape(FRAME_SHAPE)


def _stretch_pixels(rgb: Frame) -> Frame:
    if rgb.shape == FRAME_SHAPE:
        return np.ascontiguousarray(rgb)
    if _is_too_large(rgb):
        height, width, _ = rgb.shape
        raise ImageError(
            f"the image is {width}x{height}; send at most {MAX_IMAGE_PIXELS} pixels, {MAX_IMAGE_SIDE} a side"
        )
    picture = PIL.Image.fromarray(np.ascontiguousarray(rgb))
    return np.array(picture.resize((FRAME_SIDE, FRAME_SIDE), PIL.Image.Resampling.BILINEAR))


def _decode(data: bytes) -> Frame | None:
    """An image file's pixels: (H, W, 3) uint8 BGR, or None when cv2 cannot or may not decode it."""
    if not data:
        return None
    try:
        bgr = cast(Frame | None, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    except cv2.error:  # an image beyond the limits, or a header that an assertion refuses
        return None
    # Tested again, because cv2 has no limits when something else in the process loaded it first.
    return None if bgr is None or _is_too_large(bgr) else bgr


def _is_too_large(pixels: Frame) -> bool:
    height, width, _ = pixels.shape
    return bool(max(height, width) > MAX_IMAGE_SIDE or height * width > MAX_IMAGE_PIXELS)


def _resize(pixels: Frame, mode: ResizeMode) -> Frame:
    """Pad, crop or stretch (H, W, 3) pixels to a frame's size."""
    height, width, _ = pixels.shape
    if mode == "pad" and height != width:
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        square = np.zeros((side, side, 3), np.uint8)
        square[top : top + height, left : left + width] = pixels
        pixels = square
    elif mode == "crop":
        side = min(height, width)
        top, left = max(0, height // 2 - side // 2), max(0, width // 2 - side // 2)
        pixels = pixels[top : top + side, left : left + side]
    if pixels.shape == FRAME_SHAPE:
        return np.ascontiguousarray(pixels)
    return cast(Frame, cv2.resize(pixels, (FRAME_SIDE, FRAME_SIDE), interpolation=cv2.INTER_AREA))
