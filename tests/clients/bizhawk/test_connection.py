"""EmuHawk's script while the gateway goes, comes back, says no or is absent: the game goes on meanwhile."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.clients.bizhawk.expected import console_of, held_and_axes
from tests.gateways import gateway_process
from tests.patience import WITHIN_S
from tests.pictures import image_file, picture
from tests.stack import JsonClient, Stack, free_port
from tests.stand_ins.bizhawk_host import CORES, SCRIPT, BizHawk, Sockets, with_options

NES = CORES["NesHawk"]
HORIZON = 16


def started(sockets: Sockets, **options: str) -> BizHawk:
    """An emulator that plays a still picture, so that the same actions come again and again."""
    bizhawk = BizHawk(NES, sockets)
    bizhawk.load(with_options(SCRIPT.read_text("utf-8"), **{"seed": "3", **options}))
    bizhawk.player = {"P1 Select"}
    bizhawk.is_paused = True
    return bizhawk


def actions(stack: Stack) -> list[set[str]]:
    """Return the still picture's actions, with the script's own options, and the player's Select."""
    png = image_file(picture(0, NES.height, NES.width))
    header = {"type": "predict", "len": len(png), "resize_mode": "crop", "seed": 3}
    with JsonClient(stack.tcp_port) as client:
        pred: Any = client.request(header, png)["pred"]
    return [held | {"P1 Select"} for held, _ in held_and_axes(pred, NES, console_of("nes"))]


def run_until(bizhawk: BizHawk, condition: Callable[[], object], what: str) -> None:
    """Let the game run until something is the case."""
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, (
            f"not within {WITHIN_S} s: {what}; the screen says {bizhawk.frames[-1].texts}"
        )
        bizhawk.run(1)


def plays(bizhawk: BizHawk) -> bool:
    """Whether the last frame was the model's."""
    return bool(bizhawk.frames) and bizhawk.frames[-1].texts[0].startswith("NitroGen plays")


def waits(bizhawk: BizHawk) -> bool:
    """Whether the last frame was the player's, because there is no connection."""
    return bizhawk.frames[-1].texts[0].startswith("NitroGen: no connection to the gateway")


def assert_plays_on(bizhawk: BizHawk, stack: Stack) -> None:
    """The next whole answer is what the gateway says for the script's options."""
    run_until(bizhawk, lambda: plays(bizhawk) and "step 1 of" in bizhawk.frames[-1].texts[0], "it plays")
    first = len(bizhawk.frames) - 1
    bizhawk.run(HORIZON - 1)
    assert [set(frame.held) for frame in bizhawk.frames[first:]] == actions(stack)


def assert_waits(bizhawk: BizHawk) -> None:
    """The game is the player's, the screen says why and counts down to the next try."""
    first = len(bizhawk.frames)
    bizhawk.run(50)
    assert all(frame.held == {"P1 Select"} for frame in bizhawk.frames[first:])
    counted = [frame.texts[1] for frame in bizhawk.frames[first : first + 3]]
    assert len(set(counted)) == 3
    assert all(text.startswith("next try in ") for text in counted)


def test_a_gateway_that_is_restarted_in_the_middle_of_a_game(tiny_stack: Stack) -> None:
    port = free_port()
    with gateway_process(tiny_stack.triton_endpoint, tcp=port) as gateway, Sockets(port) as sockets:
        bizhawk = started(sockets)
        assert_plays_on(bizhawk, tiny_stack)
        gateway.process.terminate()
        run_until(bizhawk, lambda: waits(bizhawk), "it sees that the gateway is gone")
        assert_waits(bizhawk)
        assert gateway.process.wait(WITHIN_S) == 0
        assert f"NitroGen: no connection to the gateway at 127.0.0.1:{port}" in bizhawk.log[-1]
        with gateway_process(tiny_stack.triton_endpoint, tcp=port):
            assert_plays_on(bizhawk, tiny_stack)
    assert sockets.polls == 0


def test_a_gateway_that_is_killed_between_two_answers(tiny_stack: Stack) -> None:
    port = free_port()
    with gateway_process(tiny_stack.triton_endpoint, tcp=port) as gateway, Sockets(port) as sockets:
        bizhawk = started(sockets)
        bizhawk.run(HORIZON)
        gateway.process.kill()
        gateway.process.wait(WITHIN_S)
        run_until(bizhawk, lambda: waits(bizhawk), "it sees that the gateway is gone")
        assert_waits(bizhawk)
        with gateway_process(tiny_stack.triton_endpoint, tcp=port):
            assert_plays_on(bizhawk, tiny_stack)
    assert sockets.polls == 0


def test_a_gateway_that_does_not_answer_is_given_up_and_its_late_answers_are_not_taken(
    tiny_stack: Stack,
) -> None:
    port = free_port()
    with gateway_process(tiny_stack.triton_endpoint, tcp=port) as gateway, Sockets(port) as sockets:
        bizhawk = started(sockets, timeout_ms="500")
        assert_plays_on(bizhawk, tiny_stack)
        gateway.process.send_signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            run_until(bizhawk, lambda: waits(bizhawk), "it gives up")
            assert "no answer came" in bizhawk.frames[-1].texts[0]
            assert 2 * 0.5 <= time.monotonic() - began < 25  # on the connection that worked, and on a new one
            assert_waits(bizhawk)
        finally:
            gateway.process.send_signal(signal.SIGCONT)
        assert_plays_on(bizhawk, tiny_stack)
    assert sockets.polls == 0


def test_a_gateway_that_is_absent_when_the_script_starts(tiny_stack: Stack) -> None:
    port = free_port()
    with Sockets(tiny_stack.tcp_port) as sockets:
        sockets.port = port
        bizhawk = started(sockets)
        bizhawk.run(1)
        assert waits(bizhawk)
        assert_waits(bizhawk)
        with gateway_process(tiny_stack.triton_endpoint, tcp=port):
            assert_plays_on(bizhawk, tiny_stack)


def test_a_connection_that_was_idle_for_too_long_costs_no_frame(tiny_stack: Stack) -> None:
    port = free_port()
    with (
        gateway_process(tiny_stack.triton_endpoint, "--idle-timeout-s=0.2", tcp=port),
        Sockets(port) as sockets,
    ):
        bizhawk = started(sockets)
        bizhawk.run(HORIZON)
        assert sockets.wait_for_reset(WITHIN_S)
        bizhawk.run(HORIZON)
    assert [set(frame.held) for frame in bizhawk.frames] == 2 * actions(tiny_stack)


class CutOnce(Sockets):
    """A connection that breaks once, after the options: EmuHawk makes another for the screenshot."""

    is_cut = False

    def socket_server_screen_shot(self, png: bytes) -> str:
        if not self.is_cut:
            self.is_cut = True
            self.close()
        return super().socket_server_screen_shot(png)


def test_options_that_are_lost_with_a_connection_are_noticed_and_sent_again(tiny_stack: Stack) -> None:
    with CutOnce(tiny_stack.tcp_port) as sockets:
        bizhawk = started(sockets)
        bizhawk.run(1)
        assert "EmuHawk had to connect again" in bizhawk.frames[0].texts[0]
        assert_plays_on(bizhawk, tiny_stack)
        assert sockets.connections == 4  # EmuHawk's first, the script's, EmuHawk's again, the script's again


def test_an_error_is_shown_and_asked_again_later(tiny_stack: Stack) -> None:
    with Sockets(tiny_stack.tcp_port) as sockets:
        bizhawk = started(sockets, game='"Zelda \\"II\\""')
        bizhawk.run(130)
        assert {frame.held for frame in bizhawk.frames} == {frozenset({"P1 Select"})}
        assert all(
            frame.texts[0].startswith("NitroGen: ") and "game" in frame.texts[0] for frame in bizhawk.frames
        )
        assert [frame.texts[1] for frame in bizhawk.frames[:61]] == [
            f"next try in {left} frames" for left in [*range(60, 0, -1), 60]
        ]
        assert len(bizhawk.log) == 1
        assert "the game 'Zelda \"II\"' is unknown" in bizhawk.log[0]
        assert (sockets.connections, sockets.polls) == (2, 0)


def test_an_option_that_the_gateway_does_not_take_is_shown(tiny_stack: Stack) -> None:
    with Sockets(tiny_stack.tcp_port) as sockets:
        bizhawk = started(sockets, resize_mode='"zoom"')
        bizhawk.run(130)
        assert all("resize_mode must be crop, pad, stretch" in frame.texts[0] for frame in bizhawk.frames)
        assert sockets.connections == 2


def test_a_token_comes_from_a_file(tiny_stack: Stack, tmp_path: Path) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("s3cret\n")
    wrong.write_text("guess\n")
    port = free_port()
    with gateway_process(tiny_stack.triton_endpoint, f"--tcp-token-file={right}", tcp=port):
        with Sockets(port) as sockets:
            bizhawk = started(sockets, token_file=f'"{right}"')
            assert_plays_on(bizhawk, tiny_stack)
        for option, said in (
            (f'"{wrong}"', "token"),
            ("nil", "token"),
            ('"/none"', "token_file cannot be read: /none"),
        ):
            with Sockets(port) as sockets:
                bizhawk = started(sockets, token_file=option)
                bizhawk.run(10)
                assert waits(bizhawk)
                assert said in bizhawk.frames[-1].texts[0].removeprefix(
                    "NitroGen: no connection to the gateway"
                )
                assert not any(secret in line for secret in ("s3cret", "guess") for line in bizhawk.log)


def test_a_gateways_other_port_is_doubted(tiny_stack: Stack) -> None:
    port = tiny_stack.zmq_port
    with Sockets(port) as sockets:
        bizhawk = started(sockets)
        bizhawk.run(2)
        assert f"is {port} its TCP port (usually 5556)?" in bizhawk.frames[-1].texts[0]
    assert sockets.polls == 0
