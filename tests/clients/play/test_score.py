"""Real games scored through the real chain: fair to everybody, and lost servers lose their own episode."""

import itertools
import json
import math
import signal
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tests.clients.play.runs import GAME, RestartedGateway, play, running_play
from tests.stack import Stack, free_port
from tests.stand_ins.scripted_server import INFO, OK, Script, packed_chunk, scripted_server

pytestmark = pytest.mark.slow

SCENARIO = "defend_the_center"
SHORT = ("--episodes", "2", "--max-ticks", "60")


def server(name: str, port: int, model: str = "") -> tuple[str, str]:
    return ("--server", f"{name}=127.0.0.1:{port}{model}")


def report(path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """The players of each game, by their names."""
    games = json.loads(path.read_text())["games"]
    return {it["game"]: {player["name"]: player for player in it["players"]} for it in games}


def test_the_same_model_is_worth_the_same_and_floors_are_there(tiny_stack: Stack, tmp_path: Path) -> None:
    servers = (*server("a", tiny_stack.zmq_port), *server("b", tiny_stack.zmq_port, "/nitrogen"))
    games = ("--retro", GAME, "--vizdoom", SCENARIO)
    runs = []
    for name in ("one", "two"):
        files = ("--json", f"{name}.json", "--junit", f"{name}.xml")
        code, said, errors = play(tmp_path, "score", *games, *servers, *SHORT, "--by", "ticks", *files)
        assert (code, errors) == (0, "")
        runs.append(report(tmp_path / f"{name}.json"))
    assert runs[0] == runs[1]
    assert list(runs[0]) == [GAME, SCENARIO]
    for players in runs[0].values():
        assert list(players) == ["a", "b", "random", "nothing"]
        assert players["a"]["episodes"] == players["b"]["episodes"]
        assert [it["episode"] for it in players["random"]["episodes"]] == [1, 2]
        assert players["b"]["verdict"] == "no difference"
    doom = runs[0][SCENARIO]
    # The one that holds nothing keeps its ammunition; the one that presses at random does not.
    ammo = {name: doom[name]["means"]["ammo2"]["mean"] for name in ("nothing", "random")}
    assert ammo["nothing"] == 26 > ammo["random"]
    assert {"lives", "score", "reward", "ticks"} <= set(runs[0][GAME]["a"]["means"])
    assert f"{GAME}, episode 2: ticks a 60, b 60, random 60, nothing 60" in said
    assert "With the demo model that is as it should be" in said
    suites = list(ET.parse(tmp_path / "one.xml").getroot())
    assert [(it.get("tests"), it.get("failures")) for it in suites] == [("2", "0"), ("2", "0")]


def answering(value: float, predicts: float = math.inf) -> Script:
    """Return the replies of a server that holds all buttons if `value` is 1, and in the end is silent."""
    answered = itertools.count()

    def script(number: int, message: bytes) -> bytes | None:
        if b"predict" in message:
            return packed_chunk(value) if next(answered) < predicts else None
        return INFO if b"info" in message else OK

    return script


def test_a_server_that_is_worse_has_an_exit_code(tmp_path: Path) -> None:
    """One presses nothing; the other one shoots, and so has less ammunition."""
    with scripted_server(answering(0)) as quiet, scripted_server(answering(1)) as shooting:
        servers = (*server("quiet", quiet.port), *server("shooting", shooting.port))
        flags = ("--vizdoom", SCENARIO, *servers, "--by", "ammo2", *SHORT)
        code, said, errors = play(tmp_path, "score", *flags, "--junit", "score.xml")
    assert (code, errors) == (3, ""), said
    assert "worse" in said
    (suite,) = ET.parse(tmp_path / "score.xml").getroot()
    assert [len(case.findall("failure")) for case in suite] == [0, 1]


def test_another_seed_is_other_episodes(tiny_stack: Stack, tmp_path: Path) -> None:
    runs = []
    for seed in ("0", "1"):
        flags = ("--vizdoom", SCENARIO, *server("a", tiny_stack.zmq_port), "--seed", seed)
        ticks = ("--episodes", "2", "--max-ticks", "250", "--json", "score.json")
        assert play(tmp_path, "score", *flags, *ticks)[0] == 0
        runs.append(report(tmp_path / "score.json")[SCENARIO])
    for name in ("a", "nothing"):
        assert runs[0][name]["episodes"] != runs[1][name]["episodes"]
    first, second = (it["values"] for it in runs[0]["a"]["episodes"])
    assert first != second


def test_a_server_that_goes_away_loses_its_own_episodes_alone(tiny_stack: Stack, tmp_path: Path) -> None:
    gateway = RestartedGateway(tiny_stack.triton_grpc_port)
    gateway.start()
    servers = (*server("a", tiny_stack.zmq_port), *server("gone", gateway.port))
    flags = ("--retro", GAME, *servers, "--episodes", "1000", "--max-ticks", "40", "--timeout", "1")
    try:
        with running_play(tmp_path, "score", *flags, "--json", "score.json") as run:
            run.wait_for("episode 1: reward a")
            gateway.kill()
            run.wait_for("gone lost (")
            gateway.start()
            while "gone lost (" in run.next_line():
                pass
            run.process.send_signal(signal.SIGINT)
            code, said, errors = run.end()
    finally:
        gateway.kill()
    assert (code, errors) == (130, "")
    players = report(tmp_path / "score.json")[GAME]
    assert players["a"]["lost"] == []
    lost = [it["episode"] for it in players["gone"]["lost"]]
    finished = [it["episode"] for it in players["gone"]["episodes"]]
    assert finished[0] == 1 < lost[0] < finished[-1]
    assert f"gone lost episode {lost[0]}: no connection" in said


def test_a_server_that_finishes_nothing_is_an_error(tiny_stack: Stack, tmp_path: Path) -> None:
    with scripted_server(answering(0, predicts=2)) as silent:
        servers = (*server("a", tiny_stack.zmq_port), *server("silent", silent.port))
        flags = ("--vizdoom", SCENARIO, *servers, *SHORT, "--timeout", "1", "--junit", "score.xml")
        code, said, errors = play(tmp_path, "score", *flags)
    assert (code, errors) == (1, "")
    assert "silent lost episode 2: no reply" in said
    (suite,) = ET.parse(tmp_path / "score.xml").getroot()
    assert [len(case.findall("error")) for case in suite] == [0, 1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_was_finished_is_shown_when_it_is_stopped(
    tiny_stack: Stack, tmp_path: Path, number: int
) -> None:
    flags = ("--vizdoom", SCENARIO, *server("a", tiny_stack.zmq_port), "--episodes", "1000")
    with running_play(tmp_path, "score", *flags, "--max-ticks", "40", "--json", "score.json") as run:
        run.wait_for("episode 2: reward a")
        run.process.send_signal(number)
        code, said, errors = run.end()
    assert (code, errors) == (130, "")
    assert "stopped: the tables show the episodes that were finished" in said
    assert f"{SCENARIO}: reward of an episode" in said
    assert json.loads((tmp_path / "score.json").read_text())["is_complete"] is False
    assert len(report(tmp_path / "score.json")[SCENARIO]["a"]["episodes"]) >= 2


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ("--vizdoom", SCENARIO, "--by", "kills", "--max-ticks", "10"),
            "has no 'kills' (--by); it has: ammo2, ",
        ),
        (("--vizdoom", "e1m1"), "no scenario 'e1m1'; ViZDoom has: basic, "),
        (("--vizdoom", SCENARIO, "--game", "celeste"), "a: "),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(
    tiny_stack: Stack, tmp_path: Path, flags: tuple[str, ...], said: str
) -> None:
    code, _, errors = play(tmp_path, "score", *flags, *server("a", tiny_stack.zmq_port))
    assert code == 1
    assert said in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("model", ["", "/nitrogen-x"])
def test_a_server_that_is_not_there_at_the_start_is_one_sentence(
    tiny_stack: Stack, tmp_path: Path, model: str
) -> None:
    port = tiny_stack.zmq_port if model else free_port()
    flags = ("--vizdoom", SCENARIO, *server("a", port, model), "--timeout", "1")
    code, _, errors = play(tmp_path, "score", *flags)
    assert code == 1
    assert errors.startswith("nitrogen-play score: a: ")
    assert len(errors.splitlines()) == 1
