"""Playing with a server of the older kind, which tells no times; and games that are over within a chunk."""

import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from nitrogen_client import ModelClient
from nitrogen_play.asking import Asker
from nitrogen_play.games.retro import open_retro
from nitrogen_play.interfaces import Picture
from nitrogen_play.meter import Meter
from nitrogen_play.player import Player, PlayOptions
from nitrogen_play.recording.actions_file import read_steps
from nitrogen_play.recording.recorder import Recorder, new_recording

from tests.clients.play.runs import GAME, play
from tests.stand_ins.reference_server import HORIZON, actions, reference_server

_MAX_TICKS = 20_000


def test_a_server_of_the_older_kind_is_played_with(tmp_path: Path) -> None:
    with reference_server() as server:
        address = ("--ip", "127.0.0.1", "--port", str(server.port))
        code, said, errors = play(tmp_path, "--retro", GAME, *address, "--steps", "40")
    assert (code, errors) == (0, "")
    assert server.handled.count("predict") == 3
    assert "server and network" in said
    steps = read_steps(tmp_path / "out" / "ng" / "0001_ACTIONS.jsonl")
    assert [(step.chunk, step.index) for step in steps] == [divmod(tick, HORIZON) for tick in range(40)]
    # The server's first step has the frame's size on the left stick: 0.256 of the way.
    assert steps[0].state.left == (8388, 8388)


def test_a_server_that_would_ignore_the_noise_is_refused(tmp_path: Path) -> None:
    with reference_server() as server:
        address = ("--ip", "127.0.0.1", "--port", str(server.port), "--no-record")
        code, _, errors = play(tmp_path, "--retro", GAME, *address, "--noise", "tick")
    assert code == 1
    assert errors == "nitrogen-play: the server is older than 0.3 and would ignore --noise: leave it out\n"


def test_async_with_a_server_that_is_too_slow_plays_what_comes_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(image: Picture) -> dict[str, Any]:
        time.sleep(1)  # at 120 ticks a second, several chunks' length
        return actions(image)

    monkeypatch.setattr("tests.stand_ins.reference_server.actions", slow)
    with reference_server() as server:
        address = ("--ip", "127.0.0.1", "--port", str(server.port), "--no-record")
        code, said, errors = play(
            tmp_path, "--retro", GAME, *address, "--async", "--fps", "120", "--steps", "30"
        )
    assert (code, errors) == (0, "")
    assert "the server is too slow for this game" in said
    played = re.search(
        r"played (\d+) actions of (\d) chunks .* (\d+) steps held because no chunk was there", said
    )
    assert played is not None, said
    assert int(played[1]) + int(played[3]) == 30
    assert int(played[2]) >= 2


@pytest.mark.timeout(60)
@pytest.mark.parametrize("is_async", [False, True])
def test_a_game_that_begins_anew_drops_its_chunk_and_the_servers_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_async: bool
) -> None:
    game = open_retro(GAME, None, 30.0 if is_async else None)
    recorder = Recorder(new_recording(tmp_path, "ng.pt"), 60.0, print, with_films=False)
    meter = Meter()
    go_on = game.clock.tick

    ending = 5

    def tick() -> bool:
        nonlocal ending
        go_on()
        if meter.played_steps < ending:
            return False
        ending = _MAX_TICKS
        return True

    monkeypatch.setattr(game.clock, "tick", tick)
    options = PlayOptions(12, None, 1, is_async, 10.0)
    try:
        with reference_server() as server:
            client = ModelClient("127.0.0.1", server.port, retries=0)
            client.info()
            with Asker(client, allow_menu=False, resize_mode="pad") as asker:
                Player(game, asker, options, meter, recorder, print, threading.Event()).play()
    finally:
        recorder.close()
        game.close()
    asked = [kind for kind in server.handled if kind != "info"]
    reset = asked.index("reset")
    assert "predict" in asked[:reset]
    assert asked[reset + 1] == "predict"
    steps = [step for step in read_steps(tmp_path / "ng" / "0001_ACTIONS.jsonl") if step.chunk >= 0]
    assert [step.chunk for step in steps[:5]] == [0] * 5
    assert steps[-1].chunk == 1
    assert 5 <= sum(step.chunk == 1 for step in steps) <= 12


def test_an_emulator_begins_anew_when_its_game_is_over() -> None:
    game = open_retro(GAME, None, None)
    try:
        first = game.screen.capture()
        ticks = next(tick for tick in range(_MAX_TICKS) if game.clock.tick())
        assert ticks > 100
        assert game.clock.now() == ticks + 1
        assert (game.screen.capture() == first).all()
    finally:
        game.close()
