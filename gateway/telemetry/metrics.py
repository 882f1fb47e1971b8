"""The gateway's Prometheus metrics, in a registry of their own.

Everything is counted on the event loop's thread, but for the recorder's bytes; what is cheaper to ask than to
follow (clients, endpoints, queues) is asked when the metrics are read.
"""

import importlib.metadata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.telemetry.instruments import PLAYERS_WINDOW_S, Distributions, LoopLag, Tally
from gateway.telemetry.port_metrics import Access, PortMetrics, version_label

_PREFIX = "nitrogen_gateway_"
# Seconds: from a small model on a GPU to the longest deadline.
_SECONDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
_LONG_SECONDS = (*_SECONDS, 10.0, 30.0)
# Requests: the usual largest batches of a model, and multiples of them.
_BATCHES = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0, 128.0)


@dataclass(slots=True)
class RecordingCounts:
    """What became of the recordings; each figure is counted by one thread, in the recorder.

    `written`, `dropped` (too many at once) and `failed` (the disk) are numbers of predicts, `written_bytes`
    their size, `kept_bytes` the size of what is in the folder.
    """

    written: int = 0
    dropped: int = 0
    failed: int = 0
    written_bytes: int = 0
    kept_bytes: int = 0


class Metrics(Collector):
    """All metrics of one gateway.

    These are called whenever the metrics are read. `endpoints_up`: whether each address of each endpoint of
    Triton is up. `decoding`: how many images wait for a thread. `horizons`: each served model's steps per
    chunk, by its name and version, 0 where that is not known.
    """

    def __init__(self) -> None:
        self._requests = Tally(
            f"{_PREFIX}requests",
            "Requests answered, by what they were and how they ended.",
            ("port", "access", "type", "outcome"),
        )
        self._predicts = Tally(
            f"{_PREFIX}model_predicts",
            "Predicts answered, by the model and version that they were for and how they ended.",
            ("model", "version", "outcome"),
        )
        self._refusals = Tally(
            f"{_PREFIX}refused", "Connections and requests refused at the door, by why.", ("port", "reason")
        )
        self._dropped = Tally(
            f"{_PREFIX}dropped", "Requests whose client left before its reply.", ("port", "access")
        )
        self._request_seconds = Distributions(
            f"{_PREFIX}request_seconds",
            "Seconds from a request's last byte to its reply, however it ended.",
            ("port", "type"),
            _LONG_SECONDS,
        )
        self._stages = Distributions(
            f"{_PREFIX}stage_seconds",
            "Seconds that predicts with actions spent per stage: receive, decode (with the wait for earlier "
            "frames), queue, infer, encode, send; total is from the last byte to the reply.",
            ("port", "stage"),
            _LONG_SECONDS,
        )
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
        """Return the metrics of one port's clients that have, or have not, shown who they are."""
        found = self._ports.get((port, access))
        if found is None:
            found = PortMetrics(
                port,
                access,
                self._requests,
                self._predicts,
                self._refusals,
                self._dropped,
                self._request_seconds,
                self._stages,
            )
            self._ports[port, access] = found
        return found

    def dispatched(self, model: str, count: int) -> None:
        """Note that a predict was sent to Triton; `count` of its model are there now, with this one."""
        self._at_triton.of(model).observe(count)

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, for the registry."""
        yield self._requests.family()
        yield self._predicts.family()
        yield self._refusals.family()
        yield self._dropped.family()
        yield self._request_seconds.family()
        yield self._stages.family()
        yield self._at_triton.family()
        yield from self._of_clients()
        yield from self._of_service()
        yield from self._of_neighbours()
        yield from self._of_recordings()
        build = GaugeMetricFamily(f"{_PREFIX}build_info", "The gateway's version.", labels=("version",))
        build.add_metric((self._version,), 1)
        yield build

    def _of_clients(self) -> Iterator[Metric]:
        clients = GaugeMetricFamily(
            f"{_PREFIX}clients",
            "Connections that are open.",
            labels=("port", "access"),
        )
        players = GaugeMetricFamily(
            f"{_PREFIX}players",
            f"Clients that sent a predict within the last {PLAYERS_WINDOW_S:g} s.",
            labels=("port", "access"),
        )
        in_flight = GaugeMetricFamily(
            f"{_PREFIX}in_flight", "Requests that are not answered yet.", labels=("port",)
        )
        waiting: dict[str, int] = {}
        for (port, access), metrics in self._ports.items():
            if metrics.clients is not None:
                clients.add_metric((port, access), metrics.clients())
            players.add_metric((port, access), metrics.players.count())
            waiting[port] = waiting.get(port, 0) + metrics.in_flight
        for port_name, count in waiting.items():
            in_flight.add_metric((port_name,), count)
        yield from (clients, players, in_flight)

    def _of_service(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            f"{_PREFIX}ready",
            "Whether /readyz says 200: a predict would get its actions.",
            float(self.is_ready),
        )
        horizon = GaugeMetricFamily(
            f"{_PREFIX}model_horizon",
            "Steps in a chunk of actions, of each model that is served.",
            labels=("model", "version"),
        )
        for (model, version), steps in self.horizons().items():
            horizon.add_metric((model, version_label(version)), steps)
        yield horizon

    def _of_neighbours(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            f"{_PREFIX}triton_up",
            "Whether Triton answers at one of its endpoints' addresses.",
            labels=("endpoint", "address"),
        )
        for place, is_up in self.endpoints_up().items():
            up.add_metric(place, float(is_up))
        yield up
        yield GaugeMetricFamily(
            f"{_PREFIX}decoding_queue",
            "Images and large messages that are being decoded, or wait for a thread.",
            self.decoding(),
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}event_loop_lag_seconds",
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
        for outcome, count in (
            ("written", counts.written),
            ("dropped", counts.dropped),
            ("failed", counts.failed),
        ):
            predicts.add_metric((outcome,), count)
        yield predicts
        yield CounterMetricFamily(
            f"{_PREFIX}recorded_bytes", "Bytes of recordings written.", counts.written_bytes
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}recordings_kept_bytes", "Bytes of recordings in the folder.", counts.kept_bytes
        )


def _version() -> str:
    try:
        return importlib.metadata.version("nitrogen-triton")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
