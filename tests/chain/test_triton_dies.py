"""Triton is killed, or stands still, while clients play: each request gets its reply, and all recovers."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.golden import checkpoint_path
from tests.pages import page
from tests.pictures import picture
from tests.processes import Process, alive, descendants
from tests.stack import JsonClient, PickleClient, Stack, running_stack, wait_until

pytestmark = pytest.mark.slow

CLIENTS = 8
ZMQ_DEADLINE_S = 6.0  # shorter than by default, because tests wait for it
# The deadlines, and time for a busy machine to send and read the reply.
BOUND_S = {"tcp": 4.0 + 1.0, "zmq": ZMQ_DEADLINE_S + 1.0}

Ask = Callable[[int], dict[str, Any]]
Info = dict[str, Any]


@contextmanager
def mortal_stack(folder: Path) -> Iterator[Stack]:
    """A stack for tests that do it harm."""
    flags = (str(checkpoint_path("tiny")), "--repository=models")
    with running_stack(*flags, cwd=folder, env={"NITROGEN_ZMQ_DEADLINE_S": str(ZMQ_DEADLINE_S)}) as stack:
        yield stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of this module's own; who harms it waits until it is well again."""
    with mortal_stack(tmp_path_factory.mktemp("mortal")) as stack:
        yield stack


@contextmanager
def client_of(stack: Stack, port: str) -> Iterator[Ask]:
    """A client of either port that asks for the actions of a seed."""
    if port == "zmq":
        with PickleClient(stack.zmq_port) as pickles:
            yield lambda seed: pickles.request(type="predict", image=picture(seed), seed=seed)
    else:
        with JsonClient(stack.tcp_port) as lines:
            yield lambda seed: lines.request({"type": "predict", "seed": seed}, picture(seed).tobytes())


def infos(stack: Stack) -> tuple[Info, Info]:
    """The reply to `info` on both ports."""
    with PickleClient(stack.zmq_port) as pickles, JsonClient(stack.tcp_port) as lines:
        return pickles.request(type="info"), lines.request({"type": "info"})


def answers(stack: Stack) -> list[list[list[float]]]:
    """The sticks of a few seeded requests on both ports."""
    sticks = []
    for port in ("zmq", "tcp"):
        with client_of(stack, port) as ask:
            sticks += [np.asarray(ask(seed)["pred"]["j_left"]).tolist() for seed in range(3)]
    return sticks


def stubs(stack: Stack) -> set[Process]:
    """The processes in which Triton runs the model."""
    return {process for process in descendants(stack.process.pid) if process.name == "triton_python_b"}


def kill_triton(stack: Stack) -> None:
    os.kill(stack.triton_pid(), signal.SIGKILL)


@dataclass
class Played:
    """A client's replies while Triton died."""

    port: str
    statuses: list[str]
    longest_s: float


class Match:
    """Eight clients in closed loop, four on each port, until `finish`."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(CLIENTS)
        self.statuses: list[list[str]] = [[] for _ in range(CLIENTS)]
        self._players = [self._pool.submit(self._play, number) for number in range(CLIENTS)]

    def _play(self, number: int) -> Played:
        port = "zmq" if number % 2 else "tcp"
        statuses, longest_s = self.statuses[number], 0.0
        with client_of(self._stack, port) as ask:
            while not self._over.is_set():
                begun = time.monotonic()
                statuses.append(ask(number)["status"])
                longest_s = max(longest_s, time.monotonic() - begun)
                self._over.wait(0.02)  # a game's own work; errors come too fast to ask without a pause
        return Played(port, statuses, longest_s)

    def wait_for(self, status: str, times: int = 1) -> None:
        """Wait until every client has got `times` more replies of this status."""
        counts = [statuses.count(status) + times for statuses in self.statuses]

        def reached() -> bool:
            return any(player.done() for player in self._players) or all(
                statuses.count(status) >= count for statuses, count in zip(self.statuses, counts, strict=True)
            )

        wait_until(reached, f"{times} more replies {status!r} for each client")

    def finish(self) -> list[Played]:
        """Let every client get its last reply; what they got."""
        self._over.set()
        try:
            return [player.result(60) for player in self._players]
        finally:
            self._pool.shutdown()


@contextmanager
def match_on(stack: Stack) -> Iterator[Match]:
    """Eight clients that play."""
    match = Match(stack)
    try:
        match.wait_for("ok", 2)
        yield match
    finally:
        match.finish()


@dataclass
class Death:
    """The events when Triton was killed under eight clients, and came back."""

    played: list[Played]
    healthz: int
    infos: list[tuple[Info, Info]]
    answers: list[list[list[list[float]]]]
    old_stubs: set[Process]


@pytest.fixture(scope="module")
def death(stack: Stack) -> Death:
    answers_before, infos_before, old_stubs = answers(stack), infos(stack), stubs(stack)
    with match_on(stack) as match:
        kill_triton(stack)
        wait_until(
            lambda: page(stack.http_port, "/readyz")[0] == 503, "the gateway says that it is not ready"
        )
        healthz = page(stack.http_port, "/healthz")[0]
        infos_meanwhile = infos(stack)
        match.wait_for("error")
        wait_until(lambda: page(stack.http_port, "/readyz")[0] == 200, "the gateway is ready again")
        match.wait_for("ok", 3)
        played = match.finish()
    return Death(
        played, healthz, [infos_before, infos_meanwhile], [answers_before, answers(stack)], old_stubs
    )


def test_every_request_is_answered_in_time_when_triton_is_killed(death: Death) -> None:
    assert [player for player in death.played if player.longest_s > BOUND_S[player.port]] == []


def test_every_client_gets_actions_again_after_triton_was_killed(death: Death) -> None:
    assert [set(player.statuses) for player in death.played] == [{"ok", "error"}] * CLIENTS
    assert [player.statuses[-1] for player in death.played] == ["ok"] * CLIENTS


def test_gateway_is_healthy_while_triton_is_down(death: Death) -> None:
    assert death.healthz == 200


def test_info_is_the_same_while_triton_is_down(death: Death) -> None:
    before, meanwhile = death.infos
    assert meanwhile == before
    assert meanwhile[0]["status"] == "ok"


def test_seeded_answers_are_the_same_after_triton_was_killed(death: Death) -> None:
    before, after = death.answers
    assert after == before


@pytest.mark.python_stub
def test_killed_triton_leaves_no_stub(death: Death) -> None:
    """It can outlive Triton, and holds the model's memory."""
    assert len(death.old_stubs) == 1
    assert alive(death.old_stubs) == set()


def test_triton_comes_back_each_time_it_is_killed(stack: Stack) -> None:
    for _ in range(2):
        kill_triton(stack)
        wait_until(lambda: page(stack.http_port, "/readyz")[0] == 503, "Triton is gone")
        wait_until(lambda: page(stack.http_port, "/readyz")[0] == 200, "Triton is back")
    with client_of(stack, "zmq") as ask:
        assert ask(1)["status"] == "ok"


@dataclass
class Standstill:
    """The events while Triton stood still, and after it went on."""

    played: list[Played]
    readyz: int
    infos: list[tuple[Info, Info]]
    answers: list[list[list[list[float]]]]


def stands_still(pid: int) -> bool:
    """Whether every thread of a process has stopped; on a busy machine that takes a while."""
    states = [
        path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{pid}/task").glob("*/stat")
    ]
    return set(states) == {"T"}


@pytest.fixture(scope="module")
def standstill(stack: Stack) -> Standstill:
    answers_before, infos_before = answers(stack), infos(stack)
    pid = stack.triton_pid()
    with match_on(stack) as match:
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(lambda: stands_still(pid), "every thread of Triton stands still")
            readyz = page(stack.http_port, "/readyz")[0]
            infos_meanwhile = infos(stack)
            match.wait_for("error")
        finally:
            os.kill(pid, signal.SIGCONT)
        match.wait_for("ok", 3)
        played = match.finish()
    return Standstill(played, readyz, [infos_before, infos_meanwhile], [answers_before, answers(stack)])


def test_every_request_is_answered_in_time_when_triton_stands_still(standstill: Standstill) -> None:
    assert [player for player in standstill.played if player.longest_s > BOUND_S[player.port]] == []


def test_every_client_gets_actions_again_when_triton_goes_on(standstill: Standstill) -> None:
    assert [player.statuses[-1] for player in standstill.played] == ["ok"] * CLIENTS


def test_gateway_is_not_ready_while_triton_stands_still(standstill: Standstill) -> None:
    assert standstill.readyz == 503


def test_info_is_the_same_while_triton_stands_still(standstill: Standstill) -> None:
    before, meanwhile = standstill.infos
    assert meanwhile == before


def test_seeded_answers_are_the_same_when_triton_goes_on(standstill: Standstill) -> None:
    before, after = standstill.answers
    assert after == before


@pytest.mark.python_stub
def test_every_client_gets_actions_again_after_the_stub_was_killed(tmp_path: Path) -> None:
    """Kill the process that holds the model, as a machine that runs out of memory does."""
    with mortal_stack(tmp_path) as stack, match_on(stack) as match:
        (stub,) = stubs(stack)
        os.kill(stub.pid, signal.SIGKILL)
        match.wait_for("ok", 10)
