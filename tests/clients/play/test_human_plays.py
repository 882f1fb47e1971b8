"""A human who takes over in the middle of a game: what is pressed, recorded and told."""

import itertools
import os
import pty
import signal
import termios
import threading
from pathlib import Path

import pytest
from nitrogen_client import ModelClient
from nitrogen_play.asking import Asker
from nitrogen_play.games.retro import open_retro
from nitrogen_play.interfaces import Clock
from nitrogen_play.meter import Meter
from nitrogen_play.pad import PadState
from nitrogen_play.player import Player, PlayOptions
from nitrogen_play.recording.actions_file import RecordedStep, read_steps
from nitrogen_play.recording.recorder import Recorder, new_recording

from gateway.telemetry.recording_format import RecordedPlayed, is_recording, read_recording
from tests.clients.play.runs import GAME, Run, handled, running_play
from tests.gateways import gateway_process
from tests.stack import Stack, wait_until
from tests.stand_ins.reference_server import reference_server

SOUTH = PadState(frozenset({"SOUTH"}), (0, 0), (0, 0))
FIRST, LAST = 6, 15


class HumanForAWhile:
    """Holds one button during some of the game's ticks."""

    gives_back = "a test does not"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def holds(self) -> PadState | None:
        return SOUTH if FIRST <= self._clock.now() <= LAST else None


@pytest.mark.timeout(60)
@pytest.mark.parametrize("is_async", [False, True])
def test_while_a_human_plays_no_step_of_the_models_is_held(tmp_path: Path, *, is_async: bool) -> None:
    game = open_retro(GAME, None, 60.0 if is_async else None)
    recorder = Recorder(new_recording(tmp_path, "ng.pt"), 60.0, print, with_films=False)
    meter, said = Meter(), list[str]()
    options = PlayOptions(40, None, 2, is_async, 10.0)
    human = HumanForAWhile(game.clock)
    try:
        with reference_server() as server:
            client = ModelClient("127.0.0.1", server.port, retries=0)
            with Asker(client, allow_menu=False, resize_mode="pad") as asker:
                Player(game, asker, options, meter, recorder, said.append, threading.Event(), human).play()
    finally:
        recorder.close()
        game.close()
    steps = read_steps(tmp_path / "ng" / "0001_ACTIONS.jsonl")
    by_human = [step for step in steps if step.by == "human"]
    # A human's steps last a tick, whatever the model's do.
    assert [(step.tick, step.ticks, step.chunk, step.state) for step in by_human] == [
        (tick, 1, -1, SOUTH) for tick in range(FIRST, LAST + 1)
    ]
    assert all(step.tick not in range(FIRST, LAST + 1) for step in steps if step.by == "model")
    after = steps[steps.index(by_human[-1]) + 1]
    assert (after.by, after.tick) == ("model", LAST + 1)
    # In turns a new chunk begins; otherwise the one that was asked for meanwhile goes on.
    assert after.index == 0 or is_async
    assert meter.human_steps == len(by_human)
    assert [sentence for sentence in said if "play" in sentence][:2] == [
        "you play: a test does not",
        "the model plays again",
    ]
    # In turns the game stands still while the model thinks, so that it is not asked meanwhile.
    assert is_async or "reset" in server.handled


def held_by(run: Run, folder: Path) -> list[RecordedStep]:
    paths = list(folder.glob("out/*/*_ACTIONS.jsonl"))
    return [step for path in paths for step in read_steps(path)] if run.lines() else []


def presses(steps: list[RecordedStep]) -> list[frozenset[str]]:
    """Return what the human pressed, one thing after the other."""
    return [
        pressed
        for pressed, _ in itertools.groupby(step.state.pressed for step in steps if step.by == "human")
    ]


def test_tab_in_the_terminal_takes_over_and_the_server_is_told(tiny_stack: Stack, tmp_path: Path) -> None:
    keys, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    folder = tmp_path / "recordings"
    with gateway_process(tiny_stack.triton_endpoint, f"--record={folder}") as gateway:
        address = ("--retro", GAME, "--ip", "127.0.0.1", "--port", str(gateway.zmq))
        with running_play(tmp_path, *address, "--async", "--takeover", "keys", terminal=terminal) as run:
            run.wait_for("Tab in this window takes over")
            os.write(keys, b"\t")
            run.wait_for("you play: Tab gives back")
            os.write(keys, b" ")
            # A key of a terminal is let go by itself.
            wait_until(lambda: len(presses(held_by(run, tmp_path))) == 3, "a press, and its end")
            os.write(keys, b"\t")
            run.wait_for("the model plays again")
            begun = len(run.lines())
            wait_until(lambda: len(run.lines()) > begun + 20, "steps of the model's")
            run.process.send_signal(signal.SIGINT)
            code, said, errors = run.end()
        assert (code, errors) == (0, "")
        assert "played by you" in said
        assert termios.tcgetattr(terminal) == before

        def told() -> list[str]:
            paths = sorted(path for path in folder.iterdir() if is_recording(path.name))
            played = [one for one in map(read_recording, paths) if isinstance(one, RecordedPlayed)]
            return [row["by"] for one in played for row in one.fields["rows"]]

        recorded = held_by(run, tmp_path)
        assert presses(recorded) == [frozenset(), frozenset({"SOUTH"}), frozenset()]
        wait_until(lambda: len(told()) == len(recorded), "all is told")
        assert told() == [step.by for step in recorded]
        assert {"model", "human"} == set(told())
    os.close(keys)
    os.close(terminal)


def test_a_terminal_that_is_closed_ends_the_game(tiny_stack: Stack, tmp_path: Path) -> None:
    keys, terminal = pty.openpty()
    address = ("--retro", GAME, "--ip", "127.0.0.1", "--port", str(tiny_stack.zmq_port))
    with (
        # Tests that run under nohup inherit that it is ignored.
        handled(signal.SIGHUP, signal.SIG_DFL),
        running_play(tmp_path, *address, "--async", "--takeover", "keys", terminal=terminal) as run,
    ):
        wait_until(lambda: len(run.lines()) > 20, "steps of the model's")
        os.close(keys)
        code, said, errors = run.end()
    assert (code, errors) == (0, "")
    assert "played" in said
    os.close(terminal)


def test_keys_need_a_terminal(tiny_stack: Stack, tmp_path: Path) -> None:
    address = ("--retro", GAME, "--ip", "127.0.0.1", "--port", str(tiny_stack.zmq_port))
    with running_play(tmp_path, *address, "--takeover", "keys") as run:
        code, _, errors = run.end()
    assert code == 1
    assert "nitrogen-play: --takeover keys reads the terminal's keys" in errors
    assert len(errors.splitlines()) == 1
