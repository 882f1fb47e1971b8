"""Players of a stack in containers: one request at a time, or until they are stopped."""

import json
import threading
from typing import Any

import numpy as np
import zmq
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.deploy.compose_stack import ComposeStack
from tests.patience import WITHIN_S
from tests.stack import JsonClient, PickleClient

FRAME = np.arange(256 * 256 * 3, dtype=np.uint8).reshape(256, 256, 3)


def play(stack: ComposeStack) -> dict[str, object]:
    """One predict by the official client's bytes."""
    with PickleClient(stack.zmq_port) as client:
        return client.request(type="predict", image=FRAME)


def play_json(stack: ComposeStack) -> dict[str, object]:
    """One predict on the JSON port."""
    with JsonClient(stack.tcp_port) as client:
        return client.request({"type": "predict", "width": 256, "height": 256}, FRAME.tobytes())


def play_web(stack: ComposeStack) -> dict[str, Any]:
    """One predict on the web port, of its own page."""
    place = f"127.0.0.1:{stack.web_port}"
    with connect(f"ws://{place}/play", origin=f"http://{place}", compression=None) as socket:  # type: ignore[arg-type] # an origin is a str
        socket.send(json.dumps({"type": "predict", "format": "rgba"}))
        socket.send(bytes(256 * 256 * 4))
        reply: dict[str, Any] = json.loads(socket.recv(WITHIN_S))
        return reply


def plays(stack: ComposeStack) -> bool:
    """Whether each port answers with actions."""
    try:
        return play(stack)["status"] == "ok" and all("pred" in one(stack) for one in (play_json, play_web))
    except (OSError, ValueError, WebSocketException, zmq.ZMQError):
        return False


class Player(threading.Thread):
    """Plays until told to stop, or until something goes wrong, which it keeps."""

    def __init__(self, stack: ComposeStack) -> None:
        super().__init__(daemon=True)
        self.problems: list[str] = []
        self.chunks = 0
        self._port = stack.zmq_port
        self._stopping = threading.Event()

    def run(self) -> None:
        with PickleClient(self._port) as client:
            while not self._stopping.is_set():
                try:
                    reply = client.request(type="predict", image=FRAME)
                except zmq.Again:
                    reply = {"status": "no reply"}
                if reply["status"] != "ok":
                    self.problems.append(str(reply))
                    return
                self.chunks += 1

    def stop(self) -> None:
        """Let it finish its request."""
        self._stopping.set()
        self.join(60)
        assert not self.is_alive()
