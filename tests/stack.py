"""Running the real stack (`python -m standalone`) for a test, and speaking to it as deployed clients do."""

import fcntl
import json
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import zmq
import zmq.auth
from numpy.typing import NDArray

from tests.other_backends import STANDALONE
from tests.patience import WITHIN_S
from tests.processes import triton_pids

_given_out: set[int] = set()
# A byte for each port, locked by the process that has been given it, until it ends.
_PORTS_OF_ALL = os.open(Path(tempfile.gettempdir(), f"ports-of-tests-{os.getuid()}"), os.O_RDWR | os.O_CREAT)


def free_port() -> int:
    """A TCP port that nobody listens on, and that no process of tests has been given that still runs.

    Below the range from which Linux serves outgoing connections, so that none of them takes it before use.
    """
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        if port in _given_out:
            continue
        try:
            fcntl.lockf(_PORTS_OF_ALL, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            with socket.create_server(("127.0.0.1", port)):
                _given_out.add(port)
                return port
        except OSError:
            continue


@dataclass
class Stack:
    """A running `python -m standalone`; `lines` grows with what it prints on stdout and stderr."""

    process: subprocess.Popen[str]
    zmq_port: int
    tcp_port: int
    web_port: int
    http_port: int
    triton_http_port: int
    triton_grpc_port: int
    triton_metrics_port: int
    lines: list[str] = field(default_factory=list)

    @property
    def triton_endpoint(self) -> str:
        """HOST:PORT of its Triton's gRPC service."""
        return f"127.0.0.1:{self.triton_grpc_port}"

    def triton_pid(self) -> int:
        """Process id of this stack's tritonserver."""
        (pid,) = triton_pids(f"--grpc-port={self.triton_grpc_port}")
        return pid

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = WITHIN_S) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout_s)


@contextmanager
def running_stack(
    *arguments: str, cwd: Path, env: dict[str, str] | None = None, stderr: Path | None = None
) -> Iterator[Stack]:
    """Start the stack on free ports, wait for its `ready:` line, and stop it at the end.

    `stderr`: a file for it, so that `lines` holds nothing but stdout.
    """
    ports = [free_port() for _ in range(7)]
    names = ("zmq", "tcp", "web", "http", "triton-http", "triton-grpc", "triton-metrics")
    flags = [f"--{name}-port={port}" for name, port in zip(names, ports, strict=True)]
    with stderr.open("w") if stderr else nullcontext(subprocess.STDOUT) as error_output:
        process = subprocess.Popen(
            [sys.executable, *STANDALONE, "--host=127.0.0.1", *flags, *arguments],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=error_output,
            text=True,
        )
    stack = Stack(process, *ports)
    ready_or_ended = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            stack.lines.append(line.rstrip("\n"))
            if line.startswith("ready:"):
                ready_or_ended.set()
        ready_or_ended.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        ready_or_ended.wait(WITHIN_S)
        if not any(line.startswith("ready:") for line in stack.lines):
            said = [*stack.lines, stderr.read_text() if stderr else ""]
            raise AssertionError("the stack did not become ready:\n" + "\n".join(said))
        yield stack
    finally:
        if process.poll() is None:
            stack.stop()
        reader.join(WITHIN_S)
        if process.stdout is not None:
            process.stdout.close()


class PickleClient:
    """The deployed Python client: a plain REQ socket with a 30 s receive timeout, and pickles."""

    def __init__(self, port: int) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REQ)
        self._socket.setsockopt(zmq.RCVTIMEO, 30_000)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(f"tcp://127.0.0.1:{port}")

    def send_bytes(self, payload: bytes) -> dict[str, Any]:
        """Send bytes as they are; the unpickled reply."""
        reply: dict[str, Any] = pickle.loads(self.exchange(payload))
        return reply

    def exchange(self, payload: bytes) -> bytes:
        """Send bytes as they are; the reply's bytes."""
        self._socket.send(payload)
        return self._socket.recv()

    def send(self, **fields: object) -> None:
        """Send a dict without waiting for its reply."""
        self._socket.send(pickle.dumps(fields))

    def receive(self) -> dict[str, Any]:
        """The unpickled reply to what `send` sent."""
        reply: dict[str, Any] = pickle.loads(self._socket.recv())
        return reply

    def request(self, **fields: object) -> dict[str, Any]:
        """Send a dict; the unpickled reply."""
        return self.send_bytes(pickle.dumps(fields))

    def close(self) -> None:
        """Close the socket at once."""
        self._socket.close()
        self._context.term()

    def __enter__(self) -> "PickleClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class MsgpackClient:
    """A new Python client as the documentation describes it: a REQ socket, msgpack, and CURVE where it is on.

    `keys`: the folder with `server.key` and the client's secret key; `name`: the client's name.
    """

    def __init__(
        self, port: int, keys: Path | None = None, name: str = "", timeout_s: float = WITHIN_S
    ) -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.REQ)
        self.socket.rcvtimeo = round(timeout_s * 1000)
        self.socket.linger = 0
        if keys is not None:
            secret = keys / f"{name}.key_secret"
            self.socket.curve_publickey, self.socket.curve_secretkey = zmq.auth.load_certificate(secret)
            self.socket.curve_serverkey, _ = zmq.auth.load_certificate(keys / "server.key")
        self.socket.connect(f"tcp://127.0.0.1:{port}")

    def request(self, **fields: object) -> dict[str, Any]:
        """Send a dict, with arrays as `packed_array` makes them; the unpacked reply, with arrays."""
        self.socket.send(msgpack.packb(fields))
        reply: dict[str, Any] = msgpack.unpackb(self.socket.recv())
        for name, array in reply.get("pred", {}).items():
            reply["pred"][name] = np.frombuffer(array["data"], array["dtype"]).reshape(array["shape"])
        return reply

    def close(self) -> None:
        """Close the socket at once."""
        self.socket.close()
        self._context.term()

    def __enter__(self) -> "MsgpackClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def packed_array(array: NDArray[Any]) -> dict[str, object]:
    """An array as msgpack clients send it."""
    return {"shape": list(array.shape), "dtype": str(array.dtype), "data": array.tobytes()}


class JsonClient:
    """A client of port 5556: a JSON line, image bytes, a JSON line back."""

    def __init__(self, port: int, timeout_s: float = WITHIN_S) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self._file = self.socket.makefile("rb")

    def send(self, header: dict[str, Any], image: bytes = b"") -> None:
        """Send a request without waiting for its reply."""
        self.socket.sendall(json.dumps(header).encode() + b"\n" + image)

    def line(self) -> bytes:
        """One line of the server's; empty when it has closed the connection."""
        return self._file.readline()

    def request(self, header: dict[str, Any], image: bytes = b"") -> dict[str, Any]:
        """Send a request; the parsed reply."""
        self.send(header, image)
        reply: dict[str, Any] = json.loads(self.line())
        return reply

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self.socket.close()

    def __enter__(self) -> "JsonClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_until(condition: Callable[[], object], what: str, within_s: float = WITHIN_S) -> None:
    """Poll a condition until it is true."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what}")
        time.sleep(0.02)
