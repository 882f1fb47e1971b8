"""Real games scored through the real chain: fair to everybody, and lost servers lose their own episode."""

import json
import signal
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from gateway.server import Gateway
from tests.clients.play.runs import GAME, RestartedGateway, play, running_play
from tests.stack import Stack, free_port

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
        assert [it["episode"] for it in players["random"]["episodes"]] == [0, 1]
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


def test_a_server_that_is_worse_has_an_exit_code(tiny_stack: Stack, gateway: Gateway, tmp_path: Path) -> None:
    """A stand-in for a model presses nothing; the other model shoots, and so has less ammunition."""
    servers = (*server("quiet", gateway.port_numbers["zmq"]), *server("shoots", tiny_stack.zmq_port))
    flags = ("--vizdoom", SCENARIO, *servers, "--by", "ammo2", "--episodes", "9", "--max-ticks", "250")
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
    flags = ("--retro", GAME, *servers, "--episodes", "3", "--max-ticks", "400", "--timeout", "1")
    try:
        with running_play(tmp_path, "score", *flags, "--json", "score.json") as run:
            run.wait_for("episode 1: reward a")
            gateway.kill()
            run.wait_for("gone lost (")
            gateway.start()
            run.wait_for("episode 3: reward a")
            code, said, errors = run.end()
    finally:
        gateway.kill()
    assert (code, errors) == (0, "")
    players = report(tmp_path / "score.json")[GAME]
    assert [it["episode"] for it in players["a"]["episodes"]] == [0, 1, 2]
    assert 0 in [it["episode"] for it in players["gone"]["episodes"]]
    assert players["gone"]["lost"]
    assert "gone lost episode" in said


def test_a_server_that_finishes_nothing_is_an_error(tiny_stack: Stack, tmp_path: Path) -> None:
    gateway = RestartedGateway(tiny_stack.triton_grpc_port)
    gateway.start()
    servers = (*server("a", tiny_stack.zmq_port), *server("gone", gateway.port))
    flags = ("--vizdoom", SCENARIO, "--retro", GAME, *servers, "--episodes", "1", "--max-ticks", "400")
    try:
        with running_play(tmp_path, "score", *flags, "--timeout", "1", "--junit", "score.xml") as run:
            run.wait_for(f"{SCENARIO}, episode 1: reward a")
            gateway.kill()
            code, _, errors = run.end()
    finally:
        gateway.kill()
    assert (code, errors) == (1, "")
    doom, airstriker = ET.parse(tmp_path / "score.xml").getroot()
    assert (doom.get("errors"), airstriker.get("errors")) == ("0", "1")


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
