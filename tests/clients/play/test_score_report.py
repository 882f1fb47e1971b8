"""Servers' names, verdicts, tables and files, of episodes that were made up."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import rich.console
from hypothesis import given
from hypothesis import strategies as st
from nitrogen_play.pad import BUTTONS, MENU_BUTTONS
from nitrogen_play.score.arguments import score_arguments
from nitrogen_play.score.files import write_json, write_junit
from nitrogen_play.score.players import IdlePlayer, RandomPlayer
from nitrogen_play.score.results import GameScore, Record, Verdict
from nitrogen_play.score.servers import server_name
from nitrogen_play.score.tables import AS_IT_SHOULD_BE, number, tables

from tests.black_frame import PIXELS

GAME = ("--retro", "Airstriker-Genesis-v0")
SERVER = ("--server", "localhost:5555")


def record(name: str, rewards: list[float | None], *, address: str | None = "server:5555") -> Record:
    """Episodes of these rewards; None is a lost one."""
    finished = {it: {"reward": value, "lives": 3.0} for it, value in enumerate(rewards) if value is not None}
    lost = {it: "the server\x00 went away" for it, value in enumerate(rewards) if value is None}
    return Record(name, address, finished, lost)


def a_score() -> GameScore:
    rewards: dict[str, list[float | None]] = {
        "fp32": [10, 20, 30, 40],
        "bf16": [10, 21, 29, 40],
        "short": [1, 12, 20, None],
        "long": [19, 31, 39, 50],
        "gone": [None, None, None, None],
    }
    floors = [record(name, [5, 5, 6, 5], address=None) for name in ("random", "nothing")]
    return GameScore("game", "reward", [*(record(name, it) for name, it in rewards.items()), *floors])


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("localhost", "localhost", "localhost:5555"),
        ("10.0.0.7:6000", "10.0.0.7:6000", "10.0.0.7:6000"),
        ("gpu:6000/nitrogen-bf16", "nitrogen-bf16", "gpu:6000/nitrogen-bf16"),
        ("four steps=gpu:6000/fast", "four steps", "gpu:6000/fast"),
        ("new=[::1]:6000/fast", "new", "[::1]:6000/fast"),
        ("[fe80::1]", "[fe80::1]", "[fe80::1]:5555"),
    ],
)
def test_a_server_is_named_by_itself_its_model_or_its_address(text: str, name: str, address: str) -> None:
    server = server_name(text)
    assert (server.name, server.address) == (name, address)


@pytest.mark.parametrize(
    "text", ["", "=", "a=", "=gpu:5555", "gpu:5555/", ":5555", "gpu:", "gpu:0", "gpu:65536", "gpu:x", "a=/m"]
)
def test_what_names_no_server_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a (server|port)"):
        server_name(text)


@given(st.text())
def test_any_text_is_a_server_or_is_refused(text: str) -> None:
    try:
        server = server_name(text)
    except ValueError:
        return
    assert server.name
    assert server.host
    assert 0 < server.port < 65_536


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (SERVER, "say which game: --retro GAME or --vizdoom SCENARIO"),
        (GAME, "the following arguments are required: --server"),
        ((*GAME, "--server", "gpu:x"), "argument --server: 'x' in 'gpu:x' is not a port (1 to 65535)"),
        ((*GAME, *SERVER, *SERVER), "two players are called 'localhost:5555'"),
        ((*GAME, "--server", "random=gpu"), "two players are called 'random'"),
        ((*GAME, *SERVER, "--episodes", "0"), "argument --episodes: 0 is too small: give 1 or more"),
        ((*GAME, *SERVER, "--json", "/nowhere/a.json"), "--json: there is no folder /nowhere"),
        (("--vizdoom", "basic", *SERVER, "--state", "Level1"), "--state is for --retro only"),
        ((*GAME, *SERVER, "--client-key", "a"), "--client-key and --server-key go together"),
    ],
)
def test_a_wrong_flag_is_a_sentence(
    capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        score_arguments(flags)
    assert ended.value.code == 2
    assert f"nitrogen-play score: error: {said}" in capsys.readouterr().err


def test_games_of_both_kinds_keep_their_order() -> None:
    arguments = score_arguments(("--vizdoom", "basic", *GAME, "--vizdoom", "take_cover", *SERVER))
    assert arguments.games == [
        ("vizdoom", "basic"),
        ("retro", "Airstriker-Genesis-v0"),
        ("vizdoom", "take_cover"),
    ]


def test_verdicts_are_of_the_pairs() -> None:
    score = a_score()
    verdicts = {it.name: score.verdict(it) for it in score.records}
    assert verdicts["bf16"] is Verdict.NO_DIFFERENCE
    assert verdicts["short"] is Verdict.WORSE
    assert verdicts["long"] is Verdict.BETTER
    assert verdicts["gone"] is Verdict.TOO_FEW
    assert [it.name for it in score.worse()] == ["short"]
    assert score.against_random(score.records[0]) is Verdict.NO_DIFFERENCE
    assert score.against_random(score.records[3]) is Verdict.BETTER


def test_the_measure_that_decides_can_be_another() -> None:
    floors = [record(name, [1, 2], address=None) for name in ("random", "nothing")]
    score = GameScore("game", "lives", [record("a", [9, 10]), record("b", [1, 2]), *floors])
    assert score.measures()[0] == "lives"
    assert score.worse() == []


def test_the_tables_show_everybody_and_say_what_to_make_of_it() -> None:
    console = rich.console.Console(width=120)
    with console.capture() as captured:
        for table in tables(a_score()):
            console.print(table, soft_wrap=True)
    said = captured.get()
    for line in (
        r"fp32 4 25 ± 20.5 - - no difference",
        r"bf16 4 25 ± 20.2 0 ± 1.3 no difference no difference",
        r"short 3, 1 lost 11 ± 23.7 -9 ± 2.48 worse no difference",
        r"random 4 5.25 ± 0.796 -19.8 ± 20.4 no difference -",
    ):
        assert line in " ".join(said.split())
    assert "short lost episode 4: the server" in said
    assert "lives" not in said  # the same in all episodes


def test_of_many_lost_episodes_the_first_are_told_one_by_one() -> None:
    records = [record("a", [None] * 9), *(record(it, [5], address=None) for it in ("random", "nothing"))]
    said = [str(it) for it in tables(GameScore("game", "reward", records)) if "lost" in str(it)]
    assert len(said) == 6
    assert said[-1] == "a lost 4 more"


def test_a_name_in_brackets_is_shown_as_it_is() -> None:
    console = rich.console.Console(width=120)
    records = [record("[red]", [5]), *(record(it, [5], address=None) for it in ("random", "nothing"))]
    with console.capture() as captured:
        for table in tables(GameScore("game", "[bold]", records)):
            console.print(table)
    assert "[red] 1" in " ".join(captured.get().split())
    assert "than [red]" in captured.get()


def test_a_demo_that_is_no_better_than_random_is_as_it_should_be() -> None:
    records = [record("demo", [5, 6]), *(record(it, [5, 7], address=None) for it in ("random", "nothing"))]
    said = [str(it) for it in tables(GameScore("game", "reward", records))]
    assert said[-1] == f"Not better than the random player: demo. {AS_IT_SHOULD_BE}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (3, "3"),
        (-12, "-12"),
        (0.25, "0.25"),
        (12.34, "12.3"),
        (0.0123, "0.0123"),
        (123456.7, "123457"),
    ],
)
def test_numbers_have_the_digits_that_matter(value: float, text: str) -> None:
    assert number(value) == text


def test_the_json_file_has_every_episode(tmp_path: Path) -> None:
    write_json(tmp_path / "score.json", [a_score()], {"seed": 7})
    report = json.loads((tmp_path / "score.json").read_text())
    assert report["seed"] == 7
    (game,) = report["games"]
    players = {player["name"]: player for player in game["players"]}
    assert list(players) == ["fp32", "bf16", "short", "long", "gone", "random", "nothing"]
    short = players["short"]
    assert short["verdict"] == "worse"
    assert short["episodes"][1] == {"episode": 2, "values": {"reward": 12, "lives": 3}}
    assert short["lost"] == [{"episode": 4, "problem": "the server\x00 went away"}]
    difference = short["differences"]["reward"]
    assert difference["mean"] == -9
    assert difference["low"] < difference["mean"] < difference["high"] < 0
    assert players["fp32"]["differences"] == {}
    assert players["gone"]["means"] == {}
    assert players["nothing"]["address"] is None


def test_the_junit_file_fails_the_server_that_is_worse(tmp_path: Path) -> None:
    write_junit(tmp_path / "score.xml", [a_score()])
    (suite,) = ET.parse(tmp_path / "score.xml").getroot()
    assert {name: suite.get(name) for name in ("name", "tests", "failures", "errors")} == {
        "name": "game",
        "tests": "5",
        "failures": "1",
        "errors": "1",
    }
    cases = {case.get("name"): case for case in suite}
    assert list(cases) == ["fp32", "bf16", "short", "long", "gone"]
    (failure,) = cases["short"].findall("failure")
    assert failure.get("message") == "reward above fp32's, in the same episodes: -9 ± 2.48"
    assert cases["short"].findtext("system-out") == "episode 4: the server? went away"
    assert len(cases["gone"].findall("error")) == 1
    for name in ("fp32", "bf16", "long"):
        assert len(cases[name]) == 0


def test_the_random_player_is_its_seed_alone() -> None:
    player = RandomPlayer(500, 1, allow_menu=True)
    chunk = player.chunk(PIXELS, 3)
    assert chunk == player.chunk(PIXELS, 3)
    assert chunk != player.chunk(PIXELS, 4)
    for name in BUTTONS:
        assert 0.4 < sum(name in state.pressed for state in chunk) / 500 < 0.6
    assert min(state.left[0] for state in chunk) < -30_000 < 30_000 < max(state.right[1] for state in chunk)


def test_the_players_that_need_no_server_leave_menus_alone() -> None:
    chunk = RandomPlayer(100, 1, allow_menu=False).chunk(PIXELS, 0)
    assert not any(state.pressed & MENU_BUTTONS for state in chunk)
    assert not any(state.pressed for state in IdlePlayer(18, 1).chunk(PIXELS, 0))
