"""Doom by ViZDoom: the pad, what can be opened, and a scenario played through the real chain."""

import os
import re
import signal
import subprocess
import threading
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from nitrogen_play.errors import GameLostError, GameNotFoundError
from nitrogen_play.games import vizdoom_pad
from nitrogen_play.games.retro import open_retro
from nitrogen_play.games.vizdoom import open_vizdoom
from nitrogen_play.games.vizdoom_pad import VizdoomPad
from nitrogen_play.interfaces import Game
from nitrogen_play.meter import Meter
from nitrogen_play.pad import BUTTONS, STICK_MAX, PadState
from nitrogen_play.recording.actions_file import read_steps
from nitrogen_play.replay import replay

from tests.clients.play.runs import GAME, play, running_play
from tests.stack import Stack, wait_until

SCENARIO = "defend_the_center"

# The buttons of ViZDoom 1.3.2, in two kinds.
ON_OR_OFF = (
    *("ATTACK", "USE", "JUMP", "CROUCH", "TURN180", "ALTATTACK", "RELOAD", "ZOOM", "SPEED", "STRAFE"),
    *("MOVE_RIGHT", "MOVE_LEFT", "MOVE_BACKWARD", "MOVE_FORWARD", "TURN_RIGHT", "TURN_LEFT", "LOOK_UP"),
    *("LOOK_DOWN", "MOVE_UP", "MOVE_DOWN", "LAND", *(f"SELECT_WEAPON{number}" for number in range(10))),
    *("SELECT_NEXT_WEAPON", "SELECT_PREV_WEAPON", "DROP_SELECTED_WEAPON", "ACTIVATE_SELECTED_ITEM"),
    *("SELECT_NEXT_ITEM", "SELECT_PREV_ITEM", "DROP_SELECTED_ITEM"),
)
DELTAS = (
    *("LOOK_UP_DOWN_DELTA", "TURN_LEFT_RIGHT_DELTA", "MOVE_FORWARD_BACKWARD_DELTA"),
    *("MOVE_LEFT_RIGHT_DELTA", "MOVE_UP_DOWN_DELTA"),
)
NAMES = (*ON_OR_OFF, *DELTAS)


@contextmanager
def opened(scenario: str = SCENARIO) -> Iterator[Game]:
    game = open_vizdoom(scenario, None)
    try:
        yield game
    finally:
        game.close()


def pad(*pressed: str, left: tuple[float, float] = (0, 0), right: tuple[float, float] = (0, 0)) -> PadState:
    """A state whose sticks are given from -1 to 1."""
    sticks = [(int(x * STICK_MAX), int(y * STICK_MAX)) for x, y in (left, right)]
    return PadState(frozenset(pressed), *sticks)


def actions(buttons: Sequence[str], state: PadState) -> dict[str, float]:
    """The buttons of a scenario that an action presses or moves."""
    values = VizdoomPad(buttons).action(state)
    return {name: value for name, value in zip(buttons, values, strict=True) if value}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (pad("RIGHT_TRIGGER"), {"ATTACK": 1}),
        (pad("WEST"), {"USE": 1}),
        (pad("SOUTH"), {"USE": 1}),
        (pad("LEFT_SHOULDER"), {"SELECT_PREV_WEAPON": 1}),
        (pad("RIGHT_SHOULDER"), {"SELECT_NEXT_WEAPON": 1}),
        (pad(left=(-0.6, -1)), {"MOVE_LEFT": 1, "MOVE_FORWARD": 1}),
        (pad("DPAD_DOWN", left=(0.6, 0)), {"MOVE_BACKWARD": 1, "MOVE_RIGHT": 1}),
        (pad(right=(1, -0.4)), {"TURN_RIGHT": 1}),
        (pad("RIGHT_LEFT", right=(0, 1)), {"TURN_LEFT": 1, "LOOK_DOWN": 1}),
        (pad("START", "GUIDE", "BACK"), {}),
    ],
)
def test_the_pad_presses_dooms_buttons(state: PadState, expected: Mapping[str, float]) -> None:
    assert actions(ON_OR_OFF, state) == expected


def test_a_stick_moves_by_as_much_as_it_is_held_where_the_scenario_lets_it() -> None:
    state = pad("DPAD_LEFT", left=(0, -0.5), right=(-1, 1))
    assert actions(NAMES, state) == {
        "MOVE_LEFT": 1,  # by the cross, not the stick
        "MOVE_FORWARD_BACKWARD_DELTA": pytest.approx(25, rel=1e-3),
        "TURN_LEFT_RIGHT_DELTA": -5,
        "LOOK_UP_DOWN_DELTA": -2.5,
    }


def test_what_the_table_names_is_of_vizdooms_buttons_and_of_the_models_pad() -> None:
    crosses = {f"{side}_STICK_{way}" for side in ("LEFT", "RIGHT") for way in ("UP", "DOWN", "LEFT", "RIGHT")}
    table = tomllib.loads(Path(vizdoom_pad.__file__).with_name("vizdoom.toml").read_text("utf-8"))
    assert set(table["buttons"]) <= set(ON_OR_OFF)
    assert set(table["deltas"]) <= set(DELTAS)
    names = [name for pad in table["buttons"].values() for name in pad]
    assert set(names) <= {*BUTTONS, *crosses}
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("buttons", "state", "variable", "sign"),
    [
        (("TURN_LEFT_RIGHT_DELTA",), pad(right=(1, 0)), "ANGLE", 331),  # from 0 to the right, below 360
        (("TURN_RIGHT",), pad(right=(1, 0)), "ANGLE", 345),
        (("LOOK_UP_DOWN_DELTA",), pad(right=(0, -1)), "PITCH", -30),  # ViZDoom's pitch falls on looking up
        (("MOVE_FORWARD_BACKWARD_DELTA",), pad(left=(0, -1)), "VELOCITY_X", 8),
        (("MOVE_LEFT_RIGHT_DELTA",), pad(left=(-1, 0)), "VELOCITY_Y", 7),
    ],
)
def test_a_full_stick_is_the_direction_it_names(
    tmp_path: Path, buttons: tuple[str], state: PadState, variable: str, sign: float
) -> None:
    game = f"doom_game_path = freedoom2.wad\navailable_buttons = {{ {buttons[0]} }}\n"
    config = scenario_file(tmp_path, f"{game}available_game_variables = {{ {variable} }}\n")
    with opened(str(config)) as scenario:
        scenario.gamepad.apply(state)
        for _ in range(12):  # of which Doom leaves out the first seven
            scenario.clock.tick()
        assert scenario.episodes is not None
        assert scenario.episodes.values()[variable.lower()] == pytest.approx(sign, abs=8)


def scenario_file(folder: Path, text: str) -> Path:
    path = folder / "mine.cfg"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("e1m1", "no scenario 'e1m1'; ViZDoom has: basic, "),
        ("gone.cfg", "no scenario 'gone.cfg'; ViZDoom has: basic, "),
        ("cig", "cig is for several players; ViZDoom has: basic, "),
        ("doom", "doom.wad"),
    ],
)
def test_a_scenario_that_is_not_there_is_told_what_is(name: str, said: str) -> None:
    with pytest.raises(GameNotFoundError, match=re.escape(said)):
        open_vizdoom(name, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fly me to the moon\n", "mine.cfg has lines that ViZDoom refuses"),
        (
            "available_buttons = { SELECT_WEAPON1 }\n",
            "mine.cfg lists no available_buttons that a gamepad can",
        ),
        ("doom_scenario_path = mine.wad\n", "mine.wad"),
    ],
)
def test_a_file_that_is_no_scenario_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(GameNotFoundError, match=re.escape(said)):
        open_vizdoom(str(scenario_file(tmp_path, text)), None)


def test_the_scenarios_that_are_listed_can_be_opened() -> None:
    with pytest.raises(GameNotFoundError) as refused:
        open_vizdoom("", None)
    listed = str(refused.value).split("ViZDoom has: ")[1].split(". A path")[0].split(", ")
    assert len(listed) > 10
    assert not {"doom", "doom2", "cig"} & set(listed)
    for name in ("freedoom1", "learning", "oblige"):  # whose levels are elsewhere, or named for others
        assert name in listed
        with opened(name) as game:
            assert game.screen.capture().shape[2] == 3


def test_a_picture_stays_as_it_was_when_the_game_goes_on() -> None:
    with opened() as game:
        picture = game.screen.capture()
        kept = picture.copy()
        for _ in range(30):
            game.clock.tick()
        assert (picture == kept).all()
        assert (game.screen.capture() != kept).any()


def test_nothing_is_left_where_it_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with opened() as game:
        while not game.clock.tick():
            pass
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_ended_is_one_sentence() -> None:
    with opened() as game:
        (engine,) = subprocess.run(
            ["pgrep", "-P", str(os.getpid()), "-x", "vizdoom"], capture_output=True, text=True, check=True
        ).stdout.split()
        os.kill(int(engine), signal.SIGKILL)
        with pytest.raises(GameLostError, match="ViZDoom's engine has ended"):
            [game.clock.tick() for _ in range(1000)]


def an_episode(game: Game, seed: int) -> tuple[int, dict[str, float], bytes]:
    """Play one with drawn buttons: its ticks, how it ended, and its picture of the 20th tick."""
    assert game.episodes is not None
    draw = np.random.default_rng(0)
    game.episodes.begin(seed)
    picture = b""
    for tick in range(400):
        pressed = draw.permutation(BUTTONS)[:5]
        game.gamepad.apply(PadState(frozenset(pressed) - {"START", "BACK"}, (0, 0), (0, 0)))
        if game.clock.tick():
            break
        picture = game.screen.capture().tobytes() if tick == 20 else picture
    return tick, game.episodes.values(), picture


@pytest.mark.parametrize("kind", ["vizdoom", "retro"])
def test_episodes_of_one_seed_are_the_same_and_of_another_differ(kind: str) -> None:
    game = open_vizdoom(SCENARIO, None) if kind == "vizdoom" else open_retro(GAME, None, None)
    try:
        first, again, other, back = (an_episode(game, seed) for seed in (1, 1, 2, 1))
    finally:
        game.close()
    assert first == again == back
    assert first[2] != other[2]
    assert "reward" in first[1]
    assert {"lives", "score"} <= set(first[1]) or {"killcount", "health"} <= set(first[1])


@pytest.mark.parametrize(
    ("kind", "at_first", "at_last"),
    [
        ("vizdoom", {"health": 100, "reward": 0}, {"reward": -1}),  # of the scenario's death
        ("retro", {"reward": 0, "lives": 3}, {"reward": 0, "lives": 0}),
    ],
)
def test_an_episode_is_worth_what_it_ended_with_until_the_next_begins(
    kind: str, at_first: dict[str, float], at_last: dict[str, float]
) -> None:
    game = open_vizdoom(SCENARIO, None) if kind == "vizdoom" else open_retro(GAME, None, None)
    try:
        assert game.episodes is not None
        game.episodes.begin(1)
        game.clock.tick()
        assert at_first.items() <= game.episodes.values().items()
        while not game.clock.tick():
            pass
        ended_with = game.episodes.values()
        assert at_last.items() <= ended_with.items()
        game.clock.tick()
        assert game.episodes.values() == ended_with
        game.episodes.begin(1)
        game.clock.tick()
        assert at_first.items() <= game.episodes.values().items()
    finally:
        game.close()


@pytest.mark.parametrize("flags", [(), ("--async",)], ids=["in turns", "async"])
def test_a_scenario_is_played_recorded_and_replayed(
    tiny_stack: Stack, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    server = ("--ip", "127.0.0.1", "--port", str(tiny_stack.zmq_port), "--timeout", "50", "--seed", "2")
    code, said, errors = play(tmp_path, "--vizdoom", SCENARIO, *server, *flags, "--steps", "40")
    assert (code, errors) == (0, "")
    assert f"{SCENARIO}, ViZDoom, played by" in said
    (path,) = tmp_path.glob("out/ng/*_ACTIONS.jsonl")
    assert path.with_name("0001_CLEAN.mp4").stat().st_size
    steps = read_steps(path)
    assert len(steps) >= 40
    pictures = []
    for _ in range(2):
        with opened() as game:
            replay(game, steps, Meter(), None, threading.Event())
            assert game.clock.now() >= 40
            pictures.append(game.screen.capture())
    np.testing.assert_array_equal(*pictures)


def test_ctrl_c_in_the_terminal_ends_the_game_with_whole_files(tiny_stack: Stack, tmp_path: Path) -> None:
    server = ("--ip", "127.0.0.1", "--port", str(tiny_stack.zmq_port))
    with running_play(tmp_path, "--vizdoom", SCENARIO, *server, is_leader=True) as run:
        wait_until(lambda: len(run.lines()) >= 20, "some steps")
        # As a terminal does: to the engine, too.
        os.killpg(run.process.pid, signal.SIGINT)
        code, said, errors = run.end()
    assert (code, errors) == (0, "")
    assert re.search(r"played \d+ actions of", said)
