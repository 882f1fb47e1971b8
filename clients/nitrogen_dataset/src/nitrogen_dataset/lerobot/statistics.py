"""Statistics of a data set's features as LeRobot keeps them: of each episode, and of all together."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

# By the statistic's name; all have the feature's own shape but the count, which has shape (1,).
Statistics = dict[str, NDArray[np.float64]]

_QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}


def of_values(values: NDArray[np.generic]) -> Statistics:
    """Return the statistics of a feature's values, (n, d)."""
    numbers = values.astype(np.float64)
    found = {
        "min": numbers.min(axis=0),
        "max": numbers.max(axis=0),
        "mean": numbers.mean(axis=0),
        "std": numbers.std(axis=0),
        "count": np.array([len(numbers)], np.float64),
    }
    quantiles = np.quantile(numbers, list(_QUANTILES.values()), axis=0)
    return found | dict(zip(_QUANTILES, quantiles, strict=True))


def of_pictures(pictures: NDArray[np.uint8]) -> Statistics:
    """Return the statistics of pictures, (n, H, W, 3), with values from 0 to 1, each (3, 1, 1)."""
    found = of_values(pictures.reshape(-1, 3))
    shaped = {name: (value / 255).reshape(3, 1, 1) for name, value in found.items() if name != "count"}
    return shaped | {"count": np.array([len(pictures)], np.float64)}


def merged(one: Mapping[str, NDArray[np.float64]], other: Mapping[str, NDArray[np.float64]]) -> Statistics:
    """Return the statistics of two sets together; quantiles are averaged, as LeRobot does."""
    counts = one["count"], other["count"]
    total = counts[0] + counts[1]
    shares = [(count / total).reshape((1,) * one["mean"].ndim) for count in counts]

    def averaged(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
        return first * shares[0] + second * shares[1]

    mean = averaged(one["mean"], other["mean"])
    variance = averaged(
        one["std"] ** 2 + (one["mean"] - mean) ** 2, other["std"] ** 2 + (other["mean"] - mean) ** 2
    )
    return {
        "min": np.minimum(one["min"], other["min"]),
        "max": np.maximum(one["max"], other["max"]),
        "mean": mean,
        "std": np.sqrt(variance),
        "count": total,
        **{name: averaged(one[name], other[name]) for name in _QUANTILES},
    }


class PictureSample:
    """Keeps a few small pictures of an episode, evenly spread however long it gets."""

    _MAX_PICTURES = 64
    _MAX_SIDE = 150

    def __init__(self) -> None:
        self._kept: list[NDArray[np.uint8]] = []
        self._every = 1
        self._seen = 0

    def add(self, picture: NDArray[np.uint8]) -> None:
        """Look at the next picture."""
        if self._seen % self._every == 0:
            step = -(-max(picture.shape[:2]) // self._MAX_SIDE)
            self._kept.append(picture[::step, ::step].copy())
            if len(self._kept) == self._MAX_PICTURES:
                self._kept = self._kept[::2]
                self._every *= 2
        self._seen += 1

    def statistics(self) -> Statistics:
        """Return the statistics of the pictures that were kept."""
        return of_pictures(np.stack(self._kept))
