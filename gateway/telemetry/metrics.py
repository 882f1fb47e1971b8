"""The gateway's Prometheus metrics, in a registry of their own."""

from collections.abc import Callable
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

Port = Literal["zmq", "tcp"]

# Seconds: from a small model on a GPU to the longest deadline.
_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 10.0, 30.0)


class Metrics:
    """All metrics of one gateway."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "nitrogen_gateway_requests_total",
            "Requests answered, by what they were and how they ended.",
            ("port", "type", "outcome"),
            registry=self.registry,
        )
        self._predicts = Counter(
            "nitrogen_gateway_model_predicts_total",
            "Predicts answered, by the model that they named and how they ended.",
            ("model", "outcome"),
            registry=self.registry,
        )
        self._stages = Histogram(
            "nitrogen_gateway_stage_seconds",
            "Seconds spent per stage: decode (with the wait for earlier frames), infer, total.",
            ("port", "stage"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._clients = Gauge(
            "nitrogen_gateway_clients",
            "TCP connections that are open; ZeroMQ clients seen lately.",
            ("port",),
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "nitrogen_gateway_in_flight",
            "Requests that are not answered yet.",
            ("port",),
            registry=self.registry,
        )

    def port(self, port: Port) -> "PortMetrics":
        """Return the metrics of one port."""
        return PortMetrics(port, self._requests, self._predicts, self._stages, self._clients, self._in_flight)

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class PortMetrics:
    """The metrics of one port, with the labels that never change already bound."""

    def __init__(
        self,
        port: Port,
        requests: Counter,
        predicts: Counter,
        stages: Histogram,
        clients: Gauge,
        in_flight: Gauge,
    ) -> None:
        self._port = port
        self._requests = requests
        self._predicts = predicts
        self._decode = stages.labels(port, "decode")
        self._infer = stages.labels(port, "infer")
        self._total = stages.labels(port, "total")
        self._clients = clients.labels(port)
        self._in_flight = in_flight.labels(port)
        self._in_flight.set(0)

    def count_clients_by(self, count: Callable[[], float]) -> None:
        """Take the number of clients from `count` whenever the metrics are read."""
        self._clients.set_function(count)

    def begun(self) -> None:
        """Count a request as in flight."""
        self._in_flight.inc()

    def dropped(self) -> None:
        """Count a request as gone with its client, unanswered."""
        self._in_flight.dec()

    def answered(self, request_type: str, outcome: str, total_s: float) -> None:
        """Count a request as answered, `total_s` seconds after its arrival."""
        self._in_flight.dec()
        self._requests.labels(self._port, request_type, outcome).inc()
        self._total.observe(total_s)

    def model_answered(self, model: str, outcome: str) -> None:
        """Count a predict as answered; `model` is one of a bounded set of names."""
        self._predicts.labels(model, outcome).inc()

    def predicted(self, decode_s: float, infer_s: float) -> None:
        """Record the stages of a predict that got its actions, in seconds."""
        self._decode.observe(decode_s)
        self._infer.observe(infer_s)
