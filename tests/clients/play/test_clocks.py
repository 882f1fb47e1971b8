"""Clocks of games that run by themselves, and of games that are stopped."""

import time

import pytest
from nitrogen_play.clocks import Pacer, RealTimeClock, StoppingClock


def test_real_time_leaves_out_ticks_that_were_missed() -> None:
    clock = RealTimeClock(100)
    assert clock.now() == 0
    time.sleep(0.1)
    assert clock.is_late()
    now = clock.now()
    assert now >= 9
    clock.tick()
    assert clock.now() >= now + 1


def test_real_time_waits_for_each_tick() -> None:
    clock = RealTimeClock(50)
    clock.now()
    began = time.monotonic()
    for _ in range(10):
        clock.tick()
    assert time.monotonic() - began >= 0.19


def test_a_stopped_game_runs_only_within_ticks() -> None:
    speeds: list[float] = []
    clock = StoppingClock(1000, speeds.append)
    assert speeds == []
    assert clock.now() == 0
    assert speeds == [0.0]
    clock.tick()
    clock.tick()
    assert speeds == [0.0, 1.0, 0.0, 1.0, 0.0]
    assert clock.now() == 2


def test_a_game_is_stopped_again_when_its_tick_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    speeds: list[float] = []
    clock = StoppingClock(1000, speeds.append)
    monkeypatch.setattr(time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        clock.tick()
    assert speeds[-1] == 0.0


def test_a_pace_is_kept_and_a_late_call_does_not_hurry_the_next_ones() -> None:
    pacer = Pacer(50)
    pacer.wait()
    time.sleep(0.1)
    assert pacer.is_late()
    began = time.monotonic()
    for _ in range(3):  # at once, then two periods of 1/50 s
        pacer.wait()
    assert time.monotonic() - began >= 0.039
