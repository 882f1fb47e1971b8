"""A port that is left out: nobody listens, in one process or in several, and all else works."""

import asyncio
import contextlib
import socket
import subprocess
import sys

import pytest

from gateway.command_line import parse_settings
from gateway.errors import StartError
from gateway.settings import GatewaySettings
from standalone.__main__ import _parse
from tests.first_words import ends_if_silent
from tests.gateway.ports.zmq.peers import ask, peer
from tests.gateways import running_gateway
from tests.pages import page
from tests.patience import WITHIN_S
from tests.stack import free_port


@pytest.mark.parametrize("word", ["off", "OFF"])
def test_a_port_is_left_out_by_a_word(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_settings(["--tcp-port", word]).tcp_port is None
    monkeypatch.setenv("NITROGEN_ZMQ_PORT", word)
    settings = parse_settings([])
    assert (settings.zmq_port, settings.tcp_port) == (None, 5556)
    assert GatewaySettings.model_validate_json(settings.model_dump_json()) == settings
    monkeypatch.delenv("NITROGEN_ZMQ_PORT")
    options = _parse(["--demo", "--zmq-port", word])
    assert (options.gateway.zmq_port, options.gateway.tcp_port) == (None, 5556)


def test_all_ports_are_not_left_out() -> None:
    with pytest.raises(StartError, match="all off, so nobody could play"):
        parse_settings(["--zmq-port=off", "--tcp-port=off", "--web-port=off"])


async def test_without_the_tcp_port_the_other_is_served() -> None:
    async with running_gateway(tcp_port=None) as gateway:
        assert gateway.port_numbers["tcp"] == 0
        with peer(gateway) as client:
            assert await ask(client) == {"status": "ok"}


async def test_without_the_zmq_port_the_other_is_served() -> None:
    async with running_gateway(zmq_port=None) as gateway:
        assert gateway.port_numbers["zmq"] == 0
        assert await asyncio.to_thread(reset_by_tcp, gateway.port_numbers["tcp"]) == b'{"status":"ok"}\n'


def reset_by_tcp(port: int) -> bytes:
    """The reply to a reset."""
    with socket.create_connection(("127.0.0.1", port), 10) as client, client.makefile("rb") as lines:
        client.sendall(b'{"type": "reset"}\n')
        return lines.readline()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_gateway_says_which_ports_are_open(workers: int) -> None:
    tcp, http = free_port(), free_port()
    command = [sys.executable, "-m", "gateway", "--host=127.0.0.1", "--triton=127.0.0.1:1", "--zmq-port=off"]
    command += [f"--workers={workers}", f"--tcp-port={tcp}", "--web-port=off", f"--http-port={http}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process, contextlib.ExitStack() as ending:
        ending.callback(process.kill)
        assert process.stdout is not None
        with ends_if_silent(process):
            assert process.stdout.readline() == b"Simple TCP Server (JSON+Bytes) running on port %d\n" % tcp
        assert reset_by_tcp(tcp) == b'{"status":"ok"}\n'
        front = page(http, "/")[1]
        assert f"port {tcp}" in front
        assert "ZeroMQ" not in front
        process.terminate()
        assert process.wait(WITHIN_S) == 0
