"""The seams that `benchmarks.smoothness` counts."""

import numpy as np
import pytest
from nitrogen_client import Prediction

from benchmarks.smoothness.seams import seams, steps

HORIZON = 18


def chunk(tick: int, *, pressed: int = 0, moved: float = 0.0) -> Prediction:
    """A chunk whose rows belong to ticks, but for some buttons and a part of the left stick."""
    ticks = np.arange(tick, tick + HORIZON, dtype=np.float32)
    buttons = np.zeros((HORIZON, 21), np.float32)
    buttons[:, 0] = ticks % 2
    buttons[:, 1 : 1 + pressed] = 1
    left = np.stack([ticks / 100 + moved] * 2, axis=1)
    return Prediction(buttons=buttons, j_left=left, j_right=np.zeros((HORIZON, 2), np.float32))


def test_chunks_that_agree_about_each_tick_have_no_seam() -> None:
    found = seams([[chunk(0), chunk(3), chunk(6)], [chunk(50), chunk(53)]], 3)
    assert (str(found.overlap), str(found.first)) == ("0.0 / 0.00", "0.0 / 0.00")


def test_a_seam_is_how_many_buttons_differ_and_how_far_an_axis_jumps() -> None:
    found = seams([[chunk(0), chunk(8, pressed=4, moved=0.5)]], 8)
    assert (str(found.overlap), str(found.first)) == ("4.0 / 0.25", "4.0 / 0.25")


def test_the_first_row_is_the_one_after_those_that_were_pressed_meanwhile() -> None:
    new = chunk(3)
    new["buttons"][3, 5:8] = 1
    found = seams([[chunk(0), new]], 3)
    assert found.first.buttons == 3
    assert found.overlap.buttons == 3 / (HORIZON - 3)


def test_steps_are_within_a_chunk() -> None:
    found = steps([[chunk(0, pressed=4), chunk(8)]])
    assert found.buttons == 1
    assert found.sticks == pytest.approx(0.005, rel=1e-4)
