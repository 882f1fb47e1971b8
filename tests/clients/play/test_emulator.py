"""A real emulator played through the real chain: gateway, Triton and an exported model."""

import re
import signal
import threading
from pathlib import Path

import av
import numpy as np
import pytest
from nitrogen_client import ModelClient
from nitrogen_play.asking import Asker
from nitrogen_play.errors import GameNotFoundError
from nitrogen_play.frames import model_frame
from nitrogen_play.games.retro import open_retro
from nitrogen_play.interfaces import Game, Picture
from nitrogen_play.meter import Meter
from nitrogen_play.pad import BUTTONS, NEUTRAL, PadState
from nitrogen_play.player import Player, PlayOptions
from nitrogen_play.recording.actions_file import RecordedStep, read_steps
from nitrogen_play.recording.recorder import Recorder, new_recording
from nitrogen_play.replay import replay

from tests.clients.play.runs import GAME, RestartedGateway, handled, play, running_play
from tests.stack import Stack, free_port, wait_until

HORIZON = 16  # of the checkpoint `tiny`


def server(stack: Stack) -> tuple[str, ...]:
    return ("--retro", GAME, "--ip", "127.0.0.1", "--port", str(stack.zmq_port))


def recording(folder: Path) -> list[RecordedStep]:
    (path,) = folder.glob("out/ng/*_ACTIONS.jsonl")
    return read_steps(path)


def pictures(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def options(steps: int, *, is_async: bool = False) -> PlayOptions:
    return PlayOptions(steps, None, 1, is_async, 10.0)


def test_steps_are_played_and_recorded(tiny_stack: Stack, tmp_path: Path) -> None:
    code, said, errors = play(tmp_path, *server(tiny_stack), "--steps", "40")
    assert (code, errors) == (0, "")
    steps = recording(tmp_path)
    assert [(step.chunk, step.index) for step in steps] == [divmod(tick, HORIZON) for tick in range(40)]
    assert [step.tick for step in steps] == list(range(40))
    for name in ("0001_CLEAN.mp4", "0001_DEBUG.mp4"):
        assert pictures(tmp_path / "out" / "ng" / name) == 40
    assert re.search(r"played 40 actions of 3 chunks in [\d.]+ s: [\d.]+ actions/s", said)
    assert re.search(r"server \d+% of the time \(\d+ ms\) \| network \d+% of the time \(\d+ ms\)", said)


def test_what_is_pressed_is_what_the_server_says_without_menus(tiny_stack: Stack, tmp_path: Path) -> None:
    first = played_pictures(tiny_stack, tmp_path)[0]
    with ModelClient("127.0.0.1", tiny_stack.zmq_port, seed=3) as client:
        prediction = client.predict(first)
    for step, row in zip(recording(tmp_path)[:HORIZON], prediction["buttons"], strict=True):
        on = {name for name, value in zip(BUTTONS, row, strict=True) if value > 0.5}
        assert step.state.pressed == on - {"START", "BACK", "GUIDE"}


def played_pictures(stack: Stack, folder: Path, *, is_async: bool = False) -> list[Picture]:
    """Play 40 steps with a seed; the picture before the first as the model gets it, and the last one."""
    meter = Meter()
    client = ModelClient("127.0.0.1", stack.zmq_port, retries=0, seed=3)
    paths = new_recording(folder / "out", "ng.pt")
    game = open_retro(GAME, None, 20.0 if is_async else None)
    recorder = Recorder(paths, 60.0, print, with_films=False)
    try:
        first = game.screen.capture()
        with Asker(client, allow_menu=False, resize_mode=game.resize_mode) as asker:
            Player(
                game, asker, options(40, is_async=is_async), meter, recorder, print, threading.Event()
            ).play()
        return [model_frame(first, game.resize_mode), game.screen.capture()]
    finally:
        recorder.close()
        game.close()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_replay_passes_through_the_same_pictures(
    tiny_stack: Stack, tmp_path: Path, *, is_async: bool
) -> None:
    last = played_pictures(tiny_stack, tmp_path, is_async=is_async)[1]
    steps = recording(tmp_path)
    game = open_retro(GAME, None, None)
    try:
        first = game.screen.capture()
        replay(game, steps, Meter(), None, threading.Event())
        np.testing.assert_array_equal(game.screen.capture(), last)
        assert (first != last).any()
    finally:
        game.close()


def test_a_replay_needs_no_server_and_is_recorded_itself(tiny_stack: Stack, tmp_path: Path) -> None:
    assert play(tmp_path, *server(tiny_stack), "--steps", "20", "--no-record")[0] == 0
    assert not (tmp_path / "out").exists()
    assert play(tmp_path, *server(tiny_stack), "--steps", "20")[0] == 0
    code, said, errors = play(tmp_path, "replay", "out/ng/0001_ACTIONS.jsonl", "--retro", GAME)
    assert (code, errors) == (0, "")
    assert "played 20 actions in" in said
    played, replayed = tmp_path / "out" / "ng", tmp_path / "out" / "replay"
    assert (replayed / "0001_ACTIONS.jsonl").read_text() == (played / "0001_ACTIONS.jsonl").read_text()
    for name in ("0001_CLEAN.mp4", "0001_DEBUG.mp4"):
        assert pictures(replayed / name) == 20


def test_only_the_first_steps_of_each_chunk_are_played(tiny_stack: Stack, tmp_path: Path) -> None:
    arguments = ("--steps", "10", "--actions-per-step", "4")
    assert play(tmp_path, *server(tiny_stack), *arguments)[0] == 0
    assert [(step.chunk, step.index) for step in recording(tmp_path)] == [
        divmod(tick, 4) for tick in range(10)
    ]


def test_async_plays_on_and_changes_over_at_the_step_whose_time_it_is(
    tiny_stack: Stack, tmp_path: Path
) -> None:
    # At most 15 steps of a chunk are played and 16 held: these take three, however slow the machine is.
    arguments = ("--async", "--fps", "30", "--steps", "63", "--timeout", "50")
    code, said, _ = play(tmp_path, *server(tiny_stack), *arguments)
    assert code == 0
    steps = recording(tmp_path)
    # The game stood still at no tick.
    assert [step.tick for step in steps] == list(range(len(steps)))
    # All steps of a chunk are on one line: each is played at the tick that it was meant for.
    beginnings: dict[int, set[int]] = {}
    for step in steps:
        if step.chunk >= 0:
            beginnings.setdefault(step.chunk, set()).add(step.tick - step.index)
    assert len(beginnings) >= 3
    assert all(len(ticks) == 1 for ticks in beginnings.values())
    firsts = [ticks.pop() for _, ticks in sorted(beginnings.items())]
    assert firsts == sorted(set(firsts))
    # Nobody knows a chunk before its picture's tick is over.
    assert all(step.index >= 1 for step in steps if step.chunk >= 0)
    assert "late steps dropped" in said


def test_nohup_is_respected(tiny_stack: Stack, tmp_path: Path) -> None:
    with (
        handled(signal.SIGHUP, signal.SIG_IGN),
        running_play(tmp_path, *server(tiny_stack), "--steps", "60") as run,
    ):
        wait_until(lambda: len(run.lines()) >= 10, "some steps")
        run.process.send_signal(signal.SIGHUP)
        assert run.end()[0] == 0
    assert len(recording(tmp_path)) == 60


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_game_with_whole_files(tiny_stack: Stack, tmp_path: Path, number: int) -> None:
    with handled(signal.SIGHUP, signal.SIG_DFL), running_play(tmp_path, *server(tiny_stack)) as run:
        wait_until(lambda: len(run.lines()) >= 20, "some steps")
        run.process.send_signal(number)
        code, said, errors = run.end()
    assert (code, errors) == (0, "")
    steps = recording(tmp_path)
    assert f"played {len(steps)} actions" in said
    for name in ("0001_CLEAN.mp4", "0001_DEBUG.mp4"):
        assert pictures(tmp_path / "out" / "ng" / name) == len(steps)


class WatchedPad:
    """A gamepad that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[PadState] = []

    def apply(self, state: PadState) -> None:
        self.told.append(state)

    def release(self) -> None:
        self.told.append(NEUTRAL)


@pytest.mark.parametrize("is_async", [False, True])
def test_whatever_ends_the_game_every_button_is_let_go(
    tiny_stack: Stack, monkeypatch: pytest.MonkeyPatch, *, is_async: bool
) -> None:
    game = open_retro(GAME, None, 0.0 if is_async else None)
    pad = WatchedPad()
    object.__setattr__(game, "gamepad", pad)
    client = ModelClient("127.0.0.1", tiny_stack.zmq_port, retries=0)

    def interrupted() -> bool:
        if any(state.pressed for state in pad.told):
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(game.clock, "tick", interrupted)
    try:
        with Asker(client, allow_menu=False, resize_mode="pad") as asker:
            player = Player(
                game, asker, options(40, is_async=is_async), Meter(), None, print, threading.Event()
            )
            with pytest.raises(KeyboardInterrupt):
                player.play()
    finally:
        game.close()
    assert pad.told[-2].pressed
    assert pad.told[-1] == NEUTRAL


@pytest.mark.parametrize("flags", [(), ("--async", "--fps", "60")], ids=["in turns", "async"])
def test_a_server_that_comes_back_is_played_with_again(
    tiny_stack: Stack, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    gateway = RestartedGateway(tiny_stack.triton_grpc_port)
    gateway.start()
    arguments = ("--retro", GAME, "--ip", "127.0.0.1", "--port", str(gateway.port), "--timeout", "2", *flags)
    try:
        with running_play(tmp_path, *arguments, "--no-record") as run:
            run.wait_for("Ctrl-C stops")
            gateway.kill()
            assert "no chunk from the server, trying again" in run.next_line()
            gateway.start()
            line = run.next_line()
            while "too slow" in line:  # a busy machine's
                line = run.next_line()
            assert "the server is back" in line
            run.process.send_signal(signal.SIGINT)
            assert run.end()[0] == 0
    finally:
        gateway.kill()


def test_a_server_that_stays_away_is_given_up(tiny_stack: Stack, tmp_path: Path) -> None:
    gateway = RestartedGateway(tiny_stack.triton_grpc_port)
    gateway.start()
    address = ("--ip", "127.0.0.1", "--port", str(gateway.port), "--timeout", "1", "--patience", "1")
    try:
        with running_play(tmp_path, "--retro", GAME, *address) as run:
            wait_until(lambda: len(run.lines()) >= 5, "some steps")
            gateway.kill()
            code, _, errors = run.end()
    finally:
        gateway.kill()
    assert code == 1
    assert "no chunk for more than 1 s (--patience)" in errors
    assert "Traceback" not in errors
    assert recording(tmp_path)


def test_a_server_that_is_absent_is_one_sentence_after_what_is_connected_to(tmp_path: Path) -> None:
    port = free_port()
    address = ("--ip", "127.0.0.1", "--port", str(port), "--timeout", "1")
    code, said, errors = play(tmp_path, "--retro", GAME, *address)
    assert code == 1
    assert said.splitlines() == [f"opening {GAME}", f"connecting to 127.0.0.1:{port} (ZeroMQ)"]
    assert f"127.0.0.1:{port}" in errors
    assert len(errors.splitlines()) == 1


def test_a_game_that_is_not_there_is_told_before_the_server_is_asked(tmp_path: Path) -> None:
    address = ("--ip", "127.0.0.1", "--port", str(free_port()))
    code, said, errors = play(tmp_path, "--retro", "Pong-Nowhere", *address)
    assert (code, said) == (1, "opening Pong-Nowhere\n")
    assert "knows no game 'Pong-Nowhere'" in errors


def test_what_the_server_refuses_is_one_sentence(tiny_stack: Stack, tmp_path: Path) -> None:
    code, _, errors = play(tmp_path, *server(tiny_stack), "--steps", "5", "--game", "celeste")
    assert code == 1
    assert "celeste" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("name", "state", "said"),
    [
        ("Pong-Nowhere", None, "knows no game 'Pong-Nowhere'; games with a ROM: Airstriker-Genesis-v0"),
        ("SonicTheHedgehog-Genesis-v0", None, "has no ROM of it: import yours with"),
        (GAME, "Level99", "has no saved state 'Level99'; it has: Level1"),
    ],
)
def test_a_game_that_is_not_there_is_told_what_is(name: str, state: str | None, said: str) -> None:
    with pytest.raises(GameNotFoundError, match=re.escape(said)):
        open_retro(name, state, None)


def ticked(game: Game, pressed: set[str], ticks: int) -> Picture:
    """The picture after some ticks with these buttons held."""
    game.gamepad.apply(PadState(frozenset(pressed), (0, 0), (0, 0)))
    for _ in range(ticks):
        game.clock.tick()
    return game.screen.capture().copy()


@pytest.mark.parametrize("pressed", [{"START"}, {"START", "SOUTH", "EAST", "WEST", "DPAD_UP", "DPAD_LEFT"}])
def test_start_pauses_alone_and_with_others(pressed: set[str]) -> None:
    game = open_retro(GAME, None, None)
    try:
        flying = ticked(game, set(), 60)
        assert (ticked(game, set(), 10) != flying).any()
        ticked(game, pressed, 4)
        paused = ticked(game, set(), 10)
        np.testing.assert_array_equal(ticked(game, set(), 30), paused)
    finally:
        game.close()


def test_buttons_that_are_held_together_all_reach_the_emulator() -> None:
    seen = []
    held = [{"DPAD_UP", "DPAD_LEFT"}, {"SOUTH", "EAST", "WEST"}]
    for pressed in (*held, held[0] | held[1]):
        game = open_retro(GAME, None, None)
        try:
            seen.append(ticked(game, pressed, 1))
        finally:
            game.close()
    assert all((picture != seen[2]).any() for picture in seen[:2])


def test_a_picture_stays_as_it_was_when_the_game_goes_on() -> None:
    game = open_retro(GAME, None, None)
    try:
        picture = game.screen.capture()
        kept = picture.copy()
        for _ in range(120):
            game.clock.tick()
        assert (picture == kept).all()
        assert (game.screen.capture() != kept).any()
    finally:
        game.close()
