"""The parts of .NET that older scripts use by EmuHawk's `luanet`: TcpClient, with real sockets, and files."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.patience import WITHIN_S
from tests.stand_ins.bizhawk_host import BizHawk


class ByteArray:
    """`System.Byte[]`: as many zeros, or a copy of bytes."""

    def __init__(self, content: int | bytes) -> None:
        self.content = bytearray(content)
        self.Length = len(self.content)


class NetworkStream:
    """A blocking stream; a read gives what has arrived, after at least one byte."""

    def __init__(self, client: "TcpClient") -> None:
        self._client = client

    def Write(self, data: ByteArray, offset: int, count: int) -> None:  # noqa: N802 - .NET's name
        """Send bytes."""
        self._client.socket.sendall(data.content[offset : offset + count])

    def Read(self, data: ByteArray, offset: int, count: int) -> int:  # noqa: N802 - .NET's name
        """Receive once; how many bytes came, 0 at the end."""
        self._client.socket.settimeout(self._client.ReceiveTimeout / 1000)
        received = self._client.socket.recv(count)
        data.content[offset : offset + len(received)] = received
        self._client.reads.append(len(received))
        return len(received)


class TcpClient:
    """`System.Net.Sockets.TcpClient`; `reads` has the sizes of what was received."""

    reads: list[int]

    def __init__(self) -> None:
        self.Connected = False
        self.ReceiveTimeout = self.SendTimeout = 0
        self.reads = []

    def Connect(self, host: str, port: int) -> None:  # noqa: N802 - .NET's name
        """Connect; raises when nobody listens."""
        self.socket = socket.create_connection((host, port), timeout=WITHIN_S)
        self.Connected = True

    def GetStream(self) -> NetworkStream:  # noqa: N802 - .NET's name
        """The connection's stream."""
        return NetworkStream(self)

    def Close(self) -> None:  # noqa: N802 - .NET's name
        """Close the connection."""
        self.Connected = False
        self.socket.close()


class Ascii:
    """`Encoding.ASCII`."""

    def GetBytes(self, text: str) -> ByteArray:  # noqa: N802 - .NET's name
        """A text's bytes."""
        return ByteArray(text.encode("ascii"))

    def GetString(self, data: ByteArray, offset: int, count: int) -> str:  # noqa: N802 - .NET's name
        """The text of some bytes."""
        return data.content[offset : offset + count].decode("ascii")


class Encoding:
    """`System.Text.Encoding`."""

    ASCII = Ascii()


def add_luanet(bizhawk: BizHawk, folder: Path) -> list[TcpClient]:
    """Give the emulator's scripts `luanet` and `client.screenshot`; the connections that they make.

    `folder`: the one of files with relative names.
    """
    clients: list[TcpClient] = []

    def new_client() -> TcpClient:
        clients.append(TcpClient())
        return clients[-1]

    class File:
        ReadAllBytes = staticmethod(lambda name: ByteArray((folder / name).read_bytes()))

    types: dict[str, Callable[..., Any]] = {
        "System.Net.Sockets.TcpClient": new_client,
        "System.IO.File": File,
        "System.Text.Encoding": Encoding,
        "System.Byte[]": ByteArray,
    }
    libraries: dict[str, dict[str, Callable[..., Any]]] = {
        "luanet": {"load_assembly": lambda _: None, "import_type": types.__getitem__},
        "client": {"screenshot": lambda name: (folder / name).write_bytes(bizhawk.png())},
    }
    for name, functions in libraries.items():
        bizhawk.lua.globals()[name] = bizhawk.lua.table_from(functions)
    return clients
