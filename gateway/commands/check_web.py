"""Checking port 5557: its page, and WebSockets in the browser's format and in openpi's."""

import argparse
import asyncio
import http
import json
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

import aiohttp
import msgpack
import numpy as np

from gateway.commands.access import Access, add_access_flags, read_access, untrusted
from gateway.commands.probing import (
    Finding,
    ForeignError,
    Place,
    ProbeError,
    connect,
    finding,
    late,
    median_of_predicts,
    model_in,
    shown,
    test_frame,
)

T = TypeVar("T")

_TLS_ENDS_S = 0.1


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that the web port's clients need to get in."""
    add_access_flags("web", parser)


def prepare(arguments: argparse.Namespace) -> Callable[[Place], Iterator[Finding]]:
    """Return the check of a web port.

    Raises:
        FlagError: a flag's file has the wrong content.
    """
    return partial(_check, access=read_access("web", arguments))


def _check(place: Place, access: Access) -> Iterator[Finding]:
    """Yield what works on the web port and what does not.

    Raises:
        ProbeError: there is no connection, or another program listens there.
    """
    where = f"web {place.port}"
    connect(place).close()
    yield finding(where, "page", lambda: _page(place, access))
    yield finding(where, "/play, info", lambda: _info(place, access))
    yield finding(where, "/play, RGBA", lambda: _predicts(place, access))
    yield finding(where, "openpi", lambda: _policy(place, access))


def _page(place: Place, access: Access) -> str:
    try:
        with _Client(place, access) as client:
            status, kind, text = client.get("/")
    except ProbeError as problem:
        # Everything else would fail, too.
        raise ForeignError(str(problem)) from None
    if status != http.HTTPStatus.OK or not kind.startswith("text/html"):
        raise ForeignError(
            f"status {status}, and no page ({shown(text[:80].strip())}): is it the gateway's HTTP port, or "
            "another program's?"
        )
    return f"{len(text)} characters"


def _info(place: Place, access: Access) -> str:
    with _Client(place, access) as client:
        client.open("/play")
        return model_in(_parsed(client.ask('{"type": "info"}')))


def _predicts(place: Place, access: Access) -> str:
    frame = test_frame()
    rgba = np.concatenate([frame, np.full_like(frame[:, :, :1], 255)], axis=2).tobytes()
    with _Client(place, access) as client:
        client.open("/play")
        request = '{"type": "predict", "format": "rgba"}'
        return median_of_predicts(lambda: _parsed(client.ask(request, rgba)))


def _policy(place: Place, access: Access) -> str:
    frame = test_frame()
    image = {b"__ndarray__": True, b"data": frame.tobytes(), b"dtype": frame.dtype.str, b"shape": frame.shape}
    observation = msgpack.packb({"image": image})
    with _Client(place, access) as client:
        client.open("/")
        if not isinstance(_unpacked(client.receive()), dict):
            raise ProbeError(
                "the server does not begin with its model's facts: does another program listen there?"
            )
        return median_of_predicts(lambda: _as_reply(client.ask(observation)))


def _parsed(text: str | bytes) -> Mapping[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise ProbeError(
            f"the reply is not a gateway's ({shown(repr(text))}): does another program listen there?"
        )
    return fields


def _unpacked(data: str | bytes) -> object:
    if isinstance(data, str):
        raise ProbeError(f"error message: {shown(data)}")
    try:
        return msgpack.unpackb(data)
    except ValueError:
        raise ProbeError("the reply is not msgpack: does another program listen there?") from None


def _as_reply(data: str | bytes) -> Mapping[str, Any]:
    """Return a policy's reply in the other ports' form, with arrays checked by their shapes."""
    fields = _unpacked(data)
    if not isinstance(fields, dict):
        raise ProbeError("the reply is not a policy's: does another program listen there?")
    arrays = {name: value for name, value in fields.items() if isinstance(value, dict) and b"shape" in value}
    pred = {name: np.empty(value[b"shape"]) for name, value in arrays.items()}
    return {"status": "ok", "pred": pred}


class _Client:
    """A client of the web port: pages, and one WebSocket."""

    def __init__(self, place: Place, access: Access) -> None:
        self._place = place
        self._tls = access.tls
        scheme = "http" if access.tls is None else "https"
        self._url = f"{scheme}://{place}"
        self._headers = {} if access.token is None else {"Authorization": f"Bearer {access.token}"}
        self._runner = asyncio.Runner()
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    def __enter__(self) -> "_Client":
        self._session = self._run(self._new_session())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._end())
        self._runner.close()

    def get(self, path: str) -> tuple[int, str, str]:
        """Return a page's status, type and text."""

        async def get() -> tuple[int, str, str]:
            async with self._session.get(f"{self._url}{path}", ssl=self._tls or True) as response:
                return response.status, response.content_type, await response.text()

        return self._run(get())

    def open(self, path: str) -> None:
        """Open the WebSocket."""

        async def connect() -> aiohttp.ClientWebSocketResponse:
            return await self._session.ws_connect(
                f"{self._url}{path}", ssl=self._tls or True, headers=self._headers, max_msg_size=2**22
            )

        self._socket = self._run(connect())

    def ask(self, *messages: str | bytes) -> str | bytes:
        """Send messages; return the one that answers them."""
        assert self._socket is not None  # noqa: S101 - for the type checker
        for message in messages:
            if isinstance(message, str):
                self._run(self._socket.send_str(message))
            else:
                self._run(self._socket.send_bytes(message))
        return self.receive()

    def receive(self) -> str | bytes:
        """Return the next message."""
        assert self._socket is not None  # noqa: S101 - for the type checker
        message = self._run(self._socket.receive())
        if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            raise ProbeError(
                f"the connection was closed without a reply: {shown(str(message.extra or message.data))}"
            )
        found: str | bytes = message.data
        return found

    async def _end(self) -> None:
        await self._session.close()
        # aiohttp does not say when TLS connections are closed.
        await asyncio.sleep(_TLS_ENDS_S if self._tls is not None else 0)

    async def _new_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something; if it fails, raise one sentence that says why."""
        try:
            return self._runner.run(asyncio.wait_for(work, self._place.timeout_s))
        except TimeoutError:
            raise late(self._place) from None
        except aiohttp.WSServerHandshakeError as error:
            if error.status == http.HTTPStatus.UNAUTHORIZED:
                raise ProbeError("the token is missing or wrong: give --web-token-file") from None
            raise ProbeError(
                f"no WebSocket, but status {error.status}: is {self._place} the gateway's HTTP port, or "
                f"another program's? name the web port with {self._place.flag}"
            ) from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise untrusted("web", error.certificate_error) from None
        except (aiohttp.ClientError, OSError) as error:
            hint = "give --web-tls-ca if the port uses TLS" if self._tls is None else "leave --web-tls-ca out"
            raise ProbeError(
                f"the connection broke ({shown(str(error) or type(error).__name__)}): does another program "
                f"listen on {self._place}? Or {hint}"
            ) from None
