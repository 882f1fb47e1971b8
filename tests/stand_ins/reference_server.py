"""A server that behaves like the reference's: one REP socket, `pickle.loads`, one client after the other.

It has its faults too. A message that is not a pickle, or an image that is not (H, W, 3), gets no reply. The
REP socket, which then may neither receive nor send, serves nobody any more. Unknown fields of a request are
ignored. Written from the protocol's description, not from the reference's code. The actions tell what was
received, so that tests can check it.

    python reference_server.py      prints its port, and serves until its standard input ends
"""

import contextlib
import pickle
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import zmq

HORIZON = 18
INFO = {
    "ckpt_path": "models/ng.pt",
    "selected_game": None,
    "old_layout": False,
    "cfg_scale": 1.0,
    "context_length": 1,
    "action_interleaving": False,
    "is_flowmatching": True,
    "action_downsample_ratio": 1,
}


class ReferenceServer:
    """The server, on a port of its own unless one is given.

    `handled`: the requests' types, in order. `is_stuck`: whether it met a message that ended its service.
    """

    def __init__(self, port: "int | None" = None) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REP)
        self._socket.linger = 0
        if port is None:
            self.port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        else:
            self.port = port
            self._socket.bind(f"tcp://127.0.0.1:{port}")
        self.handled: list[str] = []
        self.is_stuck = False
        self._is_over = threading.Event()

    def serve(self) -> None:
        """Serve until `end`, or until a message that it fails on."""
        while not self._is_over.is_set() and not self.is_stuck:
            if not self._socket.poll(50):
                continue
            try:
                reply = self._answer(pickle.loads(self._socket.recv()))
            except Exception:
                # The reference goes on to a recv that fails, forever.
                self.is_stuck = True
            else:
                self._socket.send(pickle.dumps(reply))
        self._is_over.wait()
        self._context.destroy(linger=0)

    def end(self) -> None:
        """Let `serve` return."""
        self._is_over.set()

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        kind = request["type"]
        self.handled.append(kind)
        if kind == "reset":
            return {"status": "ok"}
        if kind == "info":
            return {"status": "ok", "info": dict(INFO)}
        if kind == "predict":
            image = np.asarray(request["image"])
            if image.ndim != 3 or image.shape[2] != 3:
                raise ValueError(f"Unsupported number of image dimensions or channels: {image.shape}")
            return {"status": "ok", "pred": actions(image), "repeat": 1}
        return {"status": "error", "message": f"Unknown request type: {kind}"}


def actions(image: "np.ndarray[Any, Any]") -> dict[str, Any]:
    """The actions for an image: its size, and its first and last pixel."""
    sticks = np.zeros((2, HORIZON, 2), np.float32)
    sticks[0, 0] = np.array(image.shape[:2]) / 1000
    buttons = np.zeros((HORIZON, 21), np.float32)
    buttons[0, :3] = image[0, 0]
    buttons[0, 3:6] = image[-1, -1]
    return {"j_left": sticks[0], "j_right": sticks[1], "buttons": buttons}


@contextlib.contextmanager
def reference_server(port: "int | None" = None) -> Iterator[ReferenceServer]:
    """The server in a thread, ended afterwards."""
    server = ReferenceServer(port)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.end()
        thread.join(10)


def main() -> None:
    with reference_server() as server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
