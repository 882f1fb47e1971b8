"""Run a Lua program in Lua 5.4 with the part of luasocket that clients/examples/predict.lua uses.

    python example_lua_host.py PROGRAM ARGUMENT...

The sockets are Python's, so that it needs nothing but pip. As with luasocket, a call that fails returns nil
and "closed", "timeout" or the system's words.
"""

import socket
import sys
import time
from pathlib import Path

import lupa.lua54 as lupa

lua = lupa.LuaRuntime(encoding=None, unpack_returned_tuples=True)  # texts are bytes, as Lua's are

Failure = tuple[None, bytes]


def reason(error: OSError) -> Failure:
    """Return what luasocket returns for an error."""
    if isinstance(error, TimeoutError):
        return None, b"timeout"
    if isinstance(error, (BrokenPipeError, ConnectionResetError)):
        return None, b"closed"
    return None, str(error.strerror).lower().encode()


def tcp() -> object:
    """A new TCP object, with the methods of luasocket's."""
    connection = socket.socket()

    def connect(_self: object, host: bytes, port: int) -> int | Failure:
        try:
            connection.connect((host.decode(), port))
        except OSError as error:
            return reason(error)
        return 1

    def send(_self: object, data: bytes) -> int | Failure:
        try:
            connection.sendall(data)
        except OSError as error:
            return reason(error)
        return len(data)

    def receive(_self: object, count: int) -> bytes | Failure:
        assert count == 1, count
        try:
            return connection.recv(1) or (None, b"closed")
        except OSError as error:
            return reason(error)

    return lua.table_from(
        {
            b"settimeout": lambda _self, timeout_s: connection.settimeout(timeout_s),
            b"connect": connect,
            b"send": send,
            b"receive": receive,
            b"close": lambda _self: connection.close(),
        }
    )


program, *words = sys.argv[1:]
lua.globals()[b"package"][b"loaded"][b"socket"] = lua.table_from(
    {b"tcp": tcp, b"sleep": time.sleep, b"gettime": time.time}
)
lua.globals()[b"arg"] = lua.table_from([word.encode() for word in words])
lua.execute(Path(program).read_bytes())
