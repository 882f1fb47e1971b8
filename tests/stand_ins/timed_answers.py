"""Readers of the timed model's actions, which tell what it was asked; see `timed_model/model.py`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.noise import seeded_noise
from tests.stand_ins.timed_triton import HORIZON


def frame(first: int = 7, height: int = 256, width: int = 256) -> NDArray[np.uint8]:
    """A grey picture; its first byte is what the timed model tells of the newest frame."""
    return np.full((height, width, 3), first, np.uint8)


def newest_first_byte(prediction: dict[str, Any]) -> int:
    return round(float(prediction["j_right"][0, 0]) * 255)


def frames_seen(prediction: dict[str, Any]) -> int:
    return round(float(prediction["j_left"][0, 0]) * 10)


def game_id(prediction: dict[str, Any]) -> int:
    return round(float(prediction["j_right"][1, 0]) * 255)


def noise_of(prediction: dict[str, Any]) -> float:
    return float(prediction["j_left"][0, 1])


def first_noise(seed: int) -> float:
    """Return what `noise_of` then is, but for what the wire rounds."""
    return float(np.clip(seeded_noise(seed, HORIZON)[0, 0], -1, 1))
