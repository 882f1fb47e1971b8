"""How old a picture is by the time a button that answers it is pressed."""

from dataclasses import dataclass

import numpy as np

# In the median, larger numbers count as the last bucket; `largest` keeps them as they are.
_BUCKETS = 10_000


class Distribution:
    """Counts whole numbers of 0 or more; another thread may read it meanwhile."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BUCKETS, np.int64)
        self.largest = 0

    def add(self, value: int) -> None:
        """Count a number."""
        self._counts[min(value, _BUCKETS - 1)] += 1
        self.largest = max(self.largest, value)

    @property
    def median(self) -> int:
        """The smallest number that at least half of the counted ones do not exceed; 0 without any."""
        sums = np.cumsum(self._counts)
        return int(np.searchsorted(sums, (sums[-1] + 1) // 2))


@dataclass(frozen=True)
class Ages:
    """The ages of all steps that were pressed, from the picture's capture to the gamepad.

    Attributes:
        ms: in milliseconds of real time.
        ticks: in ticks of the game, which may stand still meanwhile.
    """

    ms: Distribution
    ticks: Distribution

    def add(self, seconds: float, ticks: int) -> None:
        """Count a step."""
        self.ms.add(round(1000 * seconds))
        self.ticks.add(ticks)

    def fields(self) -> dict[str, dict[str, int]]:
        """Return the figures with their names."""
        return {
            unit: {"median": counted.median, "largest": counted.largest}
            for unit, counted in (("ms", self.ms), ("ticks", self.ticks))
        }
