"""A server that replies what, and when, a test says: nothing, too late, or what no server should send."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import numpy as np
import zmq

from tests.patience import WITHIN_S

# Its reply to a message, by the number of the message and its bytes: parts, or None for nothing.
Script = Callable[[int, bytes], bytes | list[bytes] | None]


class ScriptedServer:
    """A ROUTER in a thread. `messages`: what was received, the question for the format included."""

    def __init__(self, script: Script, port: int | None = None) -> None:
        self._script = script
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        if port is None:
            self.port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        else:
            self.port = port
            self._socket.bind(f"tcp://127.0.0.1:{port}")
        self.messages: list[bytes] = []
        self._senders: list[bytes] = []
        self._late: deque[tuple[int, bytes]] = deque()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def reply_late(self, number: int, reply: bytes) -> None:
        """Send the reply to a message that has got none."""
        self._late.append((number, reply))

    @property
    def has_replied_late(self) -> bool:
        """Whether every late reply has been handed to the socket."""
        return not self._late

    def close(self) -> None:
        """End the thread, and every connection with it."""
        self._is_over.set()
        self._thread.join(WITHIN_S)

    def _serve(self) -> None:
        while not self._is_over.is_set():
            if self._socket.poll(20):
                sender, _, message = self._socket.recv_multipart()
                self._senders.append(sender)
                self.messages.append(message)
                reply = self._script(len(self.messages) - 1, message)
                if reply is not None:
                    self._send(sender, reply if isinstance(reply, list) else [reply])
            while self._late:
                number, late = self._late[0]
                self._send(self._senders[number], [late])
                self._late.popleft()
        self._context.destroy(linger=0)

    def _send(self, sender: bytes, parts: list[bytes]) -> None:
        self._socket.send_multipart([sender, b"", *parts])


@contextlib.contextmanager
def scripted_server(script: Script, port: int | None = None) -> Iterator[ScriptedServer]:
    """The server, closed afterwards."""
    server = ScriptedServer(script, port)
    try:
        yield server
    finally:
        server.close()


def packed_chunk(value: float, horizon: int = 18) -> bytes:
    """A msgpack reply whose left stick holds `value` everywhere."""
    widths = {"j_left": 2, "j_right": 2, "buttons": 21}
    arrays = {name: np.full((horizon, width), value, np.float32) for name, width in widths.items()}
    return packed(
        status="ok",
        pred={
            name: {"shape": list(array.shape), "dtype": "float32", "data": array.tobytes()}
            for name, array in arrays.items()
        },
        repeat=1,
    )


def packed(**fields: Any) -> bytes:  # noqa: ANN401
    """A msgpack reply."""
    return bytes(msgpack.packb(fields))


OK = packed(status="ok")
INFO = packed(status="ok", info={"ckpt_path": "ng.pt"})
