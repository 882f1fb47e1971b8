"""Means, their confidence intervals, and paired differences: Student's t."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
# From this many degrees of freedom on the normal distribution's quantile is 0.0005 below at most.
_NORMAL_FROM = 5000
_HALVINGS = 60


@dataclass(frozen=True)
class Estimate:
    """A mean with its confidence interval.

    Attributes:
        count: of how many values.
        half_width: the interval is the mean plus and minus this; None of fewer than two values.
    """

    mean: float
    half_width: float | None
    count: int

    @property
    def is_below_zero(self) -> bool:
        """Whether the whole interval is."""
        return self.half_width is not None and self.mean + self.half_width < 0

    @property
    def is_above_zero(self) -> bool:
        """Whether the whole interval is."""
        return self.half_width is not None and self.mean - self.half_width > 0


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of one or more values, with the interval that holds the true mean in 95 % of all cases.

    That is Student's t interval: exact where the values are normally distributed, and near it otherwise the
    more values there are.
    """
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return Estimate(mean, None, len(values))
    error = statistics.stdev(values) / math.sqrt(len(values))
    return Estimate(mean, t_quantile(len(values) - 1) * error, len(values))


def paired_difference(values: Mapping[int, float], reference: Mapping[int, float]) -> Estimate | None:
    """Return the mean of `values` minus `reference` over the episodes that both have; None without one."""
    differences = [values[episode] - reference[episode] for episode in values if episode in reference]
    return estimate(differences) if differences else None


def t_quantile(degrees: int) -> float:
    """Return the t that Student's distribution of these degrees of freedom stays within in 95 % of cases."""
    if degrees >= _NORMAL_FROM:
        return statistics.NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        angle = (low + high) / 2
        low, high = (angle, high) if _share_within(angle, degrees) < CONFIDENCE else (low, angle)
    return math.sqrt(degrees) * math.tan(low)


def _share_within(angle: float, degrees: int) -> float:
    """Return P(|T| < sqrt(degrees) tan(angle)): Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    sine, cosine = math.sin(angle), math.cos(angle)
    is_odd = degrees % 2
    # The sum 1 + 1/2 cos^2 + (1 3)/(2 4) cos^4 + ..., or cos + 2/3 cos^3 + (2 4)/(3 5) cos^5 + ... if odd.
    term = cosine if is_odd else 1.0
    total = 0.0 if degrees == 1 else term
    for factor in range(2 + is_odd, degrees - 1, 2):
        term *= (factor - 1) / factor * cosine**2
        total += term
    return 2 / math.pi * (angle + sine * total) if is_odd else sine * total
