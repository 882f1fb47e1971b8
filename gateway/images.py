"""Images to frames: every client's image becomes the 256x256 RGB that the model sees."""

import math
from typing import cast

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from contract.tensors import FRAME_BYTES, FRAME_SHAPE, FRAME_SIDE
from gateway.errors import ImageError
from gateway.image_headers import image_header
from gateway.protocol.messages import Frame, Image, ImageFile, Pixels, RawFrame, ResizeMode

MAX_IMAGE_PIXELS = 2**25

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

# (H, W, 3) uint8.
_Picture = NDArray[np.uint8]


def is_frame(image: Image) -> bool:
    """Return whether an image already is a frame: `as_frame` would neither decode nor resize it."""
    return isinstance(image, RawFrame) or (isinstance(image, Pixels) and image.rgb.shape == FRAME_SHAPE)


def as_frame(image: Image, max_pixels: int = MAX_IMAGE_PIXELS) -> Frame:
    """Return the frame that the model sees; row-major pixels of its size are not copied.

    `Pixels` are stretched by PIL's antialiased BILINEAR. `ImageFile`s are decoded by cv2, brought to a square
    by their resize mode and then resized by INTER_AREA.

    Args:
        image: pixels or a file.
        max_pixels: the largest image; padded to a square it may have twice as many. A file's header is
            checked before the file is decoded.

    Raises:
        ImageError: the bytes are not a PNG, JPEG, BMP or WebP file, or the image is beyond the limits.
    """
    match image:
        case Pixels(rgb):
            if rgb.shape != FRAME_SHAPE:
                return _stretched(rgb, max_pixels).tobytes()
            return rgb.data.cast("B") if rgb.flags.c_contiguous else rgb.tobytes()
        case RawFrame(data):
            return data
        case ImageFile(data, resize_mode, may_be_raw):
            try:
                bgr = _decode(data, max_pixels)
            except ImageError:
                if may_be_raw and len(data) == FRAME_BYTES:
                    return data
                raise
            # Swap the channels last: a resize treats each alone, and 256x256 is less to move.
            return cv2.cvtColor(_resize(bgr, resize_mode), cv2.COLOR_BGR2RGB).tobytes()


def _stretched(rgb: _Picture, max_pixels: int) -> _Picture:
    height, width, _ = rgb.shape
    _check_size(width, height, max_pixels)
    picture = PIL.Image.fromarray(np.ascontiguousarray(rgb))
    return np.asarray(picture.resize((FRAME_SIDE, FRAME_SIDE), PIL.Image.Resampling.BILINEAR))


def _decode(data: bytes | bytearray, max_pixels: int) -> _Picture:
    """Return an image file's pixels: (H, W, 3) uint8 BGR."""
    header = image_header(data)
    bgr = None
    if header is not None:
        _check_size(header.width, header.height, max_pixels)
        try:
            bgr = cast(_Picture | None, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
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
    # Padding to a square makes an image as large as its long side.
    max_side = math.isqrt(2 * max_pixels)
    if max(height, width) > max_side or height * width > max_pixels:
        raise ImageError(
            f"the image is {width}x{height}; send at most {max_pixels} pixels, {max_side} a side"
        )


def _resize(pixels: _Picture, mode: ResizeMode) -> _Picture:
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
        return pixels
    return cast(_Picture, cv2.resize(pixels, (FRAME_SIDE, FRAME_SIDE), interpolation=cv2.INTER_AREA))
