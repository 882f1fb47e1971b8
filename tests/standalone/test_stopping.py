"""However the stack is ended, soon nothing of it is left."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.golden import checkpoint_path
from tests.patience import WITHIN_S
from tests.pictures import picture
from tests.processes import Process, alive, descendants, shared_memory_of
from tests.stack import PickleClient, Stack, free_port, running_stack, wait_until

pytestmark = pytest.mark.slow

# It takes less than 5 s where the machine has nothing else to do; beyond this, something hangs.
BOUND_S = 20.0
CHECKPOINT = str(checkpoint_path("tiny"))


def own_temporary_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def play_once(stack: Stack) -> None:
    with PickleClient(stack.zmq_port) as client:
        assert client.request(type="predict", image=picture(1))["status"] == "ok"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_signal_ends_everything(tiny_repository: Path, tmp_path: Path, number: signal.Signals) -> None:
    temporary = own_temporary_folder(tmp_path)
    flags = (CHECKPOINT, f"--repository={tiny_repository}")
    with running_stack(*flags, cwd=tmp_path, env={"TMPDIR": str(temporary)}) as stack:
        play_once(stack)
        processes = descendants(stack.process.pid)
        segments = shared_memory_of(processes)
        begun = time.monotonic()
        code = stack.stop(number)
        took_s = time.monotonic() - begun
    assert code == 0
    assert took_s < BOUND_S
    assert {process.name for process in processes} >= {"tritonserver", "triton_python_b"}
    assert alive(processes) == set()
    assert segments != set()
    assert {path for path in segments if path.exists()} == set()
    assert list(temporary.iterdir()) == []


def test_signals_under_load_end_everything_in_time(tiny_repository: Path, tmp_path: Path) -> None:
    """Ctrl-C, and again by an impatient hand: what is cleaned up must not be interrupted by it."""
    temporary = own_temporary_folder(tmp_path)
    flags = (CHECKPOINT, f"--repository={tiny_repository}")
    environment = {"TMPDIR": str(temporary)}
    with ExitStack() as clients, running_stack(*flags, cwd=tmp_path, env=environment) as stack:
        processes = descendants(stack.process.pid)
        players = [clients.enter_context(PickleClient(stack.zmq_port)) for _ in range(8)]
        play_once(stack)
        for player in players:
            player.send(type="predict", image=picture(1))
        begun = time.monotonic()
        stack.process.send_signal(signal.SIGINT)
        stack.process.send_signal(signal.SIGINT)
        code = stack.stop(signal.SIGTERM)
        took_s = time.monotonic() - begun
    assert code == 0
    assert took_s < BOUND_S
    assert alive(processes) == set()
    assert list(temporary.iterdir()) == []


def test_nothing_survives_a_killed_parent(tiny_repository: Path, tmp_path: Path) -> None:
    # A killed parent cannot remove its temporary folder; so it is where pytest tidies up.
    environment = {"TMPDIR": str(tmp_path)}
    with running_stack(CHECKPOINT, f"--repository={tiny_repository}", cwd=tmp_path, env=environment) as stack:
        play_once(stack)
        processes = descendants(stack.process.pid)
        segments = shared_memory_of(processes)
        stack.stop(signal.SIGKILL)
        wait_until(lambda: not alive(processes), f"all of {processes} are gone", BOUND_S)
    assert segments != set()
    assert {path for path in segments if path.exists()} == set()


@pytest.mark.python_stub
def test_nothing_survives_a_killed_parent_and_a_killed_triton(tiny_repository: Path, tmp_path: Path) -> None:
    """Triton has no time to tidy up: its stub and its shared memory are left to the keeper."""
    # A killed parent cannot remove its temporary folder; so it is where pytest tidies up.
    environment = {"TMPDIR": str(tmp_path)}
    with running_stack(CHECKPOINT, f"--repository={tiny_repository}", cwd=tmp_path, env=environment) as stack:
        play_once(stack)
        processes = descendants(stack.process.pid)
        segments = shared_memory_of(processes)
        triton = stack.triton_pid()
        stack.stop(signal.SIGKILL)
        os.kill(triton, signal.SIGKILL)
        wait_until(lambda: not alive(processes), f"all of {processes} are gone", BOUND_S)
    assert segments != set()
    assert {path for path in segments if path.exists()} == set()


@dataclass
class Interrupted:
    """How a start ended that was interrupted at a line of its log."""

    folder: Path
    moment: str
    code: int
    took_s: float
    log: str
    processes: set[Process]


def interrupt_at(moment: str, folder: Path, *, as_terminal: bool) -> Interrupted:
    """Start the stack and send SIGINT when `moment` is in its log, to all its processes if `as_terminal`."""
    temporary = own_temporary_folder(folder)
    ports = ("zmq", "tcp", "http", "triton-http", "triton-grpc", "triton-metrics")
    command = [sys.executable, "-m", "standalone", CHECKPOINT, "--repository=models", "--host=127.0.0.1"]
    with subprocess.Popen(
        [*command, *(f"--{name}-port={free_port()}" for name in ports)],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        log = ""
        for line in process.stderr:
            log += line
            if moment in line:
                break
        processes = descendants(process.pid)
        begun = time.monotonic()
        if as_terminal:
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGINT)
        log += process.stderr.read()
        code = process.wait(WITHIN_S)
        return Interrupted(folder, moment, code, time.monotonic() - begun, log, processes)


@pytest.fixture(
    scope="module",
    params=[
        ("exporting", False),
        ("saving", True),
        ("saving", False),
        ("starting Triton", False),
    ],
    ids=["before the export", "in the export, as a terminal does", "in the export", "before Triton is ready"],
)
def interrupted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    moment, as_terminal = request.param
    return interrupt_at(moment, tmp_path_factory.mktemp("interrupted"), as_terminal=as_terminal)


def test_interrupt_while_starting_ends_everything(interrupted: Interrupted) -> None:
    assert interrupted.moment in interrupted.log
    assert interrupted.code == 0, interrupted.log
    assert interrupted.took_s < BOUND_S
    assert alive(interrupted.processes) == set()
    assert list((interrupted.folder / "temporary").iterdir()) == []


def test_interrupt_while_exporting_leaves_nothing_in_the_repository(interrupted: Interrupted) -> None:
    """A left-over would be as large as the checkpoint."""
    files = [path for path in (interrupted.folder / "models").rglob("*") if path.is_file()]
    assert [path.name for path in files if "Triton" not in interrupted.moment] == []


def test_a_gateway_that_a_signal_ends_is_started_again(tiny_repository: Path, tmp_path: Path) -> None:
    flags = (CHECKPOINT, f"--repository={tiny_repository}")
    with running_stack(*flags, cwd=tmp_path, stderr=tmp_path / "log") as stack:
        play_once(stack)
        (gateway,) = (
            process.pid
            for process in descendants(stack.process.pid)
            if b"gateway.worker" in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        )
        os.kill(gateway, signal.SIGABRT)
        play_once(stack)
        assert stack.stop(signal.SIGTERM) == 0
    log = (tmp_path / "log").read_text()
    assert "the gateway ended with signal SIGABRT: starting it again" in log
    assert "Triton ended" not in log
