"""The gateway's Prometheus metrics, in their own registry.

The event loop's thread counts everything but the recorder's bytes. Clients, endpoints and queues are asked
when the metrics are read, which is cheaper than to follow them.
"""

import importlib.metadata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.telemetry.instruments import PLAYERS_WINDOW_S, Distributions, Labels, LoopLag
from gateway.telemetry.port_metrics import Access, PortMetrics, RequestCounts, version_label

_PREFIX = "nitrogen_gateway_"
# In requests: a model's usual largest batches, and multiples of them.
_BATCHES = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0, 128.0)


@dataclass(slots=True)
class RecordingCounts:
    """Counts of recordings; for each figure, one thread of the recorder does the counting.

    `written`, `dropped` (too many at once) and `failed` (the disk) are numbers of predicts, `written_bytes`
    their size, `kept_bytes` the size of all recordings in the folder.
    """

    written: int = 0
    dropped: int = 0
    failed: int = 0
    written_bytes: int = 0
    kept_bytes: int = 0


class Metrics(Collector):
    """All metrics of one gateway.

    These are called whenever the metrics are read.

    Attributes:
        endpoints_up: returns whether each address of each Triton endpoint is up.
        decoding: returns how many images wait for a thread.
        horizons: returns each served model's steps per chunk, by name and version, 0 if unknown.
    """

    def __init__(self) -> None:
        self._counts = RequestCounts(_PREFIX)
        self._at_triton = Distributions(
            f"{_PREFIX}at_triton",
            "Predicts of a model that were at Triton when one was sent, that one included.",
            ("model",),
            _BATCHES,
        )
        self._ports: dict[tuple[str, Access], PortMetrics] = {}
        self.endpoints_up: Callable[[], Mapping[tuple[str, str], bool]] = dict
        self.decoding: Callable[[], float] = float
        self.horizons: Callable[[], Mapping[tuple[str, int], int]] = dict
        # Set by the caller before each scrape.
        self.is_ready = False
        self._version = _version()
        self.lag = LoopLag()
        self.recordings = RecordingCounts()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def port(self, port: str, access: Access = "anonymous") -> PortMetrics:
        """Return the metrics of one port's clients, either those with a key or token or the others."""
        found = self._ports.get((port, access))
        if found is None:
            found = self._ports[port, access] = PortMetrics(port, access, self._counts)
        return found

    def dispatched(self, model: str, count: int) -> None:
        """Note that a predict was sent to Triton, where its model now has `count` of them."""
        self._at_triton.of(model).observe(count)

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, for the registry."""
        yield from self._counts.families()
        yield self._at_triton.family()
        yield from self._of_clients()
        yield from self._of_service()
        yield from self._of_neighbours()
        yield from self._of_recordings()
        yield _gauge("build_info", "The gateway's version.", {(self._version,): 1}, ("version",))

    def _of_clients(self) -> Iterator[Metric]:
        ports = self._ports
        yield _gauge(
            "clients",
            "Connections that are open.",
            {place: count() for place, metrics in ports.items() if (count := metrics.clients)},
            ("port", "access"),
        )
        yield _gauge(
            "players",
            f"Clients that sent a predict within the last {PLAYERS_WINDOW_S:g} s.",
            {place: metrics.players.count() for place, metrics in ports.items()},
            ("port", "access"),
        )
        waiting: Counter[Labels] = Counter()
        for (port, _), metrics in ports.items():
            waiting[(port,)] += metrics.in_flight
        yield _gauge("in_flight", "Requests that are not answered yet.", waiting, ("port",))

    def _of_service(self) -> Iterator[Metric]:
        yield _gauge("ready", "Whether /readyz says 200: a predict would get its actions.", self.is_ready)
        yield _gauge(
            "model_horizon",
            "Steps in a chunk of actions, of each model that is served.",
            {(model, version_label(version)): steps for (model, version), steps in self.horizons().items()},
            ("model", "version"),
        )

    def _of_neighbours(self) -> Iterator[Metric]:
        yield _gauge(
            "triton_up",
            "Whether Triton answers at one of its endpoints' addresses.",
            self.endpoints_up(),
            ("endpoint", "address"),
        )
        yield _gauge(
            "decoding_queue",
            "Images and large messages that are being decoded, or wait for a thread.",
            self.decoding(),
        )
        yield _gauge(
            "event_loop_lag_seconds",
            "The longest that the event loop was late within the last 15 s.",
            self.lag.greatest_s(),
        )

    def _of_recordings(self) -> Iterator[Metric]:
        counts = self.recordings
        predicts = CounterMetricFamily(
            f"{_PREFIX}recordings",
            "Predicts to record: written, dropped (too many at once) or failed (the disk).",
            labels=("outcome",),
        )
        for outcome in ("written", "dropped", "failed"):
            predicts.add_metric((outcome,), getattr(counts, outcome))
        yield predicts
        yield CounterMetricFamily(
            f"{_PREFIX}recorded_bytes", "Bytes of recordings written.", counts.written_bytes
        )
        yield _gauge("recordings_kept_bytes", "Bytes of recordings in the folder.", counts.kept_bytes)


def _gauge(
    name: str, documentation: str, value: float | Mapping[Any, float], labels: Sequence[str] = ()
) -> Metric:
    """Return a gauge of one value, or of one for each of the labels' values."""
    if not isinstance(value, Mapping):
        return GaugeMetricFamily(_PREFIX + name, documentation, float(value))
    family = GaugeMetricFamily(_PREFIX + name, documentation, labels=labels)
    for values, one in value.items():
        family.add_metric(values, float(one))
    return family


def _version() -> str:
    try:
        return importlib.metadata.version("nitrogen-triton")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
