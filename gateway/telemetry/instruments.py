"""The counters behind the metrics, which cost a fraction of a microsecond per event.

`prometheus_client`'s own counters take a lock and check their labels at each event; for the dozen events of a
request that costs as much as reading its pickle. Only the event loop's thread uses these, and they become
`prometheus_client`'s families when the metrics are read.
"""

import asyncio
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

Labels = tuple[str, ...]

# A client that sent a predict within these seconds is playing.
PLAYERS_WINDOW_S = 10.0
# An attacker that makes up a client per request is counted up to here, and remembered no further.
_MAX_CLIENTS = 10_000
_LAG_PERIOD_S = 0.25
_LAG_WINDOW_S = 15.0


@dataclass(slots=True)
class Tally:
    """Events counted by their labels' values."""

    name: str
    documentation: str
    labels: Sequence[str]
    _counts: dict[Labels, float] = field(default_factory=dict, init=False)

    def add(self, values: Labels, amount: float = 1) -> None:
        """Count `amount` events; `values` are the labels' values in order."""
        self._counts[values] = self._counts.get(values, 0) + amount

    def family(self) -> CounterMetricFamily:
        """Return the counts so far."""
        family = CounterMetricFamily(self.name, self.documentation, labels=self.labels)
        for values, count in self._counts.items():
            family.add_metric(values, count)
        return family


class Distribution:
    """A histogram; `bounds` are the buckets' upper ends, increasing."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value in its bucket."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_to(self, family: HistogramMetricFamily, values: Labels) -> None:
        """Add this distribution to a family, under these labels' values."""
        buckets = []
        running = 0
        for bound, count in zip((*map(repr, self._bounds), "+Inf"), self._counts, strict=True):
            running += count
            buckets.append((bound, float(running)))
        family.add_metric(values, buckets, self._sum)


@dataclass(slots=True)
class Distributions:
    """One distribution for each combination of labels' values."""

    name: str
    documentation: str
    labels: Sequence[str]
    bounds: Sequence[float]
    _of: dict[Labels, Distribution] = field(default_factory=dict, init=False)

    def of(self, *values: str) -> Distribution:
        """Return the distribution of these labels' values, which is empty at first."""
        found = self._of.get(values)
        if found is None:
            found = self._of[values] = Distribution(self.bounds)
        return found

    def family(self) -> HistogramMetricFamily:
        """Return what was observed so far."""
        family = HistogramMetricFamily(self.name, self.documentation, labels=self.labels)
        for values, distribution in self._of.items():
            distribution.add_to(family, values)
        return family


class RecentClients:
    """Counts the clients that were seen within the last `PLAYERS_WINDOW_S` seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # The longest unseen first.
        self._seen: dict[Hashable, float] = {}

    def saw(self, client: Hashable) -> None:
        """Note that a client was seen; `client` identifies it."""
        now = self._clock()
        self._seen.pop(client, None)
        self._seen[client] = now
        self._forget(now)

    def count(self) -> int:
        """Return how many clients were seen recently."""
        self._forget(self._clock())
        return len(self._seen)

    def _forget(self, now: float) -> None:
        seen = self._seen
        while seen:
            eldest = next(iter(seen))
            if len(seen) <= _MAX_CLIENTS and now - seen[eldest] <= PLAYERS_WINDOW_S:
                return
            del seen[eldest]


class LoopLag:
    """Measures, four times a second, by how much a timer of the event loop comes late."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=round(_LAG_WINDOW_S / _LAG_PERIOD_S))
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to measure the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._set()

    def stop(self) -> None:
        """Stop measuring."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def greatest_s(self) -> float:
        """Return the greatest delay of the last 15 seconds, in seconds."""
        return max(self._latest, default=0.0)

    def _set(self) -> None:
        self._due = self._loop.time() + _LAG_PERIOD_S
        self._timer = self._loop.call_at(self._due, self._measure)

    def _measure(self) -> None:
        self._latest.append(max(0.0, self._loop.time() - self._due))
        self._set()
