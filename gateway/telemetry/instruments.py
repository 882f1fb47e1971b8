"""What metrics count with: tallies and distributions that cost a fraction of a microsecond per event.

`prometheus_client`'s own counters take a lock and check their labels at each event, which for the dozen
events of a request is as much as reading its pickle. These are counted by one thread, the event loop's, and
turned into `prometheus_client`'s families only when the metrics are read.
"""

from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

Labels = tuple[str, ...]


class Tally:
    """Events counted by their labels' values."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._counts: dict[Labels, float] = {}

    def add(self, values: Labels, amount: float = 1) -> None:
        """Count an event, or as many as `amount` says; `values` are the labels' in their order."""
        self._counts[values] = self._counts.get(values, 0) + amount

    def family(self) -> CounterMetricFamily:
        """Return what was counted so far."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, count in self._counts.items():
            family.add_metric(values, count)
        return family


class Distribution:
    """How values are spread over buckets; `bounds` are the buckets' upper ends, increasing."""

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
        """Add this distribution to a family of them, under these labels' values."""
        buckets = []
        running = 0
        for bound, count in zip((*map(repr, self._bounds), "+Inf"), self._counts, strict=True):
            running += count
            buckets.append((bound, float(running)))
        family.add_metric(values, buckets, self._sum)


class Distributions:
    """One distribution for each of the labels' values that has been seen."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._bounds = bounds
        self._of: dict[Labels, Distribution] = {}

    def of(self, *values: str) -> Distribution:
        """Return the distribution of these labels' values, an empty one at first."""
        found = self._of.get(values)
        if found is None:
            found = self._of[values] = Distribution(self._bounds)
        return found

    def family(self) -> HistogramMetricFamily:
        """Return what was observed so far."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, distribution in self._of.items():
            distribution.add_to(family, values)
        return family
