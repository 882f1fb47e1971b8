"""The gateway as a process while there is no Triton: it listens, answers at once, and says why not."""

import json
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import zmq

from gateway.errors import TritonUnavailableError
from tests.black_frame import FRAME, PIXELS, PREDICT
from tests.gateways import NO_TRITON, GatewayProcess, gateway_process
from tests.pages import page
from tests.patience import WITHIN_S

AT_ONCE_S = 2.0


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with gateway_process(NO_TRITON, "--request-timeout-s", "1", "--max-message-bytes", "1000000") as running:
        yield running


@contextmanager
def zmq_client(gateway: GatewayProcess, kind: int = zmq.REQ) -> Iterator["zmq.Socket[bytes]"]:
    with zmq.Context() as context, context.socket(kind) as client:
        client.linger = 0
        client.sndtimeo = client.rcvtimeo = 1000 * WITHIN_S
        client.connect(f"tcp://127.0.0.1:{gateway.zmq}")
        yield client


def ask(client: "zmq.Socket[bytes]", message: Any) -> dict[str, Any]:  # noqa: ANN401
    client.send(message if isinstance(message, bytes) else pickle.dumps(message))
    reply: dict[str, Any] = pickle.loads(client.recv())
    return reply


@contextmanager
def tcp_client(gateway: GatewayProcess) -> Iterator[tuple[socket.socket, Any]]:
    with (
        socket.create_connection(("127.0.0.1", gateway.tcp), timeout=WITHIN_S) as client,
        client.makefile("rb") as lines,
    ):
        yield client, lines


PICKLED = {"type": "predict", "image": PIXELS}


def test_it_says_which_ports_are_open(gateway: GatewayProcess) -> None:
    assert gateway.first_line == f"ZMQ Server running on port {gateway.zmq}\n"
    assert gateway.process.stdout is not None
    assert (
        gateway.process.stdout.readline() == f"Simple TCP Server (JSON+Bytes) running on port {gateway.tcp}\n"
    )


def test_zmq_errors_come_at_once(gateway: GatewayProcess) -> None:
    with zmq_client(gateway) as client:
        for request in (PICKLED, {"type": "info"}, PICKLED):
            begun = time.monotonic()
            reply = ask(client, request)
            assert time.monotonic() - begun < AT_ONCE_S
            assert reply["status"] == "error"
            assert "Triton" in reply["message"]
        assert ask(client, {"type": "reset"}) == {"status": "ok"}


def test_tcp_errors_come_at_once(gateway: GatewayProcess) -> None:
    with tcp_client(gateway) as (client, lines):
        for request in (PREDICT, b'{"type": "info"}\n'):
            begun = time.monotonic()
            client.sendall(request)
            reply = json.loads(lines.readline())
            assert time.monotonic() - begun < AT_ONCE_S
            assert reply["status"] == "error"
            assert "Triton" in reply["message"]
        client.sendall(b'{"type": "reset"}\n')
        assert json.loads(lines.readline()) == {"status": "ok"}


def test_health_readiness_and_metrics(gateway: GatewayProcess) -> None:
    with tcp_client(gateway) as (client, lines):
        client.sendall(b'{"type": "info"}\n')
        lines.readline()
        assert page(gateway.http, "/healthz", timeout_s=5) == (200, "ok\n")
        status, reason = page(gateway.http, "/readyz", timeout_s=5)
        assert status == 503
        assert "Triton" in reason
        status, metrics = page(gateway.http, "/metrics", timeout_s=5)
    assert status == 200
    outcome = TritonUnavailableError.outcome
    labels = f'access="anonymous",outcome="{outcome}",port="tcp",type="info"'
    assert f"nitrogen_gateway_requests_total{{{labels}}}" in metrics
    assert 'nitrogen_gateway_clients{access="anonymous",port="tcp"} 1.0' in metrics
    assert 'nitrogen_gateway_in_flight{port="tcp"} 0.0' in metrics
    assert "nitrogen_gateway_ready 0.0" in metrics


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"junk",
        pickle.dumps(PICKLED)[:-1000],
        pickle.dumps(print),
        pickle.dumps(["no", "dict"]),
        pickle.dumps({"type": "dance"}),
        pickle.dumps({"type": "predict"}),
        pickle.dumps({**PICKLED, "seed": -1}),
        b"x" * 1_000_001,
    ],
    ids=["empty", "junk", "torn", "function", "list", "type", "no image", "seed", "too large"],
)
def test_a_hostile_message_costs_its_sender_one_error(gateway: GatewayProcess, message: bytes) -> None:
    with zmq_client(gateway) as hostile, zmq_client(gateway) as bystander:
        assert ask(hostile, message)["status"] == "error"
        assert ask(hostile, {"type": "reset"}) == {"status": "ok"}
        assert ask(bystander, {"type": "reset"}) == {"status": "ok"}


def test_envelopes(gateway: GatewayProcess) -> None:
    with zmq_client(gateway, zmq.DEALER) as client:
        reset = pickle.dumps({"type": "reset"})
        for envelope, rest, status in (
            ([b""], [reset], "ok"),
            ([], [reset], "ok"),
            ([b""], [reset, reset], "error"),
            ([reset, b""], [reset], "ok"),
            ([b""], [b""], "error"),
        ):
            client.send_multipart([*envelope, *rest])
            *returned, reply = client.recv_multipart()
            assert returned == envelope
            assert pickle.loads(reply)["status"] == status


def test_a_broken_stream_is_answered_then_closed(gateway: GatewayProcess) -> None:
    with tcp_client(gateway) as (client, lines):
        client.sendall(b'{"type": "reset"}\nno json\n' + FRAME)
        assert json.loads(lines.readline()) == {"status": "ok"}
        assert json.loads(lines.readline())["status"] == "error"
        client.sendall(FRAME)
        assert lines.read() == b""


def test_a_stream_that_ends_inside_a_request_is_answered(gateway: GatewayProcess) -> None:
    with tcp_client(gateway) as (client, lines):
        client.sendall(PREDICT[:1020])
        client.shutdown(socket.SHUT_WR)
        assert json.loads(lines.readline())["status"] == "error"
        assert lines.read() == b""


def test_a_half_closed_client_gets_its_replies(gateway: GatewayProcess) -> None:
    with tcp_client(gateway) as (client, lines):
        client.sendall(b'{"type": "reset"}\n' + PREDICT)
        client.shutdown(socket.SHUT_WR)
        replies = [json.loads(line) for line in lines]
        assert [reply["status"] for reply in replies] == ["ok", "error"]


def test_a_request_that_never_completes_is_answered_then_closed(gateway: GatewayProcess) -> None:
    with tcp_client(gateway) as (client, lines):
        client.sendall(PREDICT[:1020])
        reply = json.loads(lines.readline())
        assert "within 1 s" in reply["message"]
        client.shutdown(socket.SHUT_WR)
        assert lines.read() == b""


def test_many_small_requests_in_one_write(gateway: GatewayProcess) -> None:
    with tcp_client(gateway) as (client, lines):
        client.sendall(b'{"type": "reset"}\n' * 1000 + b'{"type": "info"}\n' * 50)
        statuses = [json.loads(lines.readline())["status"] for _ in range(1050)]
    assert statuses == ["ok"] * 1000 + ["error"] * 50


def test_an_idle_connection_is_told_then_closed() -> None:
    with gateway_process(NO_TRITON, "--idle-timeout-s", "0.5") as gateway, tcp_client(gateway) as (_, lines):
        assert "no request for" in json.loads(lines.readline())["message"]
        assert lines.read() == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number: int) -> None:
    with gateway_process(NO_TRITON) as gateway, tcp_client(gateway), zmq_client(gateway) as client:
        ask(client, PICKLED)
        begun = time.monotonic()
        gateway.process.send_signal(number)
        assert gateway.process.wait(WITHIN_S) == 0
        assert time.monotonic() - begun < 3


def command(*flags: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "--host", "127.0.0.1", *flags],
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize("flag", ["--zmq-port", "--tcp-port", "--web-port", "--http-port"])
def test_a_port_in_use_is_one_sentence(flag: str) -> None:
    ports = {"--zmq-port": "0", "--tcp-port": "0", "--web-port": "0", "--http-port": "0"}
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        ports[flag] = str(occupied.getsockname()[1])
        code, said = command(*[word for pair in ports.items() for word in pair], "--log-level", "error")
    assert code == 1
    assert said.startswith(f"nitrogen-gateway: port {ports[flag]} is in use")
    assert flag in said
    assert said.count("\n") == 1


def test_a_wrong_setting_is_a_usage_error() -> None:
    code, said = command("--zmq-port", "many")
    assert code == 2
    wanted = "a whole number from 0 up to 65535, or off, is needed"
    assert said == f"nitrogen-gateway: --zmq-port is 'many', but {wanted}\n"
