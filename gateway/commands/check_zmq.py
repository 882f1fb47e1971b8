"""Checking port 5555 as its clients use it: pickles with PIL images and arrays, msgpack, CURVE keys."""

import argparse
import contextlib
import io
import pickle
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import PIL.Image
import zmq
from zmq.auth import load_certificate
from zmq.utils.monitor import recv_monitor_message

from command_line.paths import local_path
from gateway.commands.probing import (
    Finding,
    FlagError,
    Place,
    ProbeError,
    connect,
    finding,
    foreign,
    median_of_predicts,
    model_in,
    shown,
    test_frame,
)

# A ZMTP 3 greeting: signature, version, mechanism (20 bytes), as-server, filler. libzmq sends its mechanism
# after a signature and a version, and disconnects a client that sends another mechanism. A gateway waits for
# the whole greeting.
_SIGNATURE = b"\xff\0\0\0\0\0\0\0\1\x7f"
_OPENING = _SIGNATURE + b"\3"
_GREETING_BYTES = 64
_MECHANISM = slice(12, 32)
# How long to wait for libzmq's mechanism before sending the rest.
_TOLD_WITHIN_S = 0.4
_MAX_REPLY_BYTES = 16 * 2**20
_FAILURES = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "this client may not connect: its key or its address is not allowed",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "the keys do not match: check --server-key and --client-key",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "the keys do not match: check --server-key and --client-key",
}


@dataclass(frozen=True, slots=True, repr=False)
class CurveClient:
    """A client's pair of CURVE keys and the gateway's public one, in Z85."""

    public: bytes
    secret: bytes
    server: bytes


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that ZeroMQ clients need to get in."""
    parser.add_argument("--no-pickle", action="store_true", help="the gateway runs with --no-pickle")
    parser.add_argument("--client-key", type=local_path, help="CURVE: file NAME.key_secret of this client")
    parser.add_argument("--server-key", type=local_path, help="CURVE: file server.key of the gateway")


def prepare(arguments: argparse.Namespace) -> Callable[[Place], Iterator[Finding]]:
    """Return the check of a ZeroMQ port.

    Raises:
        FlagError: the files are not a pair of keys, or only one of the two flags was given.
    """
    keys = _curve(arguments.client_key, arguments.server_key)
    return partial(_check, keys=keys, takes_pickle=not arguments.no_pickle)


def _check(place: Place, keys: CurveClient | None, *, takes_pickle: bool) -> Iterator[Finding]:
    """Yield what works on the ZeroMQ port and what does not.

    Raises:
        ProbeError: there is no connection, the keys are missing, or another program listens there.
    """
    where = f"zmq {place.port}"
    _check_mechanism(_mechanism(place), keys)
    frame = test_frame()
    pil = PIL.Image.fromarray(frame)
    array = {"shape": list(frame.shape), "dtype": "uint8", "data": frame.tobytes()}
    kinds: list[tuple[str, object, _Format]] = [("msgpack", array, _MSGPACK)]
    if takes_pickle:
        kinds = [("pickle, PIL image", pil, _PICKLE), ("pickle, numpy array", frame, _PICKLE), *kinds]
        yield finding(where, "pickle, info", lambda: _info(place, keys, _PICKLE))
    else:
        yield finding(where, "msgpack, info", lambda: _info(place, keys, _MSGPACK))
    for what, image, form in kinds:
        yield finding(where, what, lambda image=image, form=form: _predicts(place, keys, image, form))  # type: ignore[misc]


def _curve(client: Path | None, server: Path | None) -> CurveClient | None:
    if client is None and server is None:
        return None
    if client is None or server is None:
        raise FlagError("--client-key and --server-key need each other: give both")
    public, secret = _certificate("--client-key", client)
    if secret is None:
        raise FlagError(
            f"--client-key is {str(client)!r}, which has no secret key: NAME.key_secret is needed"
        )
    return CurveClient(public, secret, _certificate("--server-key", server)[0])


def _certificate(flag: str, path: Path) -> tuple[bytes, bytes | None]:
    try:
        return load_certificate(path)
    except (OSError, ValueError):
        raise FlagError(f"{flag} is {str(path)!r}, which is not a readable file of CURVE keys") from None


@dataclass(frozen=True, slots=True)
class _Format:
    """How to write requests and read replies."""

    pack: Callable[[dict[str, object]], bytes]
    unpack: Callable[[bytes], object]


def _info(place: Place, keys: CurveClient | None, form: _Format) -> str:
    with _Client(place, keys) as client:
        return model_in(client.ask({"type": "info"}, form))


def _predicts(place: Place, keys: CurveClient | None, image: object, form: _Format) -> str:
    with _Client(place, keys) as client:
        return median_of_predicts(lambda: client.ask({"type": "predict", "image": image}, form))


def _mechanism(place: Place) -> str:
    """Return how clients of the port identify themselves: "NULL" (not at all) or "CURVE"."""
    received = b""
    for mechanism in (b"NULL", b"CURVE"):
        received = _greeting(place, mechanism)
        if not _is_zmtp(received) or len(received) == _GREETING_BYTES:
            break
    if not received:
        raise ProbeError(
            f"{place} takes connections but says nothing, or closes them: another program listens there, or "
            "the gateway does not admit this machine (--allow)"
        )
    if not _is_zmtp(received):
        raise foreign(place, received, "zmq")
    return received[_MECHANISM].rstrip(b"\0").decode("latin1")


def _greeting(place: Place, mechanism: bytes) -> bytes:
    """Return the port's answer to a client's greeting, up to a whole greeting."""
    received = b""
    whole = (_OPENING + b"\0" + mechanism).ljust(_GREETING_BYTES, b"\0")
    with connect(place) as connection:
        try:
            connection.sendall(_OPENING)
            received = _received(connection, received, min(_TOLD_WITHIN_S, place.timeout_s))
            if len(received) < _GREETING_BYTES and (not received or _is_zmtp(received)):
                connection.sendall(whole[len(_OPENING) :])
                received = _received(connection, received, place.timeout_s)
        except OSError:
            pass  # what was received tells enough, even if it is nothing
    return received


def _received(connection: socket.socket, before: bytes, within_s: float) -> bytes:
    """Return what was received before, and what comes within some seconds, up to a whole greeting."""
    received = before
    deadline = time.monotonic() + within_s
    with contextlib.suppress(TimeoutError):
        while len(received) < _GREETING_BYTES:
            connection.settimeout(max(0.01, deadline - time.monotonic()))
            part = connection.recv(_GREETING_BYTES - len(received))
            if not part:
                break
            received += part
    return received


def _is_zmtp(received: bytes) -> bool:
    return received[:1] == _SIGNATURE[:1] and received[9:10] == _SIGNATURE[9:10]


def _check_mechanism(mechanism: str, keys: CurveClient | None) -> None:
    if mechanism == "CURVE" and keys is None:
        raise ProbeError("the gateway needs keys (CURVE): give --client-key and --server-key")
    if mechanism == "NULL" and keys is not None:
        raise ProbeError("the gateway uses no keys: leave them out, or start it with --curve-keys")
    if mechanism not in ("NULL", "CURVE"):
        raise ProbeError(f"another program's ZeroMQ listens there: its mechanism is {shown(mechanism)!r}")


class _Client:
    """A REQ socket like the deployed clients', which also notices why it gets no reply."""

    def __init__(self, place: Place, keys: CurveClient | None) -> None:
        self._place = place
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REQ)
        self._socket.linger = 0
        self._socket.setsockopt(zmq.IPV6, 1)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _MAX_REPLY_BYTES)
        if keys is not None:
            self._socket.curve_publickey = keys.public
            self._socket.curve_secretkey = keys.secret
            self._socket.curve_serverkey = keys.server
        self._events = self._socket.get_monitor_socket()
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._events, zmq.POLLIN)
        self._socket.connect(f"tcp://{place}")

    def __enter__(self) -> "_Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.disable_monitor()
        self._context.destroy(linger=0)

    def ask(self, fields: dict[str, object], form: _Format) -> Any:  # noqa: ANN401 - whatever came
        """Send a request; return its reply."""
        self._socket.send(form.pack(fields))
        deadline = time.monotonic() + self._place.timeout_s
        while (remaining_s := deadline - time.monotonic()) > 0:
            ready = dict(self._poller.poll(round(remaining_s * 1000) + 1))
            if self._socket in ready:
                return form.unpack(self._socket.recv())
            if self._events in ready:
                event = zmq.Event(recv_monitor_message(self._events)["event"])
                if event in _FAILURES:
                    raise ProbeError(_FAILURES[event])
        raise ProbeError(
            f"no reply within {self._place.timeout_s:g} s: the gateway is stuck, its model is slower than "
            "--timeout, or it is a broker without a gateway, or another program's ZeroMQ"
        )


class _ReplyReader(pickle.Unpickler):
    """Reads a reply, which may only name arrays of float32."""

    def find_class(self, module: str, name: str) -> object:
        """Return a function that builds an array, or its bytes."""
        if (module, name) == ("numpy", "ndarray"):
            return _array
        if (module, name) == ("builtins", "bytearray"):
            return _buffer
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no gateway does")


def _array(shape: object, dtype: object, buffer: object) -> object:
    if not isinstance(shape, tuple) or dtype != "<f4" or not isinstance(buffer, bytes):
        raise pickle.UnpicklingError("it holds an array that is not of float32")
    return np.frombuffer(buffer, "<f4").reshape(shape)


def _buffer(content: object) -> object:
    if not isinstance(content, bytes):
        raise pickle.UnpicklingError("it holds a buffer that is not of bytes")
    return content


def _unpickle(reply: bytes) -> object:
    try:
        return _ReplyReader(io.BytesIO(reply)).load()
    except Exception as error:  # a pickle can do anything
        raise ProbeError(
            f"the reply is not a gateway's pickle ({shown(str(error))}): is it another program?"
        ) from None


def _unpack(reply: bytes) -> object:
    try:
        fields = msgpack.unpackb(reply)
    except Exception:  # whatever the bytes are, they are not msgpack
        fields = None
    if not isinstance(fields, dict):
        # A gateway that does not know msgpack takes it for a pickle, and answers with one.
        return _unpickle(reply)
    if isinstance(fields.get("pred"), dict):
        fields["pred"] = {name: _msgpack_array(array) for name, array in fields["pred"].items()}
    return fields


def _msgpack_array(array: object) -> object:
    match array:
        case {"shape": list(shape), "dtype": "float32", "data": bytes(data)}:
            return np.frombuffer(data, "<f4").reshape(shape)
    return array


_PICKLE = _Format(pickle.dumps, _unpickle)
_MSGPACK = _Format(msgpack.packb, _unpack)
