"""A gateway without a Triton, which answers `reset`, and the clients of its ZeroMQ port that tests need."""

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import zmq
import zmq.asyncio
import zmq.auth

from gateway.server import Gateway
from tests.black_frame import PIXELS
from tests.patience import WITHIN_S
from tests.stack import packed_array

RESET = bytes(msgpack.packb({"type": "reset"}))
_BLACK = packed_array(PIXELS)


def predict(game: int = 0) -> bytes:
    """A request for the timed model."""
    return bytes(msgpack.packb({"type": "predict", "image": _BLACK, "game": game}))


def frames_seen(reply: dict[str, Any]) -> int:
    """How many frames the model was given, as it tells in its first stick."""
    left = np.frombuffer(reply["pred"]["j_left"]["data"], "<f4")
    return round(float(left[0]) * 10)


@contextmanager
def peer(
    gateway: Gateway,
    kind: int = zmq.REQ,
    host: str = "127.0.0.1",
    **options: Any,  # noqa: ANN401
) -> Iterator["zmq.asyncio.Socket"]:
    """A client's socket; `options` are set before it connects."""
    with zmq.asyncio.Context() as context, context.socket(kind) as client:
        client.linger = 0
        client.ipv6 = True
        client.sndtimeo = client.rcvtimeo = 1000 * WITHIN_S
        for name, value in options.items():
            setattr(client, name, value)
        client.connect(f"tcp://{host}:{gateway.port_numbers['zmq']}")
        yield client


def curve(keys: Path, name: str) -> dict[str, bytes]:
    """Return the keys of a client's socket: its own pair, and the gateway's public key."""
    public, secret = zmq.auth.load_certificate(keys / "secrets" / f"{name}.key_secret")
    server, _ = zmq.auth.load_certificate(keys / "server.key")
    assert secret is not None
    return {"curve_publickey": public, "curve_secretkey": secret, "curve_serverkey": server}


async def ask(client: "zmq.asyncio.Socket", message: bytes = RESET) -> dict[str, Any]:
    """Send a msgpack message by a REQ socket; the reply."""
    await client.send(message)
    return await reply_of(client)


async def knock(client: "zmq.asyncio.Socket") -> None:
    """Send a request, unless the client was refused already: then it has no connection, and would wait."""
    with suppress(zmq.Again):
        await client.send(RESET, zmq.NOBLOCK)


async def reply_of(client: "zmq.asyncio.Socket") -> dict[str, Any]:
    """The next reply, which is msgpack."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            # libzmq calls a socket readable for a reply to an abandoned request too, and then drops it.
            with suppress(zmq.Again):
                parts = await client.recv_multipart()
                break
    reply: dict[str, Any] = msgpack.unpackb(parts[-1])
    return reply


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition, which is asked again and again."""
    try:
        async with asyncio.timeout(WITHIN_S):
            while not condition():  # noqa: ASYNC110 - it is not told of
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {WITHIN_S} s: {what}") from None


def metric(gateway: Gateway, sample: str) -> float:
    """The value of a sample of the gateway's metrics, 0 for one that is not there yet."""
    for line in gateway.metrics.exposition().decode().splitlines():
        if line.startswith(f"{sample} "):
            return float(line.rpartition(" ")[2])
    return 0.0


def refused(gateway: Gateway, reason: str) -> float:
    """How often the ZeroMQ port has refused something for a reason."""
    return metric(gateway, f'nitrogen_gateway_refused_total{{port="zmq",reason="{reason}"}}')


def clients(gateway: Gateway, access: str = "anonymous") -> float:
    """How many connections to the ZeroMQ port the metrics show."""
    return metric(gateway, f'nitrogen_gateway_clients{{access="{access}",port="zmq"}}')


class RawPeer:
    """A DEALER written by hand, which does what no library would; ZMTP 3.0 (RFC 23) without security."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, gateway: Gateway, receive_bytes: int | None = None) -> "RawPeer":
        """Connect and shake hands. `receive_bytes`: the size of the receiving buffer."""
        connection = socket.socket()
        if receive_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", gateway.port_numbers["zmq"]))
        # A small limit, so that what nobody reads stays in the kernel's buffer.
        peer = cls(*await asyncio.open_connection(sock=connection, limit=1024))
        peer.writer.write(cls.greeting())
        async with asyncio.timeout(WITHIN_S):
            await peer.reader.readexactly(64)
            peer.writer.write(cls.ready())
            size = (await peer.reader.readexactly(2))[1]
            await peer.reader.readexactly(size)
        return peer

    @staticmethod
    def greeting(mechanism: bytes = b"NULL") -> bytes:
        """A client's greeting."""
        return b"\xff" + bytes(8) + b"\x7f\x03\x00" + mechanism.ljust(20, b"\0") + bytes(32)

    @staticmethod
    def ready(kind: bytes = b"DEALER", **more: bytes) -> bytes:
        """The command by which a client introduces itself, with more metadata than its socket's kind."""
        told = b"\x05READY"
        for name, value in {"Socket_Type": kind, **more}.items():
            told += (
                bytes([len(name)]) + name.replace("_", "-").encode() + struct.pack(">I", len(value)) + value
            )
        return struct.pack(">BQ", 6, len(told)) + told

    @staticmethod
    def part(data: bytes, *, more: bool = False) -> bytes:
        """One part of a message, as it travels."""
        return struct.pack(">BQ", 2 + more, len(data)) + data

    async def ends(self) -> bool:
        """Whether the gateway closes the connection, after whatever it still sends."""
        try:
            while await asyncio.wait_for(self.reader.read(65_536), WITHIN_S):
                pass
        except ConnectionError:
            pass
        return True

    async def close(self) -> None:
        """Close the connection."""
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)


def resident_bytes() -> int:
    """How much memory this process has in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
