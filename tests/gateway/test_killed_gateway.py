"""A gateway that is killed: EmuHawk's connections are reset, those of other clients end as always."""

import errno
import json
import re
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.gateways import NO_TRITON, GatewayProcess, gateway_process
from tests.pages import page
from tests.patience import WITHIN_S
from tests.pictures import image_file, picture
from tests.stack import JsonClient, wait_until
from tests.stand_ins.emuhawk import EmuHawk
from tests.stand_ins.timed_triton import NEVER, TimedTriton

PNG = image_file(picture(1, 240, 256))


def metric(gateway: GatewayProcess, name: str) -> float:
    """The value of one of port 5556's metrics, summed over other labels."""
    _, text = page(gateway.http, "/metrics")
    values = re.findall(rf'^nitrogen_gateway_{name}\{{.*port="tcp".*\}} (\S+)$', text, re.MULTILINE)
    return sum(map(float, values))


def test_emuhawk_that_waits_for_a_reply_goes_on(timed_triton: TimedTriton) -> None:
    with (
        gateway_process(timed_triton.endpoint, "--tcp-deadline-s=20") as gateway,
        EmuHawk(gateway.tcp) as emuhawk,
    ):
        emuhawk.socket_server_send(json.dumps({"type": "options", "game": NEVER}))
        assert json.loads(emuhawk.socket_server_response()) == {"status": "ok"}
        with ThreadPoolExecutor() as threads:
            reply = threads.submit(emuhawk.socket_server_screen_shot_response, PNG)
            wait_until(lambda: metric(gateway, "in_flight") == 1, "the screenshot is at Triton")
            gateway.kill()
            assert reply.result(WITHIN_S) == "Failed to get a response"
        assert emuhawk.polls == 0


def test_emuhawk_that_has_said_nothing_yet_connects_anew_when_it_has_to() -> None:
    with gateway_process(NO_TRITON) as gateway, EmuHawk(gateway.tcp) as emuhawk:
        wait_until(lambda: metric(gateway, "clients") == 1, "the gateway knows the connection")
        gateway.kill()
        assert emuhawk.wait_for_reset(WITHIN_S)


def test_emuhawk_between_two_screenshots_connects_anew_when_it_has_to() -> None:
    with gateway_process(NO_TRITON) as gateway, EmuHawk(gateway.tcp) as emuhawk:
        emuhawk.socket_server_send('{"type": "reset"}')
        assert json.loads(emuhawk.socket_server_response()) == {"status": "ok"}
        gateway.kill()
        assert emuhawk.wait_for_reset(WITHIN_S)


def test_bizhawks_frames_over_tls_end_with_a_reset_too(certificate: tuple[Path, ssl.SSLContext]) -> None:
    path, context = certificate
    with (
        gateway_process(NO_TRITON, f"--tcp-tls-cert={path}") as gateway,
        socket.create_connection(("127.0.0.1", gateway.tcp), timeout=WITHIN_S) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(b'17 {"type": "reset"}')
        assert connection.recv(100) == b'15 {"status":"ok"}'
        gateway.kill()
        wait_until(
            lambda: connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET,
            "the connection is reset",
        )


def test_a_client_of_the_json_format_sees_the_streams_end() -> None:
    with gateway_process(NO_TRITON) as gateway, JsonClient(gateway.tcp) as client:
        assert client.request({"type": "reset"}) == {"status": "ok"}
        gateway.kill()
        assert client.line() == b""


def test_a_client_that_ends_first_gets_its_reply_and_an_ordinary_end() -> None:
    with (
        gateway_process(NO_TRITON) as gateway,
        socket.create_connection(("127.0.0.1", gateway.tcp), timeout=WITHIN_S) as connection,
    ):
        connection.sendall(b'17 {"type": "reset"}' * 3)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as replies:
            assert replies.read() == b'15 {"status":"ok"}' * 3
