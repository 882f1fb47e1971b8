"""`nitrogen-gateway ready`: what a container's health check runs, against gateways and other programs."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.commands.ready import main
from tests.gateway.conftest import StartGateway
from tests.gateways import running_gateway
from tests.patience import WITHIN_S


def ask(*words: str, **variables: str) -> tuple[int, str]:
    """The exit code and the output of the command, run as a health check runs it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NITROGEN_")}
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "ready", *words],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    return done.returncode, done.stdout.strip()


@contextmanager
def answering(answer: bytes, *, closes: bool = True) -> Iterator[int]:
    """A server that gives one client an answer; its port."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)
                if not closes:
                    done.wait(WITHIN_S)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        done.set()
        thread.join(WITHIN_S)


async def test_a_gateway_with_its_model_is_ready(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    for host in ("", "0.0.0.0", "127.0.0.1"):
        code, said = await _in_thread(NITROGEN_HTTP_PORT=str(gateway.http_port), NITROGEN_HOST=host)
        assert (code, said) == (0, "ready")
    assert (await _in_thread(f"localhost:{gateway.http_port}"))[0] == 0


async def test_a_gateway_without_triton_is_not_and_says_why() -> None:
    async with running_gateway() as gateway:
        code, said = await _in_thread(NITROGEN_HTTP_PORT=str(gateway.http_port))
    assert code == 1
    assert "Triton at 127.0.0.1:1 is unavailable" in said


async def test_a_gateway_that_listens_on_ipv6_only_is_asked_there() -> None:
    async with running_gateway(host="::1") as gateway:
        for host in ("::", "::1"):
            code, said = await _in_thread(NITROGEN_HTTP_PORT=str(gateway.http_port), NITROGEN_HOST=host)
            assert (code, "Triton" in said) == (1, True)
        assert "Triton" in (await _in_thread(f"[::1]:{gateway.http_port}"))[1]


async def _in_thread(*words: str, **variables: str) -> tuple[int, str]:
    # The gateway that is asked runs in this test's event loop.
    return await asyncio.to_thread(ask, *words, **variables)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    code, said = ask(f"127.0.0.1:{port}")
    assert (code, said) == (1, f"no answer from 127.0.0.1:{port}: Connection refused")


def test_somebody_who_never_answers(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    with answering(b"HTTP/1.1 200 OK\r\n", closes=False) as port:
        assert main([f"127.0.0.1:{port}"]) == 1
    assert time.monotonic() - began < 10
    assert capsys.readouterr().out == f"no answer from 127.0.0.1:{port} within 3 s\n"


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nready\n", 0, "ready"),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\nTriton has\ngone\x1b[2J\n", 1, "Triton has gone[2J"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", 1, "status 404"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", 1, "another program listens on"),
        (b"", 1, "127.0.0.1:{port} closed the connection without an answer: it has too many connections"),
        (b"HTTP/1.1", 1, "another program listens on"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000, 0, "x" * 1000),
    ],
)
def test_answers(answer: bytes, code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(answer) as port:
        assert main([f"127.0.0.1:{port}"]) == code
    said = capsys.readouterr().out.rstrip("\n")
    assert said.startswith(words.format(port=port))
    assert len(said) <= 1000
    assert said.isprintable()


@pytest.mark.parametrize("words", ["8080", "host", "host:", "host:0", "host:x", ":8080"])
def test_what_is_no_endpoint_is_said_to_be_none(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([words]) == 1
    assert f"{words!r} is not HOST:PORT" in capsys.readouterr().out


def test_wrong_arguments_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a:1", "b:2"]) == 2
    assert main(["--url", "a:1"]) == 2
    assert main(["--help"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("usage: nitrogen-gateway ready")
    assert said.err.count("usage: ") == 2


def test_it_imports_none_of_the_gateways_libraries() -> None:
    code = (
        "import sys\n"
        "from gateway.__main__ import main\n"
        "assert main(['ready', '127.0.0.1:1']) == 1\n"
        "heavy = {'numpy', 'cv2', 'grpc', 'zmq', 'pydantic', 'uvloop', 'asyncio', 'aiohttp', 'ssl', 'http'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=WITHIN_S, stdout=subprocess.DEVNULL)
