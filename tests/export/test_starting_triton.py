"""`nitrogen-export --triton-start-timeout`: a Triton that is loading its models while an export ends."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from export.commands.export import run as run_export
from export.errors import OptionError
from export.repository.served import serve_version, served_number
from standalone.triton_server import TritonPorts, local_triton
from tests.export.light_versions import CHECKPOINT, MODEL, NAME, publish_light
from tests.patience import WITHIN_S
from tests.stack import free_port

# Loads until it is let go.
SLOW_MODEL = f"""
import time
from pathlib import Path

{MODEL}
    def initialize(self, args):
        Path({{loading!r}}).touch()
        give_up = time.monotonic() + {WITHIN_S}
        while not Path({{go!r}}).exists() and time.monotonic() < give_up:
            time.sleep(0.02)
"""


def reuse(repository: Path, steps: int, *words: str) -> None:
    """`nitrogen-export --reuse --if-triton-runs` for a version that is there."""
    settings = ("--reuse", "--if-triton-runs", f"--steps={steps}", "--precision=fp32")
    run_export([str(CHECKPOINT), f"--repository={repository}", *settings, *words])


def test_one_that_is_loading_the_old_version_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    repository, loading, go = tmp_path / "repository", tmp_path / "loading", tmp_path / "go"
    for steps in (1, 2):
        publish_light(repository, steps)
    slow = SLOW_MODEL.format(loading=str(loading), go=str(go))
    (repository / NAME / "1" / "model.py").write_text(slow)
    serve_version(repository, NAME, 1, after=[])
    ports = TritonPorts(free_port(), free_port(), free_port())
    address = f"127.0.0.1:{ports.grpc}"
    server = local_triton(repository, [NAME], ports, tmp_path)

    async def run() -> None:
        starting = asyncio.create_task(server.start())
        try:
            await _until(loading.exists)
            words = (f"--triton={address}", f"--triton-start-timeout={WITHIN_S}")
            export = asyncio.create_task(asyncio.to_thread(reuse, repository, 2, *words))
            await _until(lambda: f"Triton at {address} takes no connections yet" in caplog.text)
            go.touch()
            await asyncio.wait_for(export, WITHIN_S)
            await asyncio.wait_for(starting, WITHIN_S)
            assert _running(address) == 2
        finally:
            go.touch()
            starting.cancel()
            await server.stop()

    asyncio.run(run())
    assert caplog.text.count("takes no connections yet") == 1
    assert f"Triton at {address} serves version 2 of nitrogen" in caplog.text


def test_one_that_does_not_start_in_time_counts_as_not_running(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    publish_light(tmp_path, 1)
    address = f"127.0.0.1:{free_port()}"
    before = time.monotonic()
    reuse(tmp_path, 1, f"--triton={address}", "--triton-start-timeout=2")
    assert time.monotonic() - before >= 2
    assert served_number(tmp_path, NAME) == 1
    assert caplog.text.count(f"Triton at {address} takes no connections yet") == 1
    assert "waiting at most 2 s" in caplog.text
    assert f"no Triton answers at {address} (Connection refused): its next start loads" in caplog.text


def test_without_a_time_nothing_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    publish_light(tmp_path, 1)
    reuse(tmp_path, 1, f"--triton=127.0.0.1:{free_port()}")
    assert "takes no connections yet" not in caplog.text


def test_without_a_triton_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--triton-start-timeout has no effect without --triton HOST:PORT"):
        run_export([str(CHECKPOINT), f"--repository={tmp_path}", "--triton-start-timeout=5"])


async def _until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.02)


def _running(address: str) -> int:
    """The version that a Triton has ready."""
    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        (model,) = stub.RepositoryIndex(
            service_pb2.RepositoryIndexRequest(ready=True), timeout=WITHIN_S
        ).models
        return int(model.version)
