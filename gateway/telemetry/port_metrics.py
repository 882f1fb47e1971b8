"""Counts of the requests of one port's clients."""

from collections.abc import Callable, Hashable, Iterator
from typing import Literal, NamedTuple

from prometheus_client.core import Metric

from gateway.telemetry.instruments import Distributions, RecentClients, Tally

# From a small model on a GPU to the longest deadline.
_SECONDS = (
    *(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 10.0, 30.0),
)

Access = Literal["anonymous", "authorised"]


class Stages(NamedTuple):
    """The stages of a predict, in seconds.

    Attributes:
        receive_s: from its first byte to its last.
        decode_s: until its frame was in the client's context.
        queue_s: until it was sent to Triton.
        infer_s: until Triton answered.
        encode_s: making the reply's bytes.
        send_s: passing them to the socket.
        total_s: from the request's last byte to the end of `send_s`.
    """

    receive_s: float
    decode_s: float
    queue_s: float
    infer_s: float
    encode_s: float
    send_s: float
    total_s: float


class RequestCounts:
    """The counters of all ports' requests; the metrics' names begin with `prefix`."""

    def __init__(self, prefix: str) -> None:
        self.requests = Tally(
            f"{prefix}requests",
            "Requests answered, by what they were and how they ended.",
            ("port", "access", "type", "outcome"),
        )
        self.predicts = Tally(
            f"{prefix}model_predicts",
            "Predicts answered, by the model and version that they were for and how they ended.",
            ("model", "version", "outcome"),
        )
        self.refusals = Tally(
            f"{prefix}refused", "Connections and requests refused at the door, by why.", ("port", "reason")
        )
        self.dropped = Tally(
            f"{prefix}dropped", "Requests whose client left before its reply.", ("port", "access")
        )
        self.seconds = Distributions(
            f"{prefix}request_seconds",
            "Seconds from a request's last byte to its reply, however it ended.",
            ("port", "type"),
            _SECONDS,
        )
        self.stages = Distributions(
            f"{prefix}stage_seconds",
            "Seconds that predicts with actions spent per stage: receive, decode (with the wait for earlier "
            "frames), queue, infer, encode, send; total is from the last byte to the reply.",
            ("port", "stage"),
            _SECONDS,
        )

    def families(self) -> Iterator[Metric]:
        """Yield the counts so far."""
        for counted in vars(self).values():
            yield counted.family()


class PortMetrics:
    """The metrics of one port's clients; `Metrics` reads `in_flight`, `players` and `clients`."""

    def __init__(self, port: str, access: Access, counts: RequestCounts) -> None:
        self.port = port
        self._access = access
        self._counts = counts
        self._stages = [counts.stages.of(port, name.removesuffix("_s")) for name in Stages._fields]
        self.clients: Callable[[], float] | None = None
        self.players = RecentClients()
        self.in_flight = 0

    def count_clients_by(self, count: Callable[[], float]) -> None:
        """Use `count` for the number of clients whenever the metrics are read."""
        self.clients = count

    def played(self, client: Hashable) -> None:
        """Note that a client sent a predict; `client` identifies it on this port."""
        self.players.saw(client)

    def refused(self, reason: str) -> None:
        """Count a refused connection or request; `reason` is one of a bounded set."""
        self._counts.refusals.add((self.port, reason))

    def begun(self) -> None:
        """Count a request as in flight."""
        self.in_flight += 1

    def dropped(self) -> None:
        """Count a request whose client left before the reply."""
        self.in_flight -= 1
        self._counts.dropped.add((self.port, self._access))

    def answered(self, request_type: str, outcome: str, total_s: float) -> None:
        """Count a request as answered, `total_s` seconds after its last byte."""
        self.in_flight -= 1
        self._counts.requests.add((self.port, self._access, request_type, outcome))
        self._counts.seconds.of(self.port, request_type).observe(total_s)

    def model_answered(self, model: str, version: int, outcome: str) -> None:
        """Count a predict as answered.

        Args:
            model: one of a bounded set of names.
            version: the model's, 0 if none answered.
            outcome: "ok", or the kind of the error.
        """
        self._counts.predicts.add((model, version_label(version), outcome))

    def stages(self, stages: Stages) -> None:
        """Record the stages of an answered predict."""
        for distribution, seconds in zip(self._stages, stages, strict=True):
            distribution.observe(seconds)


def version_label(version: int) -> str:
    """Return a model's version as a label's value; 0 means unknown."""
    return str(version) if version else ""
