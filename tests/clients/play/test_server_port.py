"""The sentences of nitrogen-play about a port that is not a ZeroMQ server's."""

from pathlib import Path

import nitrogen_client
import pytest
from nitrogen_play.asking import in_flags
from nitrogen_play.server_port import other_server

from tests.clients.play.runs import GAME, play
from tests.stack import Stack, free_port
from tests.stand_ins.strangers import stranger


def test_the_gateways_other_ports_are_known(tiny_stack: Stack) -> None:
    tcp, http = tiny_stack.tcp_port, tiny_stack.http_port
    assert f"port {tcp} of localhost is a NitroGen gateway's TCP port" in str(other_server("localhost", tcp))
    assert f"port {http} of 127.0.0.1 is an HTTP server's" in str(other_server("127.0.0.1", http))
    assert other_server("127.0.0.1", tiny_stack.zmq_port) is None


@pytest.mark.parametrize("says", [b"SSH-2.0-OpenSSH_9.2p1\r\n", b"\x1b[31mred\n", b"\xfe\xfd" * 100])
def test_other_programs_are_quoted_harmlessly(says: bytes) -> None:
    with stranger(says) as port:
        said = other_server("127.0.0.1", port)
    assert said is not None
    assert "is another program's, which answers '" in said
    assert said.isprintable()


def test_nobody_and_one_who_hangs_up_stay_unknown() -> None:
    assert other_server("127.0.0.1", free_port()) is None
    with stranger(b"") as port:
        assert other_server("127.0.0.1", port) is None


def test_the_clients_advice_speaks_of_flags() -> None:
    error = nitrogen_client.ReplyTimeoutError("send the next request, or give more timeout_s")
    assert in_flags(error) == "send the next request, or give more --timeout"


def test_the_wrong_port_ends_the_program_with_its_name(tiny_stack: Stack, tmp_path: Path) -> None:
    address = ("--ip", "127.0.0.1", "--port", str(tiny_stack.tcp_port), "--timeout", "1")
    code, _, errors = play(tmp_path, "--retro", GAME, *address)
    assert code == 1
    assert errors.startswith(
        f"nitrogen-play: port {tiny_stack.tcp_port} of 127.0.0.1 is a NitroGen gateway's TCP port"
    )
    assert errors.count("\n") == 1
