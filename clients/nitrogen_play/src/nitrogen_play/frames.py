"""Pictures of any size as the 256x256 ones that the model sees."""

import numpy as np
import PIL.Image

from nitrogen_play.interfaces import Picture

SIDE = 256


def model_frame(picture: Picture, resize_mode: str) -> Picture:
    """Return a picture as (256, 256, 3).

    Args:
        picture: (H, W, 3) uint8 RGB.
        resize_mode: "stretch" as the reference's client does; "pad" with black bars to a square, the odd
            pixel below or right; "crop" to the square in the middle. Larger pictures are averaged by area,
            smaller ones interpolated.
    """
    if picture.shape == (SIDE, SIDE, 3):
        return picture
    if resize_mode == "pad":
        picture = _padded(picture)
    elif resize_mode == "crop":
        picture = _cropped(picture)
    is_smaller = min(picture.shape[:2]) >= SIDE
    how = PIL.Image.Resampling.BOX if is_smaller else PIL.Image.Resampling.BILINEAR
    return np.asarray(PIL.Image.fromarray(picture).resize((SIDE, SIDE), how))


def _padded(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, 3), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = picture
    return square


def _cropped(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = max(0, height // 2 - side // 2), max(0, width // 2 - side // 2)
    return np.ascontiguousarray(picture[top : top + side, left : left + side])
