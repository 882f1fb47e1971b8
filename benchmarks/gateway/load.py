"""Load clients, each a process of its own: they send a frame, wait for the actions, and send the next."""

import contextlib
import multiprocessing
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self

from benchmarks.gateway.ways import Ask, Connect, Endpoints, LoadError

_WARM_UP_REQUESTS = 3
_END_WITHIN_S = 2
# The commands' imports: read once, not by each of the clients.
_IMPORTED = [__name__, "benchmarks.gateway.all_kinds", "benchmarks.gateway.models"]
_LEAD_S = 0.05  # from the word "go" to the common start, in which the word reaches every client


@dataclass(frozen=True)
class Measured:
    """The measurements of one client: its rate, and every request's latency."""

    requests_per_s: float
    latencies_s: list[float]


@dataclass(frozen=True)
class Rates:
    """The measurements of all clients: requests per second together, and latencies per request."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    requests: int


def rates(measured: Sequence[Measured]) -> Rates:
    """Return the sum of the clients' rates, and the percentiles of all their latencies."""
    latencies = sorted(latency for one in measured for latency in one.latencies_s)
    return Rates(
        requests_per_s=sum(one.requests_per_s for one in measured),
        p50_ms=1000 * statistics.median(latencies),
        p99_ms=1000 * latencies[len(latencies) * 99 // 100],
        requests=len(latencies),
    )


class ConnectedClients:
    """Some of the load clients, connected by one way until they `leave`."""

    def __init__(
        self, connections: Sequence[Connection], leave: Callable[[Sequence[Connection]], None]
    ) -> None:
        self._connections = connections
        self._leave = leave

    def begin(self, seconds: float) -> None:
        """Let the clients send for some seconds, all at once; `finish` gives what they measured."""
        begin = time.monotonic() + _LEAD_S
        for connection in self._connections:
            connection.send((begin, begin + seconds))

    def finish(self) -> list[Measured]:
        """Return what each client measured since `begin`.

        Raises:
            LoadError: a client did not get its actions.
        """
        return [_receive(connection) for connection in self._connections]

    def measure(self, seconds: float) -> Rates:
        """Let the clients send for some seconds, all at once.

        Raises:
            LoadError: a client did not get its actions.
        """
        self.begin(seconds)
        return rates(self.finish())

    def leave(self) -> None:
        """Disconnect; the processes are free for another way."""
        self._leave(self._connections)
        self._connections = []


class LoadClients:
    """Client processes that take part in one measurement after the other; used as a context manager."""

    def __init__(self, count: int) -> None:
        self._processes: list[BaseProcess] = []
        self._all: list[Connection] = []
        for _ in range(count):
            process, connection = start_process(_serve)
            self._processes.append(process)
            self._all.append(connection)
        self._free = list(self._all)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._all:
            connection.close()  # the sign to end
        give_up = time.monotonic() + _END_WITHIN_S
        for process in self._processes:
            process.join(max(0.0, give_up - time.monotonic()))
            process.kill()

    def connect(self, connect: Connect, endpoints: Endpoints, count: int) -> ConnectedClients:
        """Let `count` free clients connect and send their first requests, which nobody counts.

        Raises:
            LoadError: a client did not get its actions.
        """
        taken, self._free = self._free[:count], self._free[count:]
        if len(taken) < count:
            raise ValueError(f"{count} clients are asked for, and {len(taken)} are free")
        for connection in taken:
            connection.send((connect, endpoints))
        for connection in taken:
            _receive(connection)
        return ConnectedClients(taken, self._take_back)

    def _take_back(self, connections: Sequence[Connection]) -> None:
        for connection in connections:
            connection.send(None)
        self._free += connections


@contextmanager
def running_beside(function: Callable[..., Any], *arguments: object) -> Iterator[Callable[[], Any]]:
    """Run `function(connection, *arguments)` as a process: it sends "ready", and ends when it hears "end".

    Yields a function that says "end" and returns what the process then answers.

    Raises:
        LoadError: the process failed before it was ready.
    """
    process, connection = start_process(function, *arguments)

    def end() -> Any:  # noqa: ANN401 - the function's own
        connection.send("end")
        return _receive(connection)

    try:
        _receive(connection)
        yield end
    finally:
        connection.close()
        process.join(_END_WITHIN_S)
        process.kill()
        process.join()


def start_process(function: Callable[..., Any], *arguments: object) -> tuple[BaseProcess, Connection]:
    """Start `function(connection, *arguments)` in a process that ends with this one; its connection here."""
    context = _forkserver()
    ours, theirs = context.Pipe()
    process = context.Process(target=function, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _forkserver() -> ForkServerContext:
    # Forked from a server that has imported everything, for 32 interpreters take long to start.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    return context


def _receive(connection: Connection) -> Any:  # noqa: ANN401 - what the protocol has next
    try:
        answer = connection.recv()
    except (EOFError, ConnectionError):
        answer = LoadError("a load client has died")
    if isinstance(answer, LoadError):
        raise answer
    return answer


def _serve(connection: Connection) -> None:
    """Run a client process: hear a way, say "ready", hear two times, say what was measured, until None."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which then closes the connection
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            heard = connection.recv()
            if heard is None:
                continue
            connect, endpoints = heard
            answer: object = "ready"
            try:
                with connect(endpoints) as ask:
                    for _ in range(_WARM_UP_REQUESTS):
                        ask()
                    while True:
                        connection.send(answer)
                        if (times := connection.recv()) is None:
                            break
                        answer = _closed_loop(ask, *times)
            except EOFError:
                raise
            except Exception as error:
                connection.send(LoadError(f"a client by {connect.__name__} failed: {error!r}"))


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
