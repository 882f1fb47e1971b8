"""The common parts of the checks: findings, connections that say why they fail, measured requests."""

import errno
import io
import re
import socket
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from contract.endpoint import Endpoint
from contract.gamepad import CHUNK_WIDTHS
from contract.tensors import FRAME_SHAPE
from gateway.safe_text import one_line, shortened

REQUESTS = 5
_MAX_CHARACTERS = 300

PORT_NAMES = {"zmq": "ZeroMQ", "tcp": "TCP", "web": "web", "http": "HTTP"}
# How the answers of a gateway's ports begin, whatever the request.
_ANSWERS = (
    (re.compile(rb"\xff.{8}\x7f", re.DOTALL), "zmq", "in ZeroMQ"),
    (re.compile(rb'(?:[0-9]+ )?\{"status":'), "tcp", "as the TCP port does"),
    (re.compile(rb"HTTP/1\."), "http", "in HTTP"),
)


class FlagError(Exception):
    """A file that a flag names cannot be used; the message never shows its content."""


class ProbeError(Exception):
    """Something does not work; the message says the likely reason, and what to do."""


class ForeignError(ProbeError):
    """Another program than the gateway's port listens there; nothing else is tried.

    Args:
        speaks: what it answers like, by the name of the gateway's port that does; empty when that is not
            known.
    """

    def __init__(self, message: str, speaks: str = "") -> None:
        super().__init__(message)
        self.speaks = speaks


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; a "note" neither works nor fails.

    Attributes:
        where: the port.
        what: what was tried.
        speaks: as of a ForeignError.
    """

    where: str
    what: str
    state: Literal["ok", "FAIL", "note"]
    detail: str
    speaks: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A port of a gateway.

    Attributes:
        flag: the one that sets the port's number.
        timeout_s: for connecting, and for each reply.
    """

    host: str
    port: int
    timeout_s: float
    flag: str

    def __str__(self) -> str:
        return str(Endpoint(self.host, self.port))


def finding(where: str, what: str, probe: Callable[[], str]) -> Finding:
    """Return the result of a probe, which returns its detail or raises a ProbeError.

    Raises:
        ForeignError: nothing else is worth trying on this port.
    """
    try:
        return Finding(where, what, "ok", probe())
    except ForeignError:
        raise
    except ProbeError as problem:
        return Finding(where, what, "FAIL", str(problem))


def connect(place: Place) -> socket.socket:
    """Return a connection to a port.

    Raises:
        ProbeError: there is none; the message says why.
    """
    try:
        return socket.create_connection((place.host, place.port), place.timeout_s)
    except ConnectionRefusedError:
        problem = (
            f"refused: nothing listens on {place}; start the gateway, or name its port with {place.flag}"
            f"{'' if place.flag == '--triton' else ' (off leaves it out)'}"
        )
    except TimeoutError:
        problem = (
            f"no connection to {place} within {place.timeout_s:g} s: the machine is off, or a firewall "
            "drops the packets"
        )
    except socket.gaierror as error:
        problem = f"the name {place.host!r} cannot be resolved ({error.strerror}): check it"
    except UnicodeError:
        problem = f"{place.host!r} is not a valid host name: check it"
    except OSError as error:
        hint = "check the address and the network" if error.errno != errno.EMFILE else "close some programs"
        problem = f"no connection to {place} ({error.strerror or error}): {hint}"
    raise ProbeError(problem)


def foreign(place: Place, received: bytes, wanted: str) -> ForeignError:
    """Return the error for a port that does not answer as the `wanted` one does."""
    for begins, name, speaks in _ANSWERS:
        if begins.match(received) and name != wanted:
            return ForeignError(
                f"{place} is not the gateway's {PORT_NAMES[wanted]} port: it answers {speaks}; name the "
                f"right one with {place.flag}",
                name,
            )
    return ForeignError(
        f"another program listens on {place}: it answers with {shown_bytes(received)}, which is not "
        f"{PORT_NAMES[wanted]}; name the gateway's port with {place.flag}"
    )


def late(place: Place) -> ProbeError:
    """Return the error for a port that accepts a connection and a request, and does not answer."""
    return ProbeError(
        f"connected, but no reply within {place.timeout_s:g} s: the gateway is stuck, or another program "
        "listens there"
    )


def median_of_predicts(ask: Callable[[], Mapping[str, Any]]) -> str:
    """Return the detail of working predicts: the median latency and the number of steps.

    Raises:
        ProbeError: a reply was not a chunk.
    """
    seconds = []
    steps = 0
    for _ in range(REQUESTS):
        began = time.perf_counter()
        reply = ask()
        seconds.append(time.perf_counter() - began)
        steps = steps_of(reply)
    return f"{statistics.median(seconds) * 1000:.1f} ms, {steps} steps"


def steps_of(reply: Mapping[str, Any]) -> int:
    """Return how many steps a predict's reply has.

    Raises:
        ProbeError: it is an error reply, or not shaped as the protocols say.
    """
    fields = require_ok(reply)
    try:
        pred = fields["pred"]
        shapes = [np.shape(pred[name]) for name in CHUNK_WIDTHS]
        steps = shapes[0][0]
        if shapes != [(steps, width) for width in CHUNK_WIDTHS.values()]:
            raise ValueError
    except (LookupError, TypeError, ValueError):
        raise ProbeError(
            "the reply says ok, but lacks two sticks and 21 buttons: is that a NitroGen gateway?"
        ) from None
    return int(steps)


def require_ok(reply: object) -> Mapping[str, Any]:
    """Return a reply that says ok.

    Raises:
        ProbeError: it is an error reply, whose text the message has, or not a gateway's.
    """
    if not isinstance(reply, Mapping) or reply.get("status") not in ("ok", "error"):
        raise ProbeError(f"the reply is not a gateway's ({shown(repr(reply))}): is it another program?")
    if reply["status"] == "error":
        raise ProbeError(f"error reply: {shown(str(reply.get('message')))}")
    return reply


def model_in(reply: object) -> str:
    """Return, in a few words, the model in an info reply.

    Raises:
        ProbeError: it is not an info reply.
    """
    info = require_ok(reply).get("info")
    if not isinstance(info, Mapping):
        raise ProbeError("the reply says ok, but lacks the info: is that a NitroGen gateway?")
    parts = [f"checkpoint {info.get('ckpt_path')}"]
    parts += [f"{name} {info[name]}" for name in ("model", "version") if info.get(name) is not None]
    parts += ["takes previous chunks"] if info.get("conditioning") is True else []
    return shown(", ".join(parts))


def shown(text: str) -> str:
    """Return a stranger's text as one short line that is safe to print."""
    return shortened(one_line(text), _MAX_CHARACTERS)


def shown_bytes(data: bytes) -> str:
    """Return the beginning of some bytes, safe to print."""
    return repr(data[:40])[1:]


def test_frame() -> NDArray[np.uint8]:
    """Return an artificial picture, (256, 256, 3) uint8 RGB."""
    rows, columns = np.indices(FRAME_SHAPE[:2])
    return np.stack([rows, columns, (rows + columns) // 2], axis=2).astype(np.uint8)


def test_png(height: int, width: int) -> bytes:
    """Return an artificial picture of another size, as a PNG file."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(test_frame()).resize((width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def report(findings: Sequence[Finding]) -> str:
    """Return findings as lines of a table, with the same columns for all ports."""
    return "".join(f"{one.state:<4}  {one.where:<12}  {one.what:<20}  {one.detail}\n" for one in findings)
