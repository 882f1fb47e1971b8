"""One request on its way through a session: its times, its inference's inputs, and its reply."""

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from gateway.data_plane import NOTHING, Seen
from gateway.protocol.messages import Frame, Reply, Request, Timing
from gateway.telemetry.port_metrics import Stages
from gateway.telemetry.recording_format import Exchange

# Distinguishes this process's requests from other processes' in common logs.
_PROCESS = secrets.token_hex(3)
_numbers = itertools.count(1)


@dataclass(slots=True, eq=False)
class PendingRequest:
    """One request on its way; times are from `time.perf_counter`, finer than the event loop's clock.

    The session sets the attributes that are not named here.

    Attributes:
        send: called once, with the bytes of its reply.
        encode: makes these bytes, in the request's own format.
        arrival: when its last byte came, now by default.
        receive_s: how long it took to come.
        size: its bytes.
        id: its name in logs, recordings, traces and Triton's own log.
    """

    send: Callable[[bytes], None]
    encode: Callable[[Reply], bytes]
    arrival: float = field(default_factory=time.perf_counter)
    receive_s: float = 0.0
    size: int = 0
    id: str = field(init=False, default_factory=lambda: f"{_PROCESS}-{next(_numbers):x}")
    is_admitted: bool = field(init=False, default=False)
    is_late: bool = field(init=False, default=False)
    # The request itself, once it is decoded, or why it cannot be.
    preparation: asyncio.Task[None] | None = field(init=False, default=None)
    problem: Exception | None = field(init=False, default=None)
    request: Request | None = field(init=False, default=None)
    frame: Frame | None = field(init=False, default=None)
    seen: Seen = field(init=False, default=NOTHING)
    # The task that gets its answer, the answer, and the answer's bytes.
    task: asyncio.Task[None] | None = field(init=False, default=None)
    answer: Reply = field(init=False, default=Reply())
    outcome: str = field(init=False, default="ok")
    reply: bytes | None = field(init=False, default=None)
    accepted: float = field(init=False)
    dispatched: float = field(init=False)
    answered: float = field(init=False)
    encoded: float = field(init=False)

    def __post_init__(self) -> None:
        """Start all stages at the arrival, so that skipped ones take no time."""
        self.accepted = self.dispatched = self.answered = self.encoded = self.arrival

    def accept(self, request: Request, frame: Frame | None, seen: Seen) -> None:
        """Note that the request is applied to its client's context; `seen` are its inference's inputs."""
        self.request = request
        self.frame = frame
        self.seen = seen
        self.accepted = time.perf_counter()

    def settle(self, reply: Reply, outcome: str) -> None:
        """Take the answer, and make the reply's bytes; raise whatever encoding raises."""
        self.answered = time.perf_counter()
        if self.request is not None and self.request.timing:
            reply = replace(reply, timing=self._timing())
        self.reply = self.encode(reply)
        self.encoded = time.perf_counter()
        self.outcome = outcome
        self.answer = reply
        self.seen = NOTHING

    def _timing(self) -> Timing:
        """Return the gateway's times up to the answer."""
        return Timing(
            1000 * (self.accepted - self.arrival),
            1000 * (self.answered - self.accepted),
            1000 * (self.answered - self.arrival),
        )

    @property
    def kind(self) -> str:
        """The kind for metrics: the request's type, or why there is none."""
        if self.request is not None:
            return self.request.type
        return "control" if self.outcome == "ok" else "unknown"

    def stages(self, sent: float) -> Stages:
        """Return where the time of an answered predict went."""
        return Stages(
            receive_s=self.receive_s,
            decode_s=self.accepted - self.arrival,
            queue_s=self.dispatched - self.accepted,
            infer_s=self.answered - self.dispatched,
            encode_s=self.encoded - self.answered,
            send_s=sent - self.encoded,
            total_s=sent - self.arrival,
        )

    def longest_wait(self) -> Literal["decode", "queue", "infer"]:
        """Return the stage that has taken most of an unanswered request's time so far."""
        now = time.perf_counter()
        is_decoding = self.preparation is not None and not self.preparation.done()
        accepted = now if is_decoding else self.accepted
        dispatched = self.dispatched if self.dispatched > self.arrival else now
        waits: dict[Literal["decode", "queue", "infer"], float] = {
            "decode": accepted - self.arrival,
            "queue": dispatched - accepted,
            "infer": now - dispatched,
        }
        return max(waits, key=waits.__getitem__)

    def exchange(self, port: str, client: str, episode: int) -> Exchange:
        """Return what a recording holds of an answered predict or `played`."""
        assert self.request is not None  # noqa: S101 - for the type checker
        total_s = time.perf_counter() - self.arrival
        frame = None if self.frame is None else bytes(self.frame)
        return Exchange(
            time.time() - total_s, port, client, self.id, self.request, frame, self.answer, total_s, episode
        )

    def tags(self, client: str) -> dict[str, str]:
        """Return the fields of a log line about this request."""
        return {"request_id": self.id, "client": client}
