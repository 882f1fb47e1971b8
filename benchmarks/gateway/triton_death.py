"""`python -m benchmarks.gateway.triton_death`: what sixteen clients see while Tritons die and come back.

Two Tritons serve a model that answers at once; the clients, half of them on each port, ask one request after
the other all the while. One Triton is killed with SIGKILL and comes back, then both are.
"""

import asyncio
import os
import signal
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.command import measurement_options, progress, run_command, use_cores
from benchmarks.gateway.load import running_beside
from benchmarks.gateway.models import publish_identity_model
from benchmarks.gateway.process import running_gateway
from benchmarks.gateway.ways import HOST, Connect, Endpoints, LoadError, tcp_json, zmq_pickle
from standalone.triton_server import TritonPorts, TritonServer, local_triton
from tests.stack import free_port

CLIENTS = 16
_PLAY_S = 2.0
_DEAD_S = 3.0
_PAUSE_S = 0.02  # of a client between an answer and its next request
_POLL_S = 0.02
_READY_WITHIN_S = 60


@dataclass(frozen=True)
class Answer:
    """One request: when it was asked and answered, by `time.monotonic`, and the error if it got one."""

    asked: float
    answered: float
    error: str = ""


@dataclass(frozen=True)
class OneKilled:
    """Errors, and the longest wait of any client, from the kill of one Triton to its return and beyond."""

    requests: int
    errors: Sequence[str]
    longest_wait_s: float


@dataclass(frozen=True)
class BothKilled:
    """The clients' view when no Triton was left, in seconds.

    Attributes:
        first_errors_s: from the kill to each client's first error.
        longest_wait_s: of any request answered while they were dead.
        first_answers_s: from the first Triton's readiness to each client's first actions.
    """

    first_errors_s: Sequence[float]
    longest_wait_s: float
    first_answers_s: Sequence[float]


@dataclass(frozen=True)
class TritonDeath:
    """Both parts of the measurement."""

    one: OneKilled
    both: BothKilled


class _Triton:
    """One of the Tritons, with the same ports at each start."""

    def __init__(self, repository: Path, model: str, folder: Path) -> None:
        folder.mkdir()
        self.ports = TritonPorts(*(free_port() for _ in range(3)))
        self._server: TritonServer = local_triton(repository, [model], self.ports, folder)

    async def start(self) -> float:
        """Start it; the time when it was ready."""
        starting = asyncio.create_task(self._server.start())
        try:
            async with asyncio.timeout(_READY_WITHIN_S):
                while not starting.done() and not await asyncio.to_thread(self._is_ready):  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_S)
            return time.monotonic()
        finally:
            await starting

    async def kill(self) -> float:
        """Kill it without a word to its clients; the time of that."""
        now = time.monotonic()
        os.kill(self._pid(), signal.SIGKILL)
        await self._server.stop()
        return now

    async def stop(self) -> None:
        """End it in order."""
        await self._server.stop()

    def _is_ready(self) -> bool:
        try:
            url = f"http://{HOST}:{self.ports.http}/v2/health/ready"
            with urllib.request.urlopen(url, timeout=1) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _pid(self) -> int:
        wanted = f"--grpc-port={self.ports.grpc}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if words[0].endswith(b"/tritonserver") and wanted in words:
                return int(folder.name)
        raise LoadError("a Triton is not running that should be")


def measure_triton_death() -> TritonDeath:
    """Kill one of two Tritons, then both, under the clients.

    Raises:
        LoadError: the gateway did not become ready, or a client got neither actions nor an error.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name, asyncio.Runner() as runner:
        folder = Path(name)
        model = publish_identity_model(folder / "repository")
        tritons = [_Triton(folder / "repository", model, folder / letter) for letter in "ab"]
        try:
            runner.run(_start(tritons))
            ports = [triton.ports.grpc for triton in tritons]
            with running_gateway(model, ports) as gateway, ExitStack() as stack:
                ends = [
                    stack.enter_context(running_beside(_play, connect, gateway.endpoints))
                    for connect in (zmq_pickle, tcp_json)
                    for _ in range(CLIENTS // 2)
                ]
                killed, both_killed, both_back = runner.run(_events(tritons))
                played: list[list[Answer]] = [end() for end in ends]
        finally:
            runner.run(_stop(tritons))
    return TritonDeath(_one_killed(played, killed, both_killed), _both_killed(played, both_killed, both_back))


async def _start(tritons: Sequence[_Triton]) -> float:
    """Start Tritons side by side; the time when the first of them was ready."""
    return min(await asyncio.gather(*(triton.start() for triton in tritons)))


async def _stop(tritons: Sequence[_Triton]) -> None:
    await asyncio.gather(*(triton.stop() for triton in tritons))


async def _events(tritons: Sequence[_Triton]) -> tuple[float, float, float]:
    """Kill one and bring it back, kill both and bring them back; the times of the kills and of the last."""
    progress("one of two Tritons is killed")
    await asyncio.sleep(_PLAY_S)
    killed = await tritons[0].kill()
    await asyncio.sleep(_DEAD_S)
    await tritons[0].start()
    await asyncio.sleep(_PLAY_S)
    progress("both Tritons are killed")
    both_killed = min(await asyncio.gather(*(triton.kill() for triton in tritons)))
    await asyncio.sleep(_DEAD_S)
    both_back = await _start(tritons)
    await asyncio.sleep(_PLAY_S)
    return killed, both_killed, both_back


def _one_killed(played: Sequence[Sequence[Answer]], killed: float, end: float) -> OneKilled:
    answers = [answer for client in played for answer in client if killed < answer.answered < end]
    return OneKilled(
        len(answers),
        [answer.error for answer in answers if answer.error],
        max(answer.answered - answer.asked for answer in answers),
    )


def _both_killed(played: Sequence[Sequence[Answer]], killed: float, back: float) -> BothKilled:
    first_errors, first_answers, waits = [], [], []
    for client in played:
        errors = [answer.answered for answer in client if answer.answered > killed and answer.error]
        if not errors:
            raise LoadError("a client got no error though both Tritons were dead")
        actions = [answer.answered for answer in client if answer.answered > errors[0] and not answer.error]
        if not actions:
            raise LoadError(f"a client got no actions within {_PLAY_S:g} s of a Triton's readiness")
        first_errors.append(errors[0] - killed)
        first_answers.append(max(0.0, actions[0] - back))
        waits += [answer.answered - answer.asked for answer in client if killed < answer.answered < back]
    return BothKilled(first_errors, max(waits), first_answers)


def _play(connection: Connection, connect: Connect, endpoints: Endpoints) -> None:
    """Ask one request after the other until told to end; answer what came of each."""
    answers: list[Answer] = []
    outcome: Any = answers
    try:
        with connect(endpoints) as ask:
            connection.send("ready")
            while not connection.poll(_PAUSE_S):
                asked, error = time.monotonic(), ""
                try:
                    ask()
                except LoadError as problem:
                    error = str(problem)
                answers.append(Answer(asked, time.monotonic(), error))
    except EOFError:
        return
    except Exception as problem:
        outcome = LoadError(f"a client by {connect.__name__} got neither actions nor an error: {problem!r}")
    connection.send(outcome)


def main() -> int:
    """Print the figures."""
    parser = measurement_options(__doc__)
    options = parser.parse_args()
    use_cores(options.cores)
    death = measure_triton_death()
    one, both = death.one, death.both
    print(
        f"one of two killed: {len(one.errors)} errors in {one.requests} requests of {CLIENTS} clients, "
        f"longest wait {one.longest_wait_s:.2f} s"
    )
    for error in sorted(set(one.errors))[:5]:
        print(f"  {error}")
    print(
        f"both killed: each client's first error after {min(both.first_errors_s):.2f} to "
        f"{max(both.first_errors_s):.2f} s, longest wait {both.longest_wait_s:.2f} s"
    )
    print(f"back: first actions {max(both.first_answers_s):.2f} s after readiness at the latest")
    return 0


if __name__ == "__main__":
    run_command(main)
