"""Which step of which chunk is due, tick by tick."""

import pytest
from nitrogen_play.pad import NEUTRAL, PadState
from nitrogen_play.schedule import ChunkSchedule


def chunk(number: int, steps: int = 18) -> tuple[PadState, ...]:
    """Steps that can be told from one another: the left stick's x is the chunk's number, its y the step."""
    return tuple(PadState(frozenset(), (number, step), (0, 0)) for step in range(steps))


def played(schedule: ChunkSchedule, tick: int) -> tuple[int, int] | None:
    state = schedule.due(tick).state
    return None if state is NEUTRAL else state.left


def test_before_the_first_chunk_nothing_is_held_and_one_is_wanted() -> None:
    schedule = ChunkSchedule(1, None)
    assert schedule.due(5).state is NEUTRAL
    assert schedule.wants_chunk(5)


def test_a_chunk_begins_at_the_step_whose_time_it_is() -> None:
    schedule = ChunkSchedule(1, None)
    schedule.take(chunk(1), picture_tick=100, now=104)
    assert [played(schedule, tick) for tick in range(104, 107)] == [(1, 4), (1, 5), (1, 6)]
    assert schedule.late_steps == 4


def test_the_next_chunk_takes_over_without_a_step_played_twice_or_left_out() -> None:
    schedule = ChunkSchedule(1, None)
    schedule.take(chunk(1), picture_tick=0, now=3)
    before = [played(schedule, tick) for tick in range(3, 15)]
    schedule.take(chunk(2), picture_tick=11, now=15)
    after = [played(schedule, tick) for tick in range(15, 20)]
    assert before == [(1, step) for step in range(3, 15)]
    assert after == [(2, step) for step in range(4, 9)]


def test_a_step_is_held_for_its_ticks() -> None:
    schedule = ChunkSchedule(3, None)
    schedule.take(chunk(1), picture_tick=10, now=15)
    assert [played(schedule, tick) for tick in range(15, 20)] == [(1, 1), (1, 2), (1, 2), (1, 2), (1, 3)]
    assert schedule.late_steps == 1


def test_until_the_chunk_that_is_wanted_after_some_steps_comes_the_later_ones_are_played() -> None:
    schedule = ChunkSchedule(1, 4)
    schedule.take(chunk(1), picture_tick=0, now=6)
    # Four steps, 6 to 9; the next chunk takes six ticks again.
    assert [schedule.wants_chunk(tick) for tick in (2, 3, 6)] == [False, True, True]
    assert [played(schedule, tick) for tick in range(6, 18)] == [(1, step) for step in range(6, 18)]
    assert all(schedule.due(tick).is_fresh for tick in range(6, 18))
    schedule.take(chunk(2), picture_tick=10, now=12)
    assert played(schedule, 12) == (2, 2)


def test_after_the_last_step_it_is_held_as_long_as_a_chunk_is_and_then_let_go() -> None:
    schedule = ChunkSchedule(1, None)
    schedule.take(chunk(1), picture_tick=0, now=0)
    assert schedule.due(17).is_fresh
    assert {played(schedule, tick) for tick in range(17, 36)} == {(1, 17)}
    assert not schedule.due(18).is_fresh
    assert played(schedule, 36) is None


@pytest.mark.parametrize("age", [18, 25, 36, 500])
def test_of_a_chunk_that_is_over_on_arrival_the_last_step_is_played_and_held(age: int) -> None:
    schedule = ChunkSchedule(1, None)
    assert not schedule.take(chunk(1), picture_tick=0, now=age)
    assert {played(schedule, tick) for tick in range(age, age + 19)} == {(1, 17)}
    assert [schedule.due(tick).is_fresh for tick in (age, age + 1)] == [True, False]
    assert played(schedule, age + 19) is None
    assert schedule.late_steps == 17


def test_the_last_step_of_a_chunk_that_comes_too_late_ends_where_steps_do() -> None:
    schedule = ChunkSchedule(4, None)
    assert not schedule.take(chunk(1), picture_tick=0, now=102)
    assert [schedule.due(tick).is_fresh for tick in (102, 103, 104)] == [True, True, False]


def test_a_chunk_is_in_time_while_one_of_its_steps_is_not_over() -> None:
    assert ChunkSchedule(3, None).take(chunk(1), picture_tick=10, now=10 + 3 * 18 - 1)
    assert not ChunkSchedule(3, None).take(chunk(1), picture_tick=10, now=10 + 3 * 18)


def test_the_next_chunk_is_asked_for_as_long_before_the_end_as_the_slowest_of_late_took() -> None:
    schedule = ChunkSchedule(1, None)
    schedule.take(chunk(1), picture_tick=0, now=5)
    assert [schedule.wants_chunk(tick) for tick in (11, 12, 13)] == [False, True, True]
    for number in range(2, 7):  # faster ones: the slow one is forgotten
        schedule.take(chunk(number), picture_tick=100 * number, now=100 * number + 1)
    assert [schedule.wants_chunk(tick) for tick in (615, 616)] == [False, True]


def test_a_game_that_began_anew_wants_a_new_chunk() -> None:
    schedule = ChunkSchedule(1, None)
    schedule.take(chunk(1), picture_tick=0, now=0)
    schedule.clear()
    assert schedule.due(1).state is NEUTRAL
    assert schedule.wants_chunk(1)
