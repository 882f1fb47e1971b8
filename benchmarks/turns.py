"""Ways of doing the same that take turns, so that a change of the machine's speed meets all of them."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def in_turns(
    ways: Mapping[str, Callable[[], T]], rounds: int, at_most_s: float = float("inf")
) -> tuple[dict[str, float], dict[str, T]]:
    """Return the median seconds and the answer of each way, after a first call that does not count.

    Args:
        ways: by their names; each call returns when its work is done.
        rounds: turns of each way.
        at_most_s: no further turn begins after so many seconds; one always does.
    """
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    answers = {way: call() for way, call in ways.items()}
    begun = time.perf_counter()
    for turn in range(rounds):
        if turn and time.perf_counter() - begun > at_most_s:
            break
        for way, call in ways.items():
            started = time.perf_counter()
            answers[way] = call()
            seconds[way].append(time.perf_counter() - started)
    return {way: statistics.median(times) for way, times in seconds.items()}, answers
