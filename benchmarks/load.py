"""Load clients, each a process of its own: they send a frame, wait for the actions, and send the next.

Three ways lead to the same model: gRPC straight to Triton, and the gateway's two ports.
"""

import contextlib
import json
import multiprocessing
import pickle
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self

import numpy as np
import tritonclient.grpc
import zmq

from gateway.protocol.messages import FRAME_SHAPE
from gateway.triton.facts import ACTION_WIDTH, facts_from_config

HOST = "127.0.0.1"
_TIMEOUT_S = 30
_WARM_UP_REQUESTS = 3
_END_WITHIN_S = 2
_LEAD_S = 0.05  # from the word "go" to the common start, in which the word reaches every client

Ask = Callable[[], None]


@dataclass(frozen=True)
class Endpoints:
    """Where the clients find the model; `triton` is the port of its gRPC service."""

    model: str
    triton: int
    zmq: int
    tcp: int


class LoadError(Exception):
    """A client did not get its actions."""


@contextmanager
def _direct_grpc(endpoints: Endpoints) -> Iterator[Ask]:
    """The inputs that the gateway sends, through Triton's own client."""
    with tritonclient.grpc.InferenceServerClient(f"{HOST}:{endpoints.triton}") as client:
        facts = facts_from_config(client.get_model_config(endpoints.model).config)
        frames = _random_pixels((1, facts.context_length, *FRAME_SHAPE))
        frame_count = np.array([[facts.context_length]], np.int64)
        game_id = np.zeros((1, 1), np.int64)
        random = np.random.default_rng()
        outputs = [
            tritonclient.grpc.InferRequestedOutput(name)
            for name in ("j_left", "j_right", "buttons", "actions")
        ]

        def ask() -> None:
            noise = random.standard_normal((1, facts.horizon, ACTION_WIDTH), dtype=np.float32)
            inputs = []
            for name, array, datatype in (
                ("frames", frames, "UINT8"),
                ("frame_count", frame_count, "INT64"),
                ("game_id", game_id, "INT64"),
                ("noise", noise, "FP32"),
            ):
                tensor = tritonclient.grpc.InferInput(name, array.shape, datatype)
                tensor.set_data_from_numpy(array)
                inputs.append(tensor)
            result = client.infer(endpoints.model, inputs, outputs=outputs, client_timeout=_TIMEOUT_S)
            if result.as_numpy("buttons").shape[:2] != (1, facts.horizon):
                raise LoadError("Triton's reply has no buttons")

        yield ask


@contextmanager
def _zmq_pickle(endpoints: Endpoints) -> Iterator[Ask]:
    """The deployed Python client: a REQ socket, the frame as a numpy array."""
    with zmq.Context() as context, context.socket(zmq.REQ) as client:
        client.linger = 0
        client.rcvtimeo = _TIMEOUT_S * 1000
        client.connect(f"tcp://{HOST}:{endpoints.zmq}")
        frame = _random_pixels(FRAME_SHAPE)

        def ask() -> None:
            client.send(pickle.dumps({"type": "predict", "image": frame}))
            _require_ok(pickle.loads(client.recv()))

        yield ask


@contextmanager
def _tcp_json(endpoints: Endpoints) -> Iterator[Ask]:
    """The JSON dialect with a raw frame."""
    with (
        socket.create_connection((HOST, endpoints.tcp), timeout=_TIMEOUT_S) as client,
        client.makefile("rb") as lines,
    ):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        message = b'{"type": "predict"}\n' + _random_pixels(FRAME_SHAPE).tobytes()

        def ask() -> None:
            client.sendall(message)
            _require_ok(json.loads(lines.readline()))

        yield ask


WAYS = {"gRPC, direct": _direct_grpc, "ZMQ, pickle": _zmq_pickle, "TCP, JSON + raw": _tcp_json}


def _random_pixels(shape: tuple[int, ...]) -> Any:  # noqa: ANN401 - an array of that shape
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _require_ok(reply: dict[str, Any]) -> None:
    if reply["status"] != "ok":
        raise LoadError(reply["message"])


@dataclass(frozen=True)
class Measured:
    """What one client measured: its rate, and every request's latency."""

    requests_per_s: float
    latencies_s: list[float]


class LoadClients:
    """Client processes that take part in one measurement after the other; used as a context manager."""

    def __init__(self, count: int, endpoints: Endpoints) -> None:
        # Forked from a server that has imported everything, for 32 interpreters take long to start.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._processes: list[BaseProcess] = []
        self._connections: list[Connection] = []
        self._connected: list[Connection] = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, endpoints), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
            self._connections.append(ours)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._connections:
            connection.close()  # the sign to end
        give_up = time.monotonic() + _END_WITHIN_S
        for process in self._processes:
            process.join(max(0.0, give_up - time.monotonic()))
            process.kill()

    def connect(self, way: str, count: int) -> None:
        """Let `count` clients connect and send their first requests, which nobody counts.

        Raises:
            LoadError: a client did not get its actions.
        """
        self._connected = self._connections[:count]
        for connection in self._connected:
            connection.send(way)
        for connection in self._connected:
            _receive(connection)

    def measure(self, seconds: float) -> list[Measured]:
        """Let the clients that have connected send for some seconds, all at once, and leave.

        Raises:
            LoadError: a client did not get its actions.
        """
        begin = time.monotonic() + _LEAD_S
        for connection in self._connected:
            connection.send((begin, begin + seconds))
        return [_receive(connection) for connection in self._connected]


def _receive(connection: Connection) -> Any:  # noqa: ANN401 - what the protocol has next
    try:
        answer = connection.recv()
    except EOFError:
        answer = LoadError("a load client has died")
    if isinstance(answer, LoadError):
        raise answer
    return answer


def _serve(connection: Connection, endpoints: Endpoints) -> None:
    """Run a client process: hear a way's name, say "ready", hear two times, say what was measured; again."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which then closes the connection
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            way = connection.recv()
            try:
                with WAYS[way](endpoints) as ask:
                    for _ in range(_WARM_UP_REQUESTS):
                        ask()
                    connection.send("ready")
                    answer: Measured | LoadError = _closed_loop(ask, *connection.recv())
            except (EOFError, BrokenPipeError):
                raise
            except Exception as error:
                answer = LoadError(f"a client over {way} failed: {error!r}")
            connection.send(answer)


def _closed_loop(ask: Ask, begin: float, end: float) -> Measured:
    """Ask until `end`, times of `time.monotonic`; a request begun before it counts in full."""
    time.sleep(max(0.0, begin - time.monotonic()))
    begin = now = time.monotonic()
    latencies_s: list[float] = []
    while now < end or not latencies_s:
        asked = now
        ask()
        now = time.monotonic()
        latencies_s.append(now - asked)
    return Measured(len(latencies_s) / (now - begin), latencies_s)
