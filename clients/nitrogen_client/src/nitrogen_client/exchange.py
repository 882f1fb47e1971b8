"""One request and its reply, without a socket and without a clock's waiting: what to do next, and why.

`exchange` is a generator. It yields steps; the sync and the asyncio client carry them out and send back what
came of them. All that is decided about formats, repetitions and errors is decided here, once.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Union

from nitrogen_client.errors import (
    AccessRefusedError,
    ConnectionFailedError,
    ConnectionLostError,
    NitrogenError,
    ProtocolError,
    ReplyTimeoutError,
    ServerBusyError,
    ServerError,
    ServerStoppingError,
    UnsupportedError,
)
from nitrogen_client.formats import MSGPACK, PICKLE, QUESTION, Format, format_of
from nitrogen_client.images import Image
from nitrogen_client.options import Options
from nitrogen_client.server_errors import check_status

logger = logging.getLogger(__name__)

A_ZEROMQ_PORT = "a ZeroMQ port (a gateway's is usually 5555; 5556 and 8080 are for others)"

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0


@dataclass(frozen=True)
class Connect:
    """Step: make a new connection unless the present one is fit; answered by whether it is a new one."""


@dataclass(frozen=True)
class Ask:
    """Step: send a message by the connection and wait for its reply; answered by an `Outcome`."""

    message: bytes


@dataclass(frozen=True)
class Pause:
    """Step: wait."""

    seconds: float


Step = Union[Connect, Ask, Pause]


@dataclass(frozen=True)
class Received:
    """Outcome: the parts of the reply."""

    parts: list[bytes]


@dataclass(frozen=True)
class Lost:
    """Outcome: the connection ended after the message may have been sent; its reply will not come."""


@dataclass(frozen=True)
class Refused:
    """Outcome: the server does not let this client in."""

    error: AccessRefusedError


@dataclass(frozen=True)
class Silent:
    """Outcome: the time is over. `trouble`: why connections fail, where that is known."""

    is_connected: bool
    trouble: str | None


Outcome = Union[Received, Lost, Refused, Silent]


@dataclass(frozen=True)
class Request:
    """A request, in no format yet. `type`: "predict", "reset" or "info"."""

    type: str
    options: Options
    image: Image | None = None

    def fields(self) -> dict[str, object]:
        """Return its fields but for the image."""
        return {"type": self.type, **self.options.fields()}


@dataclass(frozen=True)
class Answer:
    """A reply that is no error: its fields, and how it came.

    `round_trip_s`: from the last sending to the reply. `times_sent`: how often the request was sent.
    `is_first_of_connection`: whether no predict was answered before, or failed, by the same connection.
    """

    fields: dict[str, Any]
    round_trip_s: float
    times_sent: int
    is_first_of_connection: bool


class Peer:
    """What is known of the server at the other end of the present connection.

    `where`: its address, for messages. `protocol`: "auto", "msgpack" or "pickle".
    """

    def __init__(self, where: str, protocol: str) -> None:
        self.where = where
        self._protocol = protocol
        self.forget()

    def forget(self) -> None:
        """Forget what was known: behind a new connection may be another server."""
        self.format: Format | None = {"msgpack": MSGPACK, "pickle": PICKLE}.get(self._protocol)
        self.has_predicted = False

    def learn(self, format_: Format) -> None:
        """Remember the format in which the server answered the question."""
        logger.info("the server at %s speaks %s", self.where, format_.name)
        self.format = format_

    def check_supports(self, options: Options) -> None:
        """Refuse what the server would silently ignore.

        Raises:
            UnsupportedError: the server is of the older kind, and the request has a seed, game or model.
        """
        if self._protocol == "auto" and self.format is PICKLE:
            ignored = [name for name in options.fields() if name != "timing"]
            if ignored:
                raise UnsupportedError(
                    f"the server at {self.where} is of the older kind and would ignore {', '.join(ignored)}: "
                    "leave that out, or use a NitroGen gateway"
                )


def exchange(peer: Peer, request: Request, *, timeout_s: float, retries: int) -> Generator[Step, Any, Answer]:
    """Bring a request to its answer; yields the steps to it, and returns the answer.

    It is tried again, up to `retries` times, when the connection ended before the reply came, and when the
    server says that it is busy or stopping.

    Raises:
        NitrogenError: of the class that tells why there is no answer.
    """
    deadline = time.monotonic() + timeout_s
    tries, times_sent, pause_s = 0, 0, _FIRST_PAUSE_S
    while True:
        tries += 1
        if (yield Connect()):
            peer.forget()
        try:
            if peer.format is None:
                peer.learn(format_of((yield from _ask(peer, QUESTION, timeout_s))))
            assert peer.format is not None  # noqa: S101 - for the type checker
            peer.check_supports(request.options)
            message = peer.format.encode(request.fields(), request.image)
            times_sent += 1
            begun = time.monotonic()
            reply = yield from _ask(peer, message, timeout_s)
            round_trip_s = time.monotonic() - begun
            fields = format_of(reply).decode(reply)
            check_status(fields, is_gateway=format_of(reply) is MSGPACK)
        except (ConnectionLostError, ServerBusyError, ServerStoppingError) as error:
            pause_s = yield from _before_repeating(error, pause_s, deadline, tries <= retries)
        except ServerError:
            peer.has_predicted |= request.type == "predict"
            raise
        else:
            is_first = not peer.has_predicted
            peer.has_predicted |= request.type == "predict"
            return Answer(fields, round_trip_s, times_sent, is_first)


def _ask(peer: Peer, message: bytes, timeout_s: float) -> Generator[Step, Any, bytes]:
    outcome = yield Ask(message)
    if isinstance(outcome, Received):
        if len(outcome.parts) != 1:
            raise ProtocolError(f"the reply has {len(outcome.parts)} parts: is {peer.where} another program?")
        return outcome.parts[0]
    if isinstance(outcome, Lost):
        raise ConnectionLostError(f"the connection to {peer.where} ended before the reply came")
    if isinstance(outcome, Refused):
        raise outcome.error
    if outcome.is_connected:
        raise ReplyTimeoutError(
            f"no reply from {peer.where} within {timeout_s:g} s: it is overloaded or stuck, or a broker "
            "without a gateway behind it; send the next request, or give more timeout_s"
        )
    why = outcome.trouble or (
        f"is the server running there, is the name right, and is the port open, and {A_ZEROMQ_PORT}?"
    )
    raise ConnectionFailedError(f"no connection to {peer.where} within {timeout_s:g} s: {why}")


def _before_repeating(
    error: NitrogenError, pause_s: float, deadline: float, may_repeat: bool
) -> Generator[Step, Any, float]:
    """Wait before a request is sent again; return how long to wait the next time."""
    # Not all at the same moment, where many clients were refused at once.
    jittered_s = pause_s * random.uniform(0.5, 1)  # noqa: S311 - nobody gains by guessing it
    if not may_repeat or time.monotonic() + jittered_s >= deadline:
        raise error
    logger.info("sending the request again in %.2f s: %s", jittered_s, error)
    yield Pause(jittered_s)
    return min(2 * pause_s, _LONGEST_PAUSE_S)
