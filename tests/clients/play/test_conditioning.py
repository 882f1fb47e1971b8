"""The rows from which the next chunk is asked to go on."""

import pytest
from nitrogen_play.conditioning import Conditioning
from nitrogen_play.pad import NEUTRAL, PadState, action_arrays, pad_states

PLAN = tuple(PadState(frozenset({"SOUTH"}), (step, 0), (0, 0)) for step in range(18))
START = PadState(frozenset({"START"}), (0, 0), (0, 0))


def warm(*delays: int, ticks_per_step: int = 1) -> Conditioning:
    """One whose first request took long, and further ones these ticks."""
    made = Conditioning(ticks_per_step)
    for delay in (500, *delays):
        made.count_delay(delay)
    return made


def delay_of(conditioning: Conditioning) -> int | None:
    previous = conditioning.previous(PLAN, 100)
    return None if previous is None else previous.delay


def test_the_first_request_counts_for_nothing() -> None:
    assert delay_of(Conditioning(1)) is None
    assert delay_of(warm()) is None
    assert delay_of(warm(3)) == 3


def test_the_delay_is_the_largest_of_the_last_ten_in_whole_rows() -> None:
    assert delay_of(warm(7, 3, 5)) == 7
    assert delay_of(warm(7, *[3] * 9)) == 7
    assert delay_of(warm(7, *[3] * 10)) == 3
    assert [delay_of(warm(ticks, ticks_per_step=4)) for ticks in (1, 4, 5, 8)] == [1, 1, 2, 2]


def test_it_goes_on_from_what_is_still_to_be_pressed() -> None:
    previous = warm(3).previous(PLAN[12:], 100)
    assert previous is not None
    assert (previous.states, previous.delay) == (PLAN[12:], 3)


def test_a_delay_beyond_the_plan_is_its_length_and_a_plan_that_is_over_is_none() -> None:
    previous = warm(30).previous(PLAN[-2:], 100)
    assert previous is not None
    assert previous.delay == 2
    assert warm(3).previous((), 100) is None


@pytest.mark.parametrize(("state", "by"), [(START, "model"), (NEUTRAL, "human")], ids=["menu", "human"])
def test_a_plan_from_before_a_break_is_dropped_and_one_from_after_it_is_not(state: PadState, by: str) -> None:
    conditioning = warm(3)
    conditioning.hold(NEUTRAL, 49, "model")
    conditioning.hold(state, 50, by)
    # The picture of tick 50 was taken before what was held then had an effect.
    assert [conditioning.previous(PLAN, tick) is None for tick in (40, 50, 51)] == [True, True, False]


def test_it_is_sent_as_a_reply_has_it() -> None:
    arrays = action_arrays(PLAN)
    assert {name: array.shape for name, array in arrays.items()} == {
        "buttons": (18, 21),
        "j_left": (18, 2),
        "j_right": (18, 2),
    }
    assert pad_states(arrays, allow_menu=True)[:1] == PLAN[:1]
