"""The noise that a request's `seed` stands for, computed without the gateway."""

import numpy as np
from numpy.typing import NDArray


def seeded_noise(seed: int, horizon: int) -> NDArray[np.float32]:
    """The noise (H, 25) that the model starts from."""
    return np.random.default_rng(seed).standard_normal((horizon, 25), dtype=np.float32)
