"""Pictures and what was held, paired tick by tick, against looking each tick up."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from nitrogen_dataset.frames import Frame, Pairing

PICTURE = np.zeros((2, 2, 3), np.uint8)
MAX_AGE = 5
TICKS = st.sets(st.integers(0, 40), max_size=40)


def paired(shown: set[int], held: set[int]) -> tuple[list[tuple[int, Frame]], int]:
    pairing = Pairing(MAX_AGE)
    for tick in sorted(shown):
        pairing.show(tick, PICTURE, "game", f"{tick:03}")
    frames = []
    for tick in sorted(held):
        action = np.full(25, tick, np.float32)
        frames += [(tick, frame) for frame in pairing.hold(tick, action, "human" if tick % 2 else "model")]
    return frames, pairing.left_out


@given(TICKS, TICKS)
def test_each_tick_has_the_newest_picture_and_its_own_action(shown: set[int], held: set[int]) -> None:
    frames, left_out = paired(shown, held)
    assert left_out == len(held) - len(frames)
    before = None
    for tick, frame in frames:
        newest = max(shown_tick for shown_tick in shown if shown_tick <= tick)
        assert frame.place == f"{newest:03}"
        assert frame.picture_age == tick - newest <= MAX_AGE
        assert frame.action.tolist() == [tick] * 25
        assert frame.by == ("human" if tick % 2 else "model")
        assert frame.begins == (before != tick - 1)
        assert frame.picture_age == 0 or not frame.begins
        before = tick


@given(TICKS, TICKS)
def test_a_tick_with_a_picture_of_its_own_is_never_left_out(shown: set[int], held: set[int]) -> None:
    frames, _ = paired(shown, held)
    assert shown & held <= {tick for tick, _ in frames}


@given(TICKS, TICKS, st.integers(0, 40))
def test_what_follows_a_picture_is_the_same_without_those_before_it(
    shown: set[int], held: set[int], first: int
) -> None:
    """So a conversion can go on where an earlier one has stopped."""
    whole, _ = paired(shown, held)
    rest, _ = paired({tick for tick in shown if tick >= first}, {tick for tick in held if tick >= first})
    ticks = [tick for tick, frame in whole if frame.place >= f"{first:03}"]
    assert [tick for tick, _ in rest] == ticks
