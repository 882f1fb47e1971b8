"""How old what is pressed is: median and largest, of any number of steps."""

import statistics

from hypothesis import given
from hypothesis import strategies as st
from nitrogen_play.ages import Ages, Distribution


@given(st.lists(st.integers(0, 9_999), min_size=1, max_size=50))
def test_median_and_largest_are_those_of_all(values: list[int]) -> None:
    counted = Distribution()
    for value in values:
        counted.add(value)
    assert (counted.median, counted.largest) == (statistics.median_low(values), max(values))


def test_without_a_step_both_are_0() -> None:
    assert Ages(Distribution(), Distribution()).fields() == {
        "ms": {"median": 0, "largest": 0},
        "ticks": {"median": 0, "largest": 0},
    }


def test_what_is_older_than_the_table_is_counted_too() -> None:
    ages = Ages(Distribution(), Distribution())
    ages.add(3600.0, 200_000)
    assert ages.fields()["ticks"] == {"median": 9_999, "largest": 200_000}
    assert ages.fields()["ms"]["largest"] == 3_600_000
