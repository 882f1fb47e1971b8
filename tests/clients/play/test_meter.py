"""The line that shows how it goes."""

import pytest
from nitrogen_play.meter import Meter

PROBLEM = "no reply from 127.0.0.1:5555 within 10 s: it is overloaded or stuck"


def meter(**counted: int) -> Meter:
    """One of a game of hours, with an answer that took its time."""
    made = Meter()
    made.count_answer(9.876, 1.234)
    made.count_action()
    made.actions = 1_234_567
    for name, count in counted.items():
        setattr(made, name, count)
    return made


def test_a_terminal_of_80_columns_has_room_for_the_shares() -> None:
    line = meter().line(80)
    assert line.startswith("1234567 actions, 0.0/s | server ")
    assert "% (9876 ms) | network " in line
    assert len(line) <= 80


def test_an_older_server_has_one_share() -> None:
    made = Meter()
    made.count_answer(None, 0.5)
    assert "| server and network " in made.line(80)


@pytest.mark.parametrize("width", [80, 70])
def test_what_is_wrong_comes_before_the_shares(width: int) -> None:
    line = meter(late_steps=123_456, held_steps=12_345, dropped_frames=1234).line(width)
    assert line.startswith("1234567 actions, 0.0/s | 123456 late | 12345 held | 1234 not filmed")
    assert len(line) <= width


def test_the_text_of_a_problem_comes_last_because_a_terminal_cuts_it() -> None:
    made = meter(late_steps=123_456, held_steps=12_345)
    made.problem = PROBLEM
    line = made.line(80)
    assert line.startswith("1234567 actions, 0.0/s | 123456 late | 12345 held | waiting 0 s: ")
    assert line.endswith(PROBLEM)


def test_the_summary_says_it_at_length() -> None:
    made = meter(late_steps=1, held_steps=2, dropped_frames=3)
    ends = "1 late step dropped | 2 steps held because no chunk was there | 3 pictures not recorded"
    assert made.summary().endswith(ends)
