"""Checking port 5556 as its clients use it: JSON with raw frames and files, and BizHawk's own sockets."""

import argparse
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from gateway.commands.access import Access, add_access_flags, read_access, untrusted
from gateway.commands.probing import (
    Finding,
    ForeignError,
    Place,
    ProbeError,
    connect,
    finding,
    foreign,
    late,
    median_of_predicts,
    model_in,
    require_ok,
    test_frame,
    test_png,
)

_MAX_REPLY_BYTES = 2**20
_MAX_DIGITS = 9
# A port that speaks first does so at once: this is twice the round trip of a slow network.
_SILENCE_S = 0.4


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that TCP clients need to get in."""
    add_access_flags("tcp", parser)


def prepare(arguments: argparse.Namespace) -> Callable[[Place], Iterator[Finding]]:
    """Return the check of a TCP port.

    Raises:
        FlagError: a flag's file has the wrong content.
    """
    return partial(_check, access=read_access("tcp", arguments))


def _check(place: Place, access: Access) -> Iterator[Finding]:
    """Yield what works on the TCP port and what does not.

    Raises:
        ProbeError: there is no connection, or another program listens there.
    """
    where = f"tcp {place.port}"
    _check_silence(place)
    raw = b'{"type": "predict"}\n' + test_frame().tobytes()
    png = test_png(240, 256)
    with_png = b'{"type": "predict", "len": %d, "resize_mode": "crop"}\n%b' % (len(png), png)
    framed_png = b"%d %b" % (len(png), png)
    yield finding(where, "JSON, info", lambda: _info(place, access))
    yield finding(where, "JSON, raw frame", lambda: _predicts(place, access, _Line, raw))
    yield finding(where, "JSON, PNG file", lambda: _predicts(place, access, _Line, with_png))
    yield finding(where, "BizHawk's sockets", lambda: _predicts(place, access, _Framed, framed_png))


def _check_silence(place: Place) -> None:
    """Check that the port does not speak first, as ZeroMQ ports do."""
    with connect(place) as connection:
        connection.settimeout(min(_SILENCE_S, place.timeout_s))
        try:
            first = connection.recv(_MAX_DIGITS + 1)
        except OSError:
            return
    if first:
        raise foreign(place, first, "tcp")


def _info(place: Place, access: Access) -> str:
    with _Line(place, access) as connection:
        return model_in(connection.ask(b'{"type": "info"}\n'))


def _predicts(
    place: Place, access: Access, connect_as: Callable[[Place, Access], "_Line"], request: bytes
) -> str:
    with connect_as(place, access) as connection:
        return median_of_predicts(lambda: connection.ask(request))


class _Line:
    """A connection that speaks the JSON format: a reply is a line."""

    def __init__(self, place: Place, access: Access) -> None:
        self._place = place
        self._received = b""
        plain = connect(place)
        try:
            self._socket = self._secured(plain, access.tls)
            if access.token is not None:
                self._greet(access.token)
        except BaseException:
            plain.close()
            raise

    def __enter__(self) -> "_Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> Mapping[str, Any]:
        """Send a request; return its reply."""
        self._deadline = time.monotonic() + self._place.timeout_s
        try:
            self._socket.settimeout(self._place.timeout_s)
            self._socket.sendall(request)
        except TimeoutError:
            raise late(self._place) from None
        except OSError:
            pass  # the other side may have said why before it closed the connection
        return self._parsed(self._reply())

    def _framed(self, text: bytes) -> bytes:
        """Return a command's bytes in this format."""
        return text + b"\n"

    def _reply(self) -> bytes:
        while b"\n" not in self._received:
            self._receive()
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _greet(self, token: str) -> None:
        """Send the token; whatever comes back, never show a part of the token."""
        hello = json.dumps({"type": "hello", "token": token}).encode()
        try:
            reply = self.ask(self._framed(hello))
        except ForeignError:
            reply = {}
        message = str(reply.get("message"))
        if reply.get("status") not in ("ok", "error") or token[:4] in message:
            raise ForeignError(
                f"another program listens on {self._place}, or a gateway without tokens: "
                "it does not answer a hello as a gateway does"
            )
        require_ok(reply)

    def _secured(self, plain: Any, tls: ssl.SSLContext | None) -> Any:  # noqa: ANN401 - a socket of either kind
        if tls is None:
            return plain
        try:
            return tls.wrap_socket(plain, server_hostname=self._place.host)
        except ssl.SSLCertVerificationError as error:
            raise untrusted("tcp", error.verify_message) from None
        except (ssl.SSLError, OSError) as error:
            raise ProbeError(
                f"no TLS on {self._place} ({getattr(error, 'reason', None) or error}): "
                "leave --tcp-tls-ca out, or start the gateway with --tcp-tls-cert"
            ) from None

    def _receive(self) -> None:
        """Receive more bytes before the deadline, so that a trickle does not count as an answer."""
        remaining_s = self._deadline - time.monotonic()
        if remaining_s <= 0:
            raise late(self._place)
        self._socket.settimeout(remaining_s)
        try:
            part = self._socket.recv(65_536)
        except TimeoutError:
            raise late(self._place) from None
        except OSError as error:
            raise ProbeError(f"the connection broke without a reply ({error.strerror or error})") from None
        if not part:
            raise ProbeError(
                "the connection was closed without a reply: another program listens there, or the gateway "
                "needs TLS (--tcp-tls-ca)"
            )
        self._received += part
        if self._received[:1] == b"\x15":
            raise ProbeError("the port uses TLS: give --tcp-tls-ca with the authority's certificate")
        if len(self._received) > _MAX_REPLY_BYTES:
            raise self._foreign()

    def _parsed(self, text: bytes) -> Mapping[str, Any]:
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            raise self._foreign(text) from None
        if not isinstance(fields, dict):
            raise self._foreign(text)
        if "token" in str(fields.get("message")):
            fields["message"] = f"{fields['message']} (here: --tcp-token-file)"
        return fields

    def _foreign(self, text: bytes = b"") -> ProbeError:
        return foreign(self._place, text or self._received, "tcp")


class _Framed(_Line):
    """A connection that speaks BizHawk's format: length, blank, payload, in both directions."""

    def _framed(self, text: bytes) -> bytes:
        return b"%d %b" % (len(text), text)

    def _reply(self) -> bytes:
        while b" " not in self._received[: _MAX_DIGITS + 1]:
            if self._received[:1] == b"{":
                # The gateway took the length for a line of JSON.
                return super()._reply()
            if len(self._received) > _MAX_DIGITS:
                raise self._foreign()
            self._receive()
        digits, _, rest = self._received.partition(b" ")
        if not digits.isdigit():
            raise self._foreign()
        while len(rest) < int(digits):
            self._receive()
            rest = self._received[len(digits) + 1 :]
        self._received = rest[int(digits) :]
        return rest[: int(digits)]
