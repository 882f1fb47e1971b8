"""A gateway that is killed: EmuHawk's connections are reset, those of other clients end as always."""

import errno
import json
import re
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.first_words import ends_if_silent
from tests.pictures import image_file, picture
from tests.stack import JsonClient, free_port, wait_until
from tests.stand_ins.emuhawk import EmuHawk
from tests.stand_ins.timed_triton import NEVER, TimedTriton

PNG = image_file(picture(1, 240, 256))
# Nobody listens there, so `reset` works and nothing else.
NO_TRITON = "127.0.0.1:1"
WITHIN_S = 15


@dataclass
class Victim:
    """A gateway that a test kills."""

    process: subprocess.Popen[bytes]
    tcp: int
    http: int

    def kill(self) -> None:
        """End it without a word, as the kernel does when memory runs out."""
        self.process.kill()
        self.process.wait(WITHIN_S)

    def metric(self, name: str) -> float:
        """The value of one of port 5556's metrics, summed over other labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=10) as response:
            page = response.read().decode()
        values = re.findall(rf'^nitrogen_gateway_{name}\{{.*port="tcp".*\}} (\S+)$', page, re.MULTILINE)
        return sum(map(float, values))


@contextmanager
def victim(triton: str, *flags: str) -> Iterator[Victim]:
    tcp, http = free_port(), free_port()
    command = [sys.executable, "-m", "gateway", f"--triton={triton}", "--host=127.0.0.1"]
    command += [f"--zmq-port={free_port()}", f"--tcp-port={tcp}", f"--http-port={http}", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        with ends_if_silent(process):
            assert b"port" in process.stdout.readline()
        yield Victim(process, tcp, http)
    finally:
        process.kill()
        process.wait(WITHIN_S)
        process.stdout.close()


def test_emuhawk_that_waits_for_a_reply_goes_on(timed_triton: TimedTriton) -> None:
    with victim(timed_triton.endpoint, "--tcp-deadline-s=20") as gateway, EmuHawk(gateway.tcp) as emuhawk:
        emuhawk.socket_server_send(json.dumps({"type": "options", "game": NEVER}))
        assert json.loads(emuhawk.socket_server_response()) == {"status": "ok"}
        with ThreadPoolExecutor() as threads:
            reply = threads.submit(emuhawk.socket_server_screen_shot_response, PNG)
            wait_until(lambda: gateway.metric("in_flight") == 1, WITHIN_S, "the screenshot is at Triton")
            gateway.kill()
            assert reply.result(WITHIN_S) == "Failed to get a response"
        assert emuhawk.polls == 0


def test_emuhawk_that_has_said_nothing_yet_connects_anew_when_it_has_to() -> None:
    with victim(NO_TRITON) as gateway, EmuHawk(gateway.tcp) as emuhawk:
        wait_until(lambda: gateway.metric("clients") == 1, WITHIN_S, "the gateway knows the connection")
        gateway.kill()
        assert emuhawk.wait_for_reset(WITHIN_S)


def test_emuhawk_between_two_screenshots_connects_anew_when_it_has_to() -> None:
    with victim(NO_TRITON) as gateway, EmuHawk(gateway.tcp) as emuhawk:
        emuhawk.socket_server_send('{"type": "reset"}')
        assert json.loads(emuhawk.socket_server_response()) == {"status": "ok"}
        gateway.kill()
        assert emuhawk.wait_for_reset(WITHIN_S)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A gateway's certificate and key in one file, and the context of a client that trusts it."""
    authority = trustme.CA()
    path = tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return path, context


def test_bizhawks_frames_over_tls_end_with_a_reset_too(certificate: tuple[Path, ssl.SSLContext]) -> None:
    path, context = certificate
    with (
        victim(NO_TRITON, f"--tcp-tls-cert={path}") as gateway,
        socket.create_connection(("127.0.0.1", gateway.tcp), timeout=WITHIN_S) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(b'17 {"type": "reset"}')
        assert connection.recv(100) == b'15 {"status":"ok"}'
        gateway.kill()
        wait_until(
            lambda: connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET,
            WITHIN_S,
            "the connection is reset",
        )


def test_a_client_of_the_json_dialect_sees_the_streams_end() -> None:
    with victim(NO_TRITON) as gateway, JsonClient(gateway.tcp) as client:
        assert client.request({"type": "reset"}) == {"status": "ok"}
        gateway.kill()
        assert client.line() == b""


def test_a_client_that_ends_first_gets_its_reply_and_an_ordinary_end() -> None:
    with (
        victim(NO_TRITON) as gateway,
        socket.create_connection(("127.0.0.1", gateway.tcp), timeout=WITHIN_S) as connection,
    ):
        connection.sendall(b'17 {"type": "reset"}' * 3)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as replies:
            assert replies.read() == b'15 {"status":"ok"}' * 3
