"""Takes turns between ways of doing the same, so that a change of the machine's speed affects all of them."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Taken(Generic[T]):
    """The cost of one way, medians of its turns by the clock and of this process's CPU, and its answer."""

    seconds: float
    cpu_seconds: float
    answer: T


def rotated(items: Sequence[T], by: int) -> list[T]:
    """Return the items in their order, but beginning with another one."""
    start = by % len(items)
    return [*items[start:], *items[:start]]


def in_turns(
    ways: Mapping[str, Callable[[], T]], rounds: int, at_most_s: float = float("inf")
) -> dict[str, Taken[T]]:
    """Return what each way took and answered; a first call of each does not count.

    Args:
        ways: by their names; each call returns when its work is done.
        rounds: turns of each way.
        at_most_s: no further turn begins after these seconds; one always does.
    """
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    cpu_seconds: dict[str, list[float]] = {way: [] for way in ways}
    answers = {way: call() for way, call in ways.items()}
    begun = time.perf_counter()
    for turn in range(rounds):
        if turn and time.perf_counter() - begun > at_most_s:
            break
        for way in rotated(list(ways), turn):
            started, cpu_started = time.perf_counter(), time.process_time()
            answers[way] = ways[way]()
            seconds[way].append(time.perf_counter() - started)
            cpu_seconds[way].append(time.process_time() - cpu_started)
    return {
        way: Taken(statistics.median(seconds[way]), statistics.median(cpu_seconds[way]), answers[way])
        for way in ways
    }
