"""WebSockets by hand, for what no library sends."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.server import Gateway
from tests.patience import WITHIN_S

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_FINAL = 0x80
_RESERVED = 0x40
_MASKED = 0x80


def frame(opcode: int, data: bytes = b"", *, final: bool = True, reserved: bool = False) -> bytes:
    """A client's frame, whose mask changes nothing."""
    return frame_head(opcode, len(data), final=final, reserved=reserved) + data


def frame_head(opcode: int, length: int, *, final: bool = True, reserved: bool = False) -> bytes:
    """The beginning of a frame of `length` bytes."""
    first = opcode | _FINAL * final | _RESERVED * reserved
    if length < 126:
        return bytes((first, _MASKED | length)) + bytes(4)
    if length < 2**16:
        return struct.pack(">BBH", first, _MASKED | 126, length) + bytes(4)
    return struct.pack(">BBQ", first, _MASKED | 127, length) + bytes(4)


@dataclass
class RawSocket:
    """One WebSocket; it masks nothing, answers no pings and closes nothing by itself."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, *frames: bytes) -> None:
        """Send bytes."""
        self.writer.write(b"".join(frames))

    async def send_and_read_nothing(self, data: bytes) -> None:
        """Send the same again and again, until the gateway ends the connection."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a reading one, too
        with contextlib.suppress(ConnectionError):
            while not self.writer.is_closing():
                self.writer.write(data)
                await self.writer.drain()
                await asyncio.sleep(0)

    async def receive(self) -> tuple[int, bytes]:
        """The next frame's opcode and data."""
        async with asyncio.timeout(WITHIN_S):
            first, length = await self.reader.readexactly(2)
            if length == 126:
                (length,) = struct.unpack(">H", await self.reader.readexactly(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", await self.reader.readexactly(8))
            return first & 0xF, await self.reader.readexactly(length)

    async def closed(self) -> int:
        """The code with which the gateway closes, after whatever else it sends."""
        while True:
            opcode, data = await self.receive()
            if opcode == CLOSE:
                return int(struct.unpack(">H", data[:2])[0])


@asynccontextmanager
async def raw_socket(gateway: Gateway, path: str = "/play") -> AsyncIterator[RawSocket]:
    """A WebSocket that has shaken hands."""
    port = gateway.port_numbers["web"]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n".encode()
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN_S)
    assert head.startswith(b"HTTP/1.1 101"), head
    assert b"deflate" not in head
    try:
        yield RawSocket(reader, writer)
    finally:
        writer.transport.abort()
