"""Running `clients/play.py` as people do, and a gateway that can be stopped and started under it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.first_words import next_line
from tests.paths import ROOT
from tests.patience import WITHIN_S
from tests.stack import free_port

PLAY = ROOT / "clients" / "play.py"
GAME = "Airstriker-Genesis-v0"


@dataclass
class Run:
    """A running `clients/play.py` in a folder of its own."""

    process: subprocess.Popen[str]
    folder: Path

    def lines(self) -> list[str]:
        """The whole lines of the only recording of actions; none before it is there."""
        paths = list(self.folder.glob("out/*/*_ACTIONS.jsonl"))
        return [
            line
            for path in paths
            for line in path.read_text().splitlines(keepends=True)
            if line.endswith("\n")
        ]

    def next_line(self) -> str:
        """The next line of stdout, as `tests.first_words` gives it."""
        return next_line(self.process)

    def wait_for(self, text: str) -> None:
        """Read lines of stdout until one has a text in it."""
        while text not in self.next_line():
            pass

    def end(self) -> tuple[int, str, str]:
        """Wait for the end: the exit code, stdout and stderr."""
        stdout, stderr = self.process.communicate(timeout=WITHIN_S)
        return self.process.returncode, stdout, stderr


@contextmanager
def running_play(
    folder: Path, *arguments: str, is_leader: bool = False, terminal: int | None = None
) -> Iterator[Run]:
    """Start `clients/play.py`; it is killed at the end if it still runs.

    `is_leader`: give it a process group of its own, to which a terminal's Ctrl-C can go. `terminal`: the
    descriptor of one that becomes its own.
    """
    process = subprocess.Popen(
        [*(() if terminal is None else ("setsid", "--ctty")), sys.executable, str(PLAY), *arguments],
        cwd=folder,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "500"},
        start_new_session=is_leader,
    )
    try:
        yield Run(process, folder)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=WITHIN_S)


def play(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Run `clients/play.py` to its end: the exit code, stdout and stderr."""
    with running_play(folder, *arguments) as run:
        return run.end()


class RestartedGateway:
    """A gateway process in front of a Triton, with the same port at each start."""

    def __init__(self, triton_port: int) -> None:
        self.port = free_port()
        ports = (f"--zmq-port={self.port}", f"--tcp-port={free_port()}", "--web-port=0")
        ports += (f"--http-port={free_port()}",)
        self._command = [
            sys.executable,
            "-m",
            "gateway",
            "--host=127.0.0.1",
            f"--triton=127.0.0.1:{triton_port}",
            *ports,
        ]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens, for at most 60 s a port."""
        process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._process = process
        for _ in range(2):
            assert "port" in next_line(process), "the gateway did not start"

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate(timeout=WITHIN_S)
            self._process = None


@contextmanager
def handled(number: int, how: signal.Handlers) -> Iterator[None]:
    """Have programs that start meanwhile begin with the signal ignored, or not."""
    before = signal.signal(number, how)
    try:
        yield
    finally:
        signal.signal(number, before)
