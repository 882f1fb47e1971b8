"""Images to frames: every client's picture becomes (256, 256, 3) uint8 RGB."""

import math
from typing import cast

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from contract.tensors import FRAME_BYTES, FRAME_SHAPE, FRAME_SIDE
from gateway.errors import ImageError
from gateway.image_headers import image_header
from gateway.protocol.messages import Image, ImageFile, Pixels, RawFrame, ResizeMode

MAX_IMAGE_PIXELS = 2**25

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

Frame = NDArray[np.uint8]


def to_frame(image: Image, max_pixels: int = MAX_IMAGE_PIXELS) -> Frame:
    """The frame that the model sees: (256, 256, 3) uint8 RGB, C-contiguous, possibly read-only.

    `Pixels` are stretched by PIL's antialiased BILINEAR. `ImageFile`s are decoded by cv2, brought to a square
    by their resize mode and then resized by INTER_AREA. What is 256x256 already is not resized.

    `max_pixels`: the largest image; padded to a square it may have twice as many. A file's header is compared
    with it before the file is decoded.

    Raises:
        ImageError: bytes that are no PNG, JPEG, BMP or WebP file, or an image beyond the limits.
    """
    match image:
        case Pixels(rgb):
            return _stretch_pixels(rgb, max_pixels)
        case RawFrame(data):
            return _raw_frame(data)
        case ImageFile(data, resize_mode, may_be_raw):
            try:
                bgr = _decode(data, max_pixels)
            except ImageError:
                if may_be_raw and len(data) == FRAME_BYTES:
                    return _raw_frame(data)
                raise
            # The channels are swapped last: a resize treats each alone, and 256x256 is less to move.
            return cast(Frame, cv2.cvtColor(_resize(bgr, resize_mode), cv2.COLOR_BGR2RGB))


def _raw_frame(data: bytes | bytearray) -> Frame:
    if len(data) != FRAME_BYTES:
        raise ImageError(f"a raw frame has {FRAME_BYTES} bytes (256x256 RGB), not {len(data)}")
    return np.frombuffer(data, np.uint8).reshape(FRAME_SHAPE)


def _stretch_pixels(rgb: Frame, max_pixels: int) -> Frame:
    if rgb.shape == FRAME_SHAPE:
        return np.ascontiguousarray(rgb)
    height, width, _ = rgb.shape
    _check_size(width, height, max_pixels)
    picture = PIL.Image.fromarray(np.ascontiguousarray(rgb))
    return np.array(picture.resize((FRAME_SIDE, FRAME_SIDE), PIL.Image.Resampling.BILINEAR))


def _decode(data: bytes | bytearray, max_pixels: int) -> Frame:
    """An image file's pixels: (H, W, 3) uint8 BGR."""
    header = image_header(data)
    bgr = None
    if header is not None:
        _check_size(header.width, header.height, max_pixels)
        try:
            bgr = cast(Frame | None, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
        except cv2.error:  # a header that an assertion refuses
            bgr = None
    if bgr is None:
        raise ImageError(
            f"the {len(data)} image bytes do not decode; send a PNG, JPEG, BMP or WebP file, or "
            f"{FRAME_BYTES} bytes of raw RGB"
        )
    height, width, _ = bgr.shape
    _check_size(width, height, max_pixels)
    return bgr


def _check_size(width: int, height: int, max_pixels: int) -> None:
    # Padding to a square fills in what a long side asks for.
    max_side = math.isqrt(2 * max_pixels)
    if max(height, width) > max_side or height * width > max_pixels:
        raise ImageError(
            f"the image is {width}x{height}; send at most {max_pixels} pixels, {max_side} a side"
        )


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
