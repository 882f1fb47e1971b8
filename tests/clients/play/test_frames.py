"""Pictures made 256x256, compared with what the existing clients and servers do."""

import cv2
import numpy as np
import pytest
from nitrogen_play.frames import model_frame
from nitrogen_play.interfaces import Picture


def scene(height: int, width: int) -> Picture:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 255 // height, columns * 255 // width, (rows * columns) >> 12], axis=2).astype(
        np.uint8
    )


def test_a_picture_of_the_right_size_is_left_as_it_is() -> None:
    frame = scene(256, 256)
    assert model_frame(frame, "pad") is frame


def test_a_large_picture_is_averaged_by_area_as_the_reference_does() -> None:
    frame = scene(720, 1280)
    reference = cv2.resize(frame, (256, 256), interpolation=cv2.INTER_AREA)
    difference = np.abs(model_frame(frame, "stretch").astype(int) - reference)
    assert difference.max() <= 2


@pytest.mark.parametrize(("height", "width"), [(224, 320), (320, 224), (224, 321)])
def test_bars_make_it_square(height: int, width: int) -> None:
    frame = np.full((height, width, 3), 255, np.uint8)
    shown = model_frame(frame, "pad")
    share = min(height, width) / max(height, width)
    assert shown.shape == (256, 256, 3)
    assert abs(shown.mean() / 255 - share) < 0.02
    assert shown[128, 128].min() == 255


def test_the_odd_bar_is_below() -> None:
    frame = np.full((255, 256, 3), 255, np.uint8)
    shown = model_frame(frame, "pad")
    assert shown[0].min() == 255
    assert shown[255].max() == 0


def test_the_middle_is_cut_out() -> None:
    frame = np.zeros((256, 400, 3), np.uint8)
    frame[:, 72:328] = 200
    assert model_frame(frame, "crop").min() == 200
