"""`activate` with two running Tritons of one repository whose protocols are all restricted to a key."""

import asyncio
import os
import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from contract.triton_key import TritonKey, read_triton_key
from export.commands.export import run as run_export
from export.errors import ActivationError, TritonNotRunningError
from export.repository.live import activate, rollback
from export.repository.served import history, serve_version, served_number
from standalone.triton_server import TritonPorts, TritonServer, server_command
from standalone.triton_wheel import assemble_backends, find_triton_wheel
from tests.export.light_versions import CHECKPOINT, NAME, publish_light
from tests.patience import WITHIN_S
from tests.stack import free_port

PROTOCOLS = "health,metadata,inference,shared-memory,model-config,model-repository,statistics,trace,logging"
HOSTS = ("127.0.0.2", "127.0.0.3")


@dataclass(frozen=True)
class Pair:
    """Two Tritons on one port of two addresses; each reads `repository` by a link of its own."""

    repository: Path
    links: tuple[Path, Path]
    logs: tuple[Path, Path]
    port: int
    key_file: Path

    @property
    def key(self) -> TritonKey:
        return read_triton_key(self.key_file)

    @property
    def addresses(self) -> list[str]:
        return [f"{host}:{self.port}" for host in HOSTS]

    @property
    def endpoint(self) -> str:
        return ",".join(self.addresses)

    def running(self) -> list[int]:
        """The version that each has ready."""
        return [self._running(address) for address in self.addresses]

    def loads(self) -> list[int]:
        """How often each has loaded a version."""
        return [log.read_text().count(f"successfully loaded '{NAME}'") for log in self.logs]

    def _running(self, address: str) -> int:
        with grpc.insecure_channel(address) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            request = service_pb2.RepositoryIndexRequest(ready=True)
            (model,) = stub.RepositoryIndex(request, metadata=self.key.metadata, timeout=WITHIN_S).models
            return int(model.version)


def reuse(repository: Path, *words: str) -> None:
    """`nitrogen-export --reuse` for version 1."""
    settings = ("--reuse", "--steps=1", "--precision=fp32")
    run_export([str(CHECKPOINT), f"--repository={repository}", *settings, *words])


@pytest.fixture(scope="module")
def tritons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("tritons")
    repository = folder / "repository"
    for steps in (1, 2):
        publish_light(repository, steps)
    serve_version(repository, NAME, 1, after=[])
    key_file = folder / "key"
    key_file.write_text("nitrogen=3f9c\n")
    wheel = find_triton_wheel()
    backends = folder / "backends"
    assemble_backends(wheel, backends)
    links = (folder / "first", folder / "second")
    logs = (folder / "first.log", folder / "second.log")
    port = free_port()
    servers = []
    for host, link, log in zip(HOSTS, links, logs, strict=True):
        link.symlink_to(repository)
        ports = TritonPorts(free_port(), port, free_port())
        prefix = f"pair_{os.getpid()}_{host}_"
        command = server_command(wheel, backends, link, [NAME], ports, prefix)
        command[command.index("--grpc-address=127.0.0.1")] = f"--grpc-address={host}"
        command.append(f"--grpc-restricted-protocol={PROTOCOLS}:nitrogen=3f9c")
        servers.append(TritonServer(command, wheel.environment(), ports, log, prefix))

    async def start() -> None:
        await asyncio.gather(*(server.start() for server in servers))

    with asyncio.Runner() as runner:
        try:
            runner.run(start())
            yield Pair(repository, links, logs, port, key_file)
        finally:
            for server in servers:
                runner.run(server.stop())


@pytest.fixture
def pair(tritons: Pair) -> Pair:
    """Both serve version 1."""
    activate(tritons.repository, NAME, 1, tritons.endpoint, key=tritons.key)
    serve_version(tritons.repository, NAME, 1, after=[])
    assert tritons.running() == [1, 1]
    return tritons


def test_activations_at_once_take_turns(pair: Pair) -> None:
    def move(number: int) -> None:
        activate(pair.repository, NAME, number, pair.endpoint, key=pair.key)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(move, (2, 1) * 5))
    served = served_number(pair.repository, NAME)
    assert pair.running() == [served, served]
    assert history(pair.repository, NAME)[-1] == served


def test_all_addresses_of_a_name_are_activated(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo

    def both(host: str, port: int, family: int = 0, type: int = 0) -> list[Any]:
        hosts = HOSTS if host == "triton" else (host,)
        return [entry for host in hosts for entry in look_up(host, port, family, type)]

    monkeypatch.setattr(socket, "getaddrinfo", both)

    activate(pair.repository, NAME, 2, f"triton:{pair.port}", key=pair.key)
    assert pair.running() == [2, 2]
    assert (served_number(pair.repository, NAME), history(pair.repository, NAME)) == (2, [1, 2])

    assert rollback(pair.repository, NAME, f"triton:{pair.port}", key=pair.key) == 1
    assert pair.running() == [1, 1]


def test_what_runs_already_is_not_loaded_again(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    before = pair.loads()
    for _ in range(2):
        words = [f"--triton={pair.endpoint}", f"--triton-key-file={pair.key_file}"]
        reuse(pair.repository, *words)
    assert pair.loads() == before
    for address in pair.addresses:
        told = f"Triton at {address} serves version 1 of nitrogen already: nothing to load"
        assert caplog.text.count(told) == 2


def test_only_the_one_that_lags_behind_loads(pair: Pair) -> None:
    activate(pair.repository, NAME, 2, pair.addresses[0], key=pair.key)
    assert pair.running() == [2, 1]
    before = pair.loads()

    activate(pair.repository, NAME, 2, pair.endpoint, key=pair.key)
    assert pair.running() == [2, 2]
    assert [after - past for after, past in zip(pair.loads(), before, strict=True)] == [0, 1]
    assert history(pair.repository, NAME) == [1, 2]


def test_when_the_second_cannot_the_first_goes_back(pair: Pair, tmp_path: Path) -> None:
    other = shutil.copytree(pair.repository, tmp_path / "other")
    (other / NAME / "2" / "model.py").write_text("no Python")
    shutil.copy(other / NAME / "2" / "config.pbtxt", other / NAME / "config.pbtxt")
    pair.links[1].unlink()
    pair.links[1].symlink_to(other)
    try:
        with pytest.raises(ActivationError) as raised:
            activate(pair.repository, NAME, 2, pair.endpoint, key=pair.key)
    finally:
        pair.links[1].unlink()
        pair.links[1].symlink_to(pair.repository)

    first, second = pair.addresses
    assert f"Triton at {second} could not load version 2 of nitrogen: " in str(raised.value)
    assert str(raised.value).endswith(f"; Triton at {first} went back to version 1")
    assert pair.running() == [1, 1]
    assert (served_number(pair.repository, NAME), history(pair.repository, NAME)) == (1, [1])


def test_one_that_does_not_run_is_left_out_and_named(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    gone = f"127.0.0.4:{free_port()}"
    activate(pair.repository, NAME, 2, f"{gone},{pair.endpoint}", key=pair.key)
    assert pair.running() == [2, 2]
    assert f"no Triton answers at {gone} (Connection refused): left out" in caplog.text


def test_one_that_goes_from_the_name_is_not_waited_for_any_more(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    look_up = socket.getaddrinfo
    names = iter([("127.0.0.4", *HOSTS)])

    def first_with_another(host: str, port: int, family: int = 0, type: int = 0) -> list[Any]:
        hosts = next(names, HOSTS) if host == "triton" else (host,)
        return [entry for host in hosts for entry in look_up(host, port, family, type)]

    monkeypatch.setattr(socket, "getaddrinfo", first_with_another)

    before = time.monotonic()
    activate(pair.repository, NAME, 2, f"triton:{pair.port}", key=pair.key, start_timeout_s=60)
    assert time.monotonic() - before < 60, "waited to the end"
    assert pair.running() == [2, 2]
    assert f"Triton at 127.0.0.4:{pair.port} takes no connections yet" in caplog.text


@pytest.mark.parametrize("content", [None, "nitrogen=wrong", "other=3f9c"])
def test_without_the_right_key_nothing_changes_and_the_error_says_so(
    pair: Pair, tmp_path: Path, content: str | None
) -> None:
    key = None
    if content is not None:
        (tmp_path / "key").write_text(content)
        key = read_triton_key(tmp_path / "key")
    with pytest.raises(ActivationError) as raised:
        activate(pair.repository, NAME, 2, pair.endpoint, key=key)
    said = "it wants a key and got none: give its file with --triton-key-file"
    assert (said if key is None else f"in {key.path} is not its key") in str(raised.value)
    assert pair.running() == [1, 1]
    assert served_number(pair.repository, NAME) == 1


def test_a_version_that_was_replaced_is_loaded_although_its_number_runs(pair: Pair) -> None:
    before = pair.loads()
    activate(pair.repository, NAME, 1, pair.addresses[0], key=pair.key, reload=True)
    assert pair.loads() == [before[0] + 1, before[1]]


@pytest.mark.parametrize("host", ["127.0.0.4", "triton.invalid"])
def test_no_triton_is_allowed_with_if_triton_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, host: str
) -> None:
    caplog.set_level("INFO")
    endpoint = f"{host}:{free_port()}"
    publish_light(tmp_path, 1)
    with pytest.raises(TritonNotRunningError, match=f"no Triton answers at {endpoint} \\(.*: give its gRPC"):
        reuse(tmp_path, f"--triton={endpoint}")

    reuse(tmp_path, f"--triton={endpoint}", "--if-triton-runs")
    assert served_number(tmp_path, NAME) == 1
    assert f"no Triton answers at {endpoint} (" in caplog.text
    assert "its next start loads version 1 of nitrogen" in caplog.text


def test_something_else_on_the_port_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.repository.tritons._CONNECT_S", 0.5)
    publish_light(tmp_path, 1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        endpoint = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ActivationError, match="takes connections, but does not speak gRPC"):
            activate(tmp_path, NAME, 1, endpoint, if_running=True)
