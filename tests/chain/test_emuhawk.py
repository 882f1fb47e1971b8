"""Port 5556 for BizHawk's own sockets: a script that needs nothing else gets its actions, and never spins."""

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.gateways import gateway_process
from tests.patience import WITHIN_S
from tests.pictures import image_file, picture
from tests.stack import JsonClient, Stack
from tests.stand_ins.emuhawk import EmuHawk, SpinningError

pytestmark = pytest.mark.slow

NES = image_file(picture(1, 240, 256))


@pytest.fixture
def emuhawk(tiny_stack: Stack) -> Iterator[EmuHawk]:
    with EmuHawk(tiny_stack.tcp_port) as emuhawk:
        yield emuhawk


def command(emuhawk: EmuHawk, **fields: object) -> dict[str, Any]:
    """Send a command as a script does; its reply."""
    assert emuhawk.socket_server_send(json.dumps(fields)) > 0
    reply: dict[str, Any] = json.loads(emuhawk.socket_server_response())
    return reply


def play(emuhawk: EmuHawk, png: bytes = NES) -> dict[str, Any]:
    """Send a screenshot; its reply."""
    reply: dict[str, Any] = json.loads(emuhawk.socket_server_screen_shot_response(png))
    return reply


def assert_same_as_json(stack: Stack, reply: dict[str, Any], png: bytes, **options: object) -> None:
    with JsonClient(stack.tcp_port) as client:
        assert reply == client.request({"type": "predict", "len": len(png), **options}, png)
    assert reply["status"] == "ok"


@pytest.mark.parametrize("resize_mode", ["pad", "crop", "stretch"])
def test_a_screenshot_gets_what_the_json_format_answers(
    tiny_stack: Stack, emuhawk: EmuHawk, resize_mode: str
) -> None:
    assert command(emuhawk, type="options", resize_mode=resize_mode, seed=3) == {"status": "ok"}
    assert_same_as_json(tiny_stack, play(emuhawk), NES, resize_mode=resize_mode, seed=3)
    assert emuhawk.polls == 0


def test_a_screenshot_and_its_reply_may_be_two_calls(tiny_stack: Stack, emuhawk: EmuHawk) -> None:
    command(emuhawk, type="options", seed=4)
    assert emuhawk.socket_server_screen_shot(NES) == "Screenshot was sent"
    assert_same_as_json(tiny_stack, json.loads(emuhawk.socket_server_response()), NES, seed=4)


def test_options_hold_until_the_next(tiny_stack: Stack, emuhawk: EmuHawk) -> None:
    command(emuhawk, type="options", seed=5, timing=True)
    replies = [play(emuhawk) for _ in range(3)]
    assert [set(reply.pop("timing")) for reply in replies] == [{"decode_ms", "infer_ms", "total_ms"}] * 3
    assert replies[0] == replies[1] == replies[2]
    command(emuhawk, type="options")
    fresh = [play(emuhawk) for _ in range(2)]
    assert "timing" not in fresh[0]
    assert fresh[0] != fresh[1]


def test_a_long_game_stays_in_step(tiny_stack: Stack, emuhawk: EmuHawk) -> None:
    screens = [image_file(picture(number, 224, 256)) for number in range(4)]
    command(emuhawk, type="options", seed=6)
    first = [play(emuhawk, screen) for screen in screens]
    assert [play(emuhawk, screen) for screen in screens * 5] == first * 5
    assert len({json.dumps(reply) for reply in first}) == 4


def test_reset_and_info(emuhawk: EmuHawk) -> None:
    assert command(emuhawk, type="reset") == {"status": "ok"}
    info = command(emuhawk, type="info")
    assert info["status"] == "ok"
    assert info["info"]["action_downsample_ratio"] == 1


def test_errors_are_replies_and_the_game_goes_on(emuhawk: EmuHawk) -> None:
    unknown = command(emuhawk, type="options", resize="crop")
    assert unknown["status"] == "error"
    assert "resize_mode, seed, game, timing, model" in unknown["message"]
    assert play(emuhawk, b"no picture")["status"] == "error"
    assert play(emuhawk, NES[:100])["status"] == "error"
    assert command(emuhawk, type="predict")["status"] == "error"
    assert command(emuhawk, type="what")["status"] == "error"
    emuhawk.socket_server_send("{")
    assert json.loads(emuhawk.socket_server_response())["status"] == "error"
    emuhawk.socket_server_send("")
    assert json.loads(emuhawk.socket_server_response())["status"] == "error"
    assert command(emuhawk, type="options", game="Zelda") == {"status": "ok"}
    assert play(emuhawk)["status"] == "error"
    assert command(emuhawk, type="options") == {"status": "ok"}
    assert play(emuhawk)["status"] == "ok"
    assert (emuhawk.polls, emuhawk.connections) == (0, 1)


@pytest.mark.parametrize("sent", [b"12x", b"999999999 ", b"0123456789", b"5 ab"], ids=repr)
def test_a_lost_stream_gets_a_framed_error_and_then_the_end(tiny_stack: Stack, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", tiny_stack.tcp_port), timeout=WITHIN_S) as connection:
        connection.sendall(sent)
        if sent == b"5 ab":
            connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as file:
            length = int(b"".join(iter(lambda: file.read(1), b" ")))
            assert json.loads(file.read(length))["status"] == "error"
            with suppress(ConnectionResetError):
                assert file.read(1) == b""


def test_the_stand_in_spins_where_a_server_ends_without_a_reply() -> None:
    """Otherwise it would show nothing that it never does with the gateway."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_read_all_and_end, args=(server,))
        thread.start()
        with EmuHawk(server.getsockname()[1]) as emuhawk, pytest.raises(SpinningError):
            emuhawk.socket_server_screen_shot_response(b"x" * 10)
        thread.join(WITHIN_S)


def _read_all_and_end(server: socket.socket) -> None:
    server.settimeout(WITHIN_S)
    connection, _ = server.accept()
    with connection:
        connection.settimeout(WITHIN_S)
        connection.recv(len("10 ") + 10, socket.MSG_WAITALL)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)


def test_a_gateway_that_stops_in_the_middle_of_a_game_never_makes_it_spin(tiny_stack: Stack) -> None:
    replies: list[str] = []
    with gateway_process(tiny_stack.triton_endpoint) as gateway, EmuHawk(gateway.tcp) as emuhawk:
        assert play(emuhawk)["status"] == "ok"
        stop = threading.Timer(0.3, gateway.process.send_signal, [signal.SIGTERM])
        stop.start()
        # The last screenshot may stay without a reply; a new connection that is refused then ends the script.
        with suppress(ConnectionRefusedError):
            give_up = time.monotonic() + WITHIN_S
            while emuhawk.polls == 0 and time.monotonic() < give_up:
                replies.append(emuhawk.socket_server_screen_shot_response(NES))
        stop.join()
        assert emuhawk.polls == 0
        assert gateway.process.wait(WITHIN_S) == 0
    assert json.loads(replies[0])["status"] == "ok"
    for reply in replies:
        assert reply == "Failed to get a response" or json.loads(reply)["status"] in ("ok", "error")


def test_a_connection_that_was_idle_too_long_is_opened_again(tiny_stack: Stack) -> None:
    with (
        gateway_process(tiny_stack.triton_endpoint, "--idle-timeout-s=0.2") as gateway,
        EmuHawk(gateway.tcp) as emuhawk,
    ):
        assert play(emuhawk)["status"] == "ok"
        assert emuhawk.wait_for_reset(WITHIN_S)
        # EmuHawk by itself: the screenshot cannot be sent, so it is sent over a new connection.
        assert play(emuhawk)["status"] == "ok"
        assert (emuhawk.connections, emuhawk.polls) == (2, 0)


def test_a_token_is_given_by_a_command(tiny_stack: Stack, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    with gateway_process(tiny_stack.triton_endpoint, f"--tcp-token-file={token}") as gateway:
        with EmuHawk(gateway.tcp) as emuhawk:
            assert command(emuhawk, type="hello", token="s3cret") == {"status": "ok"}
            assert play(emuhawk)["status"] == "ok"
        for guess in (None, "guess"):
            with EmuHawk(gateway.tcp) as emuhawk:
                refusal = command(emuhawk, type="hello", token=guess) if guess else play(emuhawk)
                assert refusal["status"] == "error"
                assert "token" in refusal["message"]
                assert "s3cret" not in refusal["message"]
