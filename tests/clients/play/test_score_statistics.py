"""Means, intervals and paired differences: against tables, and against a naive way to reckon them."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nitrogen_play.score.statistics import estimate, paired_difference, t_quantile

# Two-sided, 95 %: as the tables in books have it.
TABLE = {
    1: 12.706,
    2: 4.303,
    3: 3.182,
    4: 2.776,
    5: 2.571,
    9: 2.262,
    10: 2.228,
    29: 2.045,
    30: 2.042,
    120: 1.980,
}

numbers = st.floats(-1e6, 1e6, allow_nan=False)


@pytest.mark.parametrize(("degrees", "expected"), TABLE.items())
def test_the_quantile_is_the_tables(degrees: int, expected: float) -> None:
    assert t_quantile(degrees) == pytest.approx(expected, abs=6e-4)


def density(t: float, degrees: int) -> float:
    """Student's distribution, by its definition."""
    scale = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - math.log(degrees * math.pi) / 2
    return math.exp(scale - (degrees + 1) / 2 * math.log1p(t * t / degrees))


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 12, 51, 200, 999, 4999, 5000])
def test_95_percent_lie_within_the_quantile(degrees: int) -> None:
    steps, edge = 4000, t_quantile(degrees)
    width = 2 * edge / steps
    within = sum(density(-edge + (step + 0.5) * width, degrees) * width for step in range(steps))
    assert within == pytest.approx(0.95, abs=2e-4)


def test_the_quantile_falls_without_a_step() -> None:
    quantiles = [t_quantile(degrees) for degrees in (*range(1, 50), 500, 4998, 4999, 5000, 5001)]
    assert all(a >= b for a, b in itertools.pairwise(quantiles))


def test_a_known_interval() -> None:
    it = estimate([12, 15, 11, 18, 14])  # deviation sqrt(7.5), t(4) = 2.776
    assert it.mean == 14
    assert it.half_width == pytest.approx(2.776 * math.sqrt(7.5 / 5), abs=1e-3)
    assert (it.count, it.is_above_zero, it.is_below_zero) == (5, True, False)


@given(st.lists(numbers, min_size=2, max_size=30))
def test_the_interval_is_what_its_definition_says(values: list[float]) -> None:
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    it = estimate(values)
    assert it.mean == pytest.approx(mean, abs=1e-3)
    assert it.half_width == pytest.approx(
        t_quantile(len(values) - 1) * deviation / math.sqrt(len(values)), rel=1e-6, abs=1e-3
    )


def test_one_value_has_no_interval() -> None:
    it = estimate([-3.0])
    assert (it.mean, it.half_width) == (-3, None)
    assert not it.is_below_zero
    assert not it.is_above_zero


@given(st.dictionaries(st.integers(0, 20), numbers), st.dictionaries(st.integers(0, 20), numbers))
def test_a_difference_is_of_the_episodes_that_both_have(a: dict[int, float], b: dict[int, float]) -> None:
    it = paired_difference(a, b)
    common = a.keys() & b.keys()
    if not common:
        assert it is None
        return
    assert it is not None
    assert it.count == len(common)
    assert it.mean == pytest.approx(sum(a[key] - b[key] for key in common) / len(common), abs=1e-3)


def test_pairs_see_what_the_means_alone_do_not() -> None:
    first = dict(enumerate([100.0, 900.0, 400.0, 20.0]))
    other = {episode: value - (8 + episode % 2) for episode, value in first.items()}
    assert not estimate(list(other.values())).is_below_zero
    difference = paired_difference(other, first)
    assert difference is not None
    assert difference.is_below_zero
    assert difference.mean == -8.5
