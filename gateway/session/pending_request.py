"""One request on its way through a session: its times, its frames and its reply."""

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from gateway.protocol.messages import Frame, Reply, Request, Timing
from gateway.telemetry.exchange import Exchange
from gateway.telemetry.port_metrics import Stages

# Tells the requests of this process from those of another, or of an earlier one, in logs kept together.
_PROCESS = secrets.token_hex(3)
_numbers = itertools.count(1)


def next_request_id() -> str:
    """Return an id that stands for one request in logs, recordings, traces and Triton's own log."""
    return f"{_PROCESS}-{next(_numbers):x}"


class PendingRequest:
    """One request on its way; times are of `time.perf_counter`, finer than the event loop's clock."""

    __slots__ = (
        "accepted",
        "answer",
        "answered",
        "arrival",
        "dispatched",
        "encode",
        "encoded",
        "frame",
        "frames",
        "id",
        "is_admitted",
        "outcome",
        "preparation",
        "problem",
        "receive_s",
        "reply",
        "request",
        "send",
        "size",
        "task",
    )

    def __init__(
        self,
        id_: str,
        send: Callable[[bytes], None],
        encode: Callable[[Reply], bytes],
        arrival: float,
        receive_s: float,
        size: int,
    ) -> None:
        self.id = id_
        self.send = send
        self.encode = encode
        self.receive_s = receive_s
        self.size = size
        self.arrival = self.accepted = self.dispatched = self.answered = self.encoded = arrival
        self.request: Request | None = None
        self.frames: tuple[Frame, ...] = ()
        self.problem: Exception | None = None
        self.frame: Frame | None = None
        self.answer = Reply()
        self.reply: bytes | None = None
        self.outcome = "ok"
        self.is_admitted = False
        self.preparation: asyncio.Task[None] | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def kind(self) -> str:
        """What it was, for metrics: the request's type, or why there is none."""
        if self.request is not None:
            return self.request.type
        return "control" if self.outcome == "ok" else "unknown"

    def with_timing(self, reply: Reply, now: float) -> Reply:
        """Note that the answer is there, and add the gateway's times to it where they were asked for."""
        self.answered = now
        if self.request is None or not self.request.timing:
            return reply
        milliseconds = (self.accepted - self.arrival, now - self.accepted, now - self.arrival)
        return replace(reply, timing=Timing(*(1000 * seconds for seconds in milliseconds)))

    def encode_reply(self, reply: Reply) -> None:
        """Make the reply's bytes."""
        self.reply = self.encode(reply)
        self.encoded = time.perf_counter()

    def stages(self, sent: float) -> Stages:
        """Return where the time went of a predict that got its actions."""
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
        """Return the stage that took most of the time so far of a request that has no answer."""
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

    def exchange(self, port: str, client: str) -> Exchange:
        """Return what a recording holds of a predict that has got its reply."""
        assert self.request is not None  # noqa: S101 - for the type checker
        total_s = time.perf_counter() - self.arrival
        frame = None if self.frame is None else bytes(self.frame)
        return Exchange(
            time.time() - total_s, port, client, self.id, self.request, frame, self.answer, total_s
        )

    def tags(self, client: str) -> dict[str, str]:
        """Return the fields of a log line about this request."""
        return {"request_id": self.id, "client": client}
