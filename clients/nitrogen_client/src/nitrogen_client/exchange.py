"""One request and its reply, without a clock's waiting: what to do next, and why.

`exchange` is a generator. It yields each wait, which the sync and the asyncio client do in their own ways.
All decisions about formats and repetitions are here.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from nitrogen_client.connection import Connection, Wait
from nitrogen_client.errors import (
    ConnectionLostError,
    NitrogenError,
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

_FIRST_PAUSE_S = 0.05
_MAX_PAUSE_S = 1.0


@dataclass(frozen=True)
class Request:
    """A request, in no format yet.

    Attributes:
        type: "predict", "reset", "info" or "played".
        more: the fields that only this type has.
    """

    type: str
    options: Options
    image: Image | None = None
    more: Mapping[str, object] = field(default_factory=dict)

    def fields(self) -> dict[str, object]:
        """Return its fields but for the image."""
        return {"type": self.type, **self.options.fields(), **self.more}


@dataclass(frozen=True)
class Answer:
    """A reply that is not an error: its fields, and how it came.

    Attributes:
        round_trip_s: from the last sending to the reply.
        times_sent: how often the request was sent.
        is_first_of_connection: whether no predict was answered before, or failed, by the same connection.
    """

    fields: dict[str, Any]
    round_trip_s: float
    times_sent: int
    is_first_of_connection: bool


class Peer:
    """The state of the server at the other end of the present connection.

    Args:
        where: its address, for messages.
        protocol: "auto", "msgpack" or "pickle".
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

    def check_supports(self, request: Request) -> None:
        """Refuse what the server would silently ignore, and a request that it does not know.

        Raises:
            UnsupportedError: the server is of the older kind, and the request is a `played` one, or has a
                seed, game, model, noise or rows to continue.
        """
        if self._protocol == "auto" and self.format is PICKLE:
            if request.type == "played":
                raise UnsupportedError(
                    f"the server at {self.where} is of the older kind and does not take what was played"
                )
            fields = {**request.options.fields(), **request.more}
            ignored = [name for name in fields if name not in ("timing", "tick")]
            if ignored:
                raise UnsupportedError(
                    f"the server at {self.where} is of the older kind and would ignore {', '.join(ignored)}: "
                    "leave that out, or use a NitroGen gateway"
                )


def exchange(
    connection: Connection, peer: Peer, request: Request, *, timeout_s: float, deadline: float, retries: int
) -> Generator[Wait, None, Answer]:
    """Bring a request to its answer; yields each wait on the way to it, and returns the answer.

    It is tried again, up to `retries` times, when the connection ended before the reply came, and when the
    server says that it is busy or stopping.

    Args:
        connection: carries messages.
        peer: what is known of the server.
        request: the one to send.
        timeout_s: seconds for all of it.
        deadline: when they are over, of `time.monotonic`.
        retries: how often it is sent again.

    Raises:
        NitrogenError: of the class that tells why there is no answer.
    """
    tries, times_sent, pause_s = 0, 0, _FIRST_PAUSE_S
    while True:
        tries += 1
        if connection.renew():
            peer.forget()
        try:
            if peer.format is None:
                peer.learn(format_of((yield from connection.ask(QUESTION, timeout_s, deadline))))
            assert peer.format is not None  # noqa: S101 - for the type checker
            peer.check_supports(request)
            message = peer.format.encode(request.fields(), request.image)
            times_sent += 1
            begun = time.monotonic()
            reply = yield from connection.ask(message, timeout_s, deadline)
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


def _before_repeating(
    error: NitrogenError, pause_s: float, deadline: float, may_repeat: bool
) -> Generator[Wait, None, float]:
    """Wait before a request is sent again; return how long to wait the next time."""
    # Not all at the same moment, where many clients were refused at once.
    jittered_s = pause_s * random.uniform(0.5, 1)  # noqa: S311 - nobody gains by guessing it
    if not may_repeat or time.monotonic() + jittered_s >= deadline:
        raise error
    logger.info("sending the request again in %.2f s: %s", jittered_s, error)
    yield Wait(jittered_s)
    return min(2 * pause_s, _MAX_PAUSE_S)
