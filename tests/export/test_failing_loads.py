"""`activate` with versions that fail in many words, or end Triton, as failing warm-ups sometimes do."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from export.errors import ActivationError, TritonEndedError
from export.repository.live import activate
from export.repository.served import history, serve_version, served_number
from export.repository.tritons import connected_tritons
from standalone.triton_server import TritonPorts, TritonServer, local_triton
from tests.export.light_versions import MODEL, NAME, publish_light
from tests.stack import free_port

ENDING_MODEL = f"""
import os
import signal

{MODEL}
    def initialize(self, args):
        os.kill(os.getppid(), signal.SIGKILL)
"""
# As libtorch says it of each request in a batch; together they are more than gRPC takes of its own accord.
WORDY_MODEL = f"""
SAID = "The following operation failed in the TorchScript interpreter.\\n"
TRACEBACK = "Traceback of TorchScript (most recent call last):\\n" + "  File x, line 1, in forward\\n" * 900

{MODEL}
    def initialize(self, args):
        raise RuntimeError(SAID + TRACEBACK + "RuntimeError: CUDA out of memory.")
"""


@dataclass(frozen=True)
class Running:
    """A Triton that serves version 1; version 2 is going to end it, version 3 to fail."""

    runner: asyncio.Runner
    server: TritonServer
    repository: Path
    address: str

    def activate(self) -> str:
        """Activate version 2; the error."""
        with pytest.raises(TritonEndedError) as raised:
            activate(self.repository, NAME, 2, self.address)
        return str(raised.value)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    repository = tmp_path / "repository"
    publish_light(repository, 1)
    publish_light(repository, 2, model_text=ENDING_MODEL)
    publish_light(repository, 3, model_text=WORDY_MODEL)
    serve_version(repository, NAME, 1, after=[])
    ports = TritonPorts(free_port(), free_port(), free_port())
    server = local_triton(repository, [NAME], ports, tmp_path)
    with asyncio.Runner() as runner:
        try:
            runner.run(server.start())
            yield Running(runner, server, repository, f"127.0.0.1:{ports.grpc}")
        finally:
            runner.run(server.stop())


def test_a_restart_is_logged_waited_for_and_serves_the_old_version(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    async def activate_while_somebody_restarts() -> str:
        keeping = asyncio.create_task(running.server.keep_running())
        try:
            return await asyncio.to_thread(running.activate)
        finally:
            keeping.cancel()

    told = running.runner.run(activate_while_somebody_restarts())
    assert told == (
        f"Triton at {running.address} ended while it loaded version 2 of nitrogen (its log says more); it "
        "was started again and serves version 1"
    )
    with connected_tritons(running.address, None) as (triton,):
        assert triton.running_version(NAME) == 1
    assert (served_number(running.repository, NAME), history(running.repository, NAME)) == (1, [1])
    assert "Triton ended with exit code 137 (SIGKILL)" in caplog.text


def test_the_error_says_that_nobody_restarts_it(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.repository.live._RETURN_S", 0.5)
    told = running.activate()
    assert told.endswith("; nobody has started it again within 0.5 s: start it, and it loads version 1")
    assert served_number(running.repository, NAME) == 1


def test_the_cause_is_told_of_a_version_that_fails_in_many_words(running: Running) -> None:
    with pytest.raises(
        ActivationError, match=r"could not load version 3 of nitrogen: .*: CUDA out of memory"
    ):
        activate(running.repository, NAME, 3, running.address)
    assert served_number(running.repository, NAME) == 1
