"""A real Triton with restricted protocols: with the gateway's key, without it, and where that is not seen."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
import pytest_asyncio
import trustme

from contract.endpoint import parse_endpoint
from contract.tensors import FRAME_BYTES
from gateway.commands.check import main as check
from gateway.triton.connection import TritonConnection
from gateway.triton.credentials import TlsFiles
from gateway.triton.failures import KeyRefusedError
from gateway.triton.key import KeyFile
from gateway.triton.model import TritonModel
from gateway.triton.registry import ModelRegistry
from gateway.triton.tensors import ModelInputs
from tests.gateway.ports.zmq.peers import until
from tests.gateway.triton.opened_model import opened_model
from tests.pages import page
from tests.patience import WITHIN_S
from tests.stack import JsonClient, PickleClient, free_port, wait_until
from tests.stand_ins.timed_triton import NOISE, TimedTriton, running_triton

SECRET = "k3y=of-this:test"
KEY = f"nitrogen={SECRET}"
WRONG = "nitrogen=another-k3y"
PROTOCOLS = "model-config,model-repository,statistics,shared-memory,trace,logging"
# For three processes to start, on a machine with much else to do.


def restricted(key: str = KEY, protocols: str = PROTOCOLS) -> str:
    return f"--grpc-restricted-protocol={protocols}:{key}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def triton(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TimedTriton]:
    """A Triton that keeps all to those with its key but health, the models' description, and inference."""
    async with running_triton(
        TimedTriton(tmp_path_factory.mktemp("t"), instances=1, flags=[restricted()])
    ) as triton:
        yield triton


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "triton"
    path.write_text(f"{KEY}\n")
    return path


def written(path: Path, key: str) -> KeyFile:
    path.write_text(f"{key}\n")
    return KeyFile(path)


@asynccontextmanager
async def registry(
    endpoint: str, key: KeyFile | None, tls: TlsFiles | None = None, otlp: str | None = None
) -> AsyncIterator[tuple[ModelRegistry, TritonConnection]]:
    connection = TritonConnection(parse_endpoint(endpoint), tls=tls, key_file=key, otlp_endpoint=otlp)
    await connection.start()
    models = ModelRegistry(connection, "nitrogen")
    await models.start()
    try:
        yield models, connection
    finally:
        await models.close()
        await connection.close()


async def predict(model: TritonModel) -> None:
    await model.infer(await model.fresh_facts(), ModelInputs([bytes(FRAME_BYTES)], 0, NOISE), 20)


async def until_ready(models: ModelRegistry) -> None:
    async with asyncio.timeout(WITHIN_S):
        while await models.default.ready() is not None:  # noqa: ASYNC110 - Triton has to be asked
            await asyncio.sleep(0.05)


# What is said, and what works


async def test_with_the_key_all_works(triton: TimedTriton, key_file: Path) -> None:
    async with registry(triton.endpoint, KeyFile(key_file)) as (models, _):
        await until_ready(models)
        await until(lambda: models.served == ("nitrogen",), "the models are listed")
        await predict(models.default)


async def test_the_key_goes_with_traces_and_through_tls(
    key_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    flags = [
        # Health too: the gateway shows its key there as well.
        *("--grpc-use-ssl=true", restricted(protocols=f"{PROTOCOLS},health")),
        *(f"--grpc-server-cert={tmp_path / 'cert.pem'}", f"--grpc-server-key={tmp_path / 'key.pem'}"),
    ]
    (tmp_path / "triton-files").mkdir()
    tls = TlsFiles(tmp_path / "ca.pem")
    async with running_triton(TimedTriton(tmp_path / "triton-files", instances=1, flags=flags)) as triton:
        with caplog.at_level("INFO"):
            async with registry(triton.endpoint, KeyFile(key_file), tls=tls, otlp="127.0.0.1:1") as (
                models,
                connection,
            ):
                await until_ready(models)
                await until(lambda: all(connection.endpoints_up().values()), "Triton lives")
                await predict(models.default)
    assert "refuses the model" not in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (None, "wants a key named 'nitrogen', but there is none: name the file with it as --triton-key-file"),
        ("other=x", "wants a key named 'nitrogen', but the one in --triton-key-file is named 'other'"),
        (
            WRONG,
            "the key 'nitrogen' in --triton-key-file is not the one that it wants: put that into the file",
        ),
    ],
    ids=["none", "named otherwise", "wrong"],
)
async def test_without_the_right_key_it_is_said_which_setting_to_fix(
    triton: TimedTriton, tmp_path: Path, caplog: pytest.LogCaptureFixture, key: str | None, words: str
) -> None:
    async with registry(triton.endpoint, None if key is None else written(tmp_path / "key", key)) as (
        models,
        connection,
    ):
        with pytest.raises(KeyRefusedError) as caught:
            await models.default.fresh_facts()
        assert words in str(caught.value)
        # Not as if it were dead.
        assert "refuses" in str(caught.value)
        assert "is unavailable" not in str(caught.value)
        assert await models.default.ready() == str(caught.value)
        await until(lambda: words in caplog.text, "it is logged")
        await until(lambda: all(connection.endpoints_up().values()), "Triton lives")


async def test_a_refusal_is_repeated_a_few_times_at_most(triton: TimedTriton) -> None:
    async with opened_model(f"localhost:{triton.port}") as model:
        reads = triton.config_reads()
        with pytest.raises(KeyRefusedError):
            await model.fresh_facts()
    # As for all that a Triton refuses which has a host name: another of its addresses may know better.
    assert 1 <= triton.config_reads() - reads <= 5


async def test_a_triton_that_restricts_inference_is_told_of(key_file: Path, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    flags = [restricted(protocols=f"{PROTOCOLS},inference")]
    async with (
        running_triton(TimedTriton(tmp_path / "files", instances=1, flags=flags)) as triton,
        registry(triton.endpoint, KeyFile(key_file)) as (models, _),
    ):
        await until_ready(models)
        with pytest.raises(KeyRefusedError, match=r"it restricts inference.* --grpc-restricted-protocol"):
            await predict(models.default)


async def test_a_triton_whose_key_has_capitals_refuses_everybody(key_file: Path, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    flags = [restricted(f"Nitrogen={SECRET}", "model-config")]
    async with (
        running_triton(TimedTriton(tmp_path / "files", instances=1, flags=flags)) as triton,
        registry(triton.endpoint, KeyFile(key_file)) as (models, _),
    ):
        with pytest.raises(KeyRefusedError, match=r"'Nitrogen', but no client can send a name with capitals"):
            await models.default.fresh_facts()


# Correcting it without a restart of the gateway


async def test_a_file_that_was_mended_is_read_again(
    triton: TimedTriton, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "key"
    key = written(path, WRONG)
    async with registry(triton.endpoint, key) as (models, _):
        with pytest.raises(KeyRefusedError):
            await models.default.fresh_facts()
        path.write_text("torn")
        await until(lambda: "there is no = in it" in caplog.text, "the torn file is logged")
        path.write_text(f"{KEY}\n")
        await until_ready(models)


async def test_a_triton_that_comes_back_with_the_right_key_is_used(key_file: Path, tmp_path: Path) -> None:
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    before = TimedTriton(tmp_path / "before", instances=1, flags=[restricted(WRONG)])
    after = TimedTriton(tmp_path / "after", instances=1, flags=[restricted()], grpc_port=before.port)
    async with registry(before.endpoint, KeyFile(key_file)) as (models, _):
        async with running_triton(before):
            async with asyncio.timeout(WITHIN_S):
                refused = "is not the one that it wants"
                while refused not in str(await models.default.ready()):  # noqa: ASYNC110 - Triton has to be asked
                    await asyncio.sleep(0.02)
        async with running_triton(after):
            await until_ready(models)
            await predict(models.default)


# The whole gateway


@dataclass
class Running:
    """A gateway of two workers, and what it writes."""

    process: "subprocess.Popen[bytes]"
    zmq: int
    tcp: int
    http: int
    output: Path

    def processes(self) -> str:
        """Arguments and environment of all its processes."""
        own = self.process.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        assert len(children) == 2
        files = [Path(f"/proc/{pid}/{name}") for pid in (own, *children) for name in ("cmdline", "environ")]
        return "".join(file.read_bytes().decode(errors="replace") for file in files)


@contextmanager
def gateway(triton: TimedTriton, key_file: Path, output: Path) -> Iterator[Running]:
    ports = {name: free_port() for name in ("zmq", "tcp", "http")}
    words = [f"--{name}-port={port}" for name, port in ports.items()]
    words += ["--host=127.0.0.1", f"--triton={triton.endpoint}", f"--triton-key-file={key_file}"]
    with output.open("wb") as file, _process(file, [*words, "--workers=2", "--log-level=debug"]) as process:
        running = Running(process, **ports, output=output)
        try:
            wait_until(lambda: b"TCP Server" in output.read_bytes(), "the gateway listens")
            yield running
        finally:
            process.terminate()
            process.wait(WITHIN_S)


def _process(output: IO[bytes], words: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "gateway", *words], stdout=output, stderr=output)


def test_the_key_is_seen_nowhere_be_it_wrong_or_right(triton: TimedTriton, tmp_path: Path) -> None:
    path = tmp_path / "key"
    written(path, WRONG)
    with gateway(triton, path, tmp_path / "output") as running:
        for key, status in ((WRONG, 503), (KEY, 200)):
            path.write_text(key)
            wait_until(lambda wanted=status: page(running.http, "/readyz")[0] == wanted, f"it says {status}")
            seen = [running.processes(), *(page(running.http, path)[1] for path in ("/readyz", "/metrics"))]
            with PickleClient(running.zmq) as client:
                seen.append(str(client.request(type="info")))
            with JsonClient(running.tcp) as json_client:
                seen.append(str(json_client.request({"type": "info"})))
            seen.append(running.output.read_text())
            secrets = [text.partition("=")[2] for text in (WRONG, KEY)]
            assert [text for text in seen for secret in secrets if secret in text] == []
    assert "is not the one that it wants" in seen[-1]
    assert "has a new key" in seen[-1]


# The command that checks


def checked(endpoint: str, *words: str) -> list[str]:
    return [
        "127.0.0.1",
        *("--zmq-port", "0", "--tcp-port", "0", "--web-port", "0", "--http-port", "0"),
        "--triton",
        endpoint,
        *words,
    ]


def test_check_says_whether_the_key_is_taken(
    triton: TimedTriton, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Triton asks for no key where this looks; whether it would be taken is looked at when there is one.
    assert check(checked(triton.endpoint)) == 0
    assert check(checked(triton.endpoint, "--triton-key-file", str(key_file))) == 0
    key_file.write_text(WRONG)
    assert check(checked(triton.endpoint, "--triton-key-file", str(key_file))) == 1
    without, right, wrong = (
        said.splitlines() for said in capsys.readouterr().out.split("NitroGen gateway")[1:]
    )
    assert not [line for line in without if " key " in line]
    assert [line.split()[:4] for line in right if " key " in line] == [
        ["ok", "triton", str(triton.port), "key"]
    ]
    (failed,) = [line for line in wrong if line.startswith("FAIL")]
    assert "Triton refuses it: the key 'nitrogen' in --triton-key-file is not the one" in failed


def test_check_says_that_a_key_is_asked_for(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    async def look() -> int:
        flags = [restricted(protocols="health")]
        async with running_triton(
            TimedTriton(tmp_path_factory.mktemp("h"), instances=1, flags=flags)
        ) as triton:
            return await asyncio.to_thread(check, checked(triton.endpoint))

    assert asyncio.run(look()) == 1
    assert "there is none: name the file with it as --triton-key-file" in capsys.readouterr().out
