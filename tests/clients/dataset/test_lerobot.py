"""LeRobot data sets of nitrogen-play's recordings: pictures, actions and hands, and what goes wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from nitrogen_dataset.frames import ACTION_NAMES
from nitrogen_dataset.one_run import only_run_in
from nitrogen_play.commands import run

from tests.clients.dataset.recorded_games import Played, action, picture, read, record, tick_of


def convert(*words: object) -> int:
    return run(["dataset", *map(str, words)])


def test_each_tick_is_a_row_with_its_picture_action_and_hand(tmp_path: Path) -> None:
    human = frozenset(range(30, 60))
    actions = record(tmp_path / "out", Played(not_filmed=frozenset({7, 8}), human=human))
    assert convert(actions, tmp_path / "set") == 0
    made = read(tmp_path / "set")
    assert [row["index"] for row in made.rows] == list(range(120))
    for tick, row in enumerate(made.rows):
        np.testing.assert_array_equal(np.float32(row["action"]), action(tick))
        assert row["by"] == ("human" if tick in human else "model")
        assert row["picture_age"] == {7: 1, 8: 2}.get(tick, 0)
        assert row["timestamp"] == np.float32(tick / 60)
        shown = made.picture(row)
        assert tick_of(shown, tick) == tick - row["picture_age"]
        assert abs(np.float64(shown) - picture(tick - row["picture_age"])).mean() < 6


def test_a_lossless_one_keeps_every_pixel_of_the_film(tmp_path: Path) -> None:
    actions = record(tmp_path / "out", Played(ticks=20))
    assert convert(actions, tmp_path / "set", "--lossless") == 0
    film = actions.with_name("0001_CLEAN.mp4")
    made = read(tmp_path / "set")
    with av.open(str(film)) as container:
        for row, frame in zip(made.rows, container.decode(video=0), strict=True):
            np.testing.assert_array_equal(made.picture(row), frame.to_ndarray(format="rgb24"))


def test_info_names_the_features(tmp_path: Path) -> None:
    record(tmp_path / "out")
    assert convert(tmp_path / "out" / "demo", tmp_path / "set") == 0
    info = json.loads((tmp_path / "set/meta/info.json").read_text())
    assert (info["codebase_version"], info["fps"], info["total_frames"]) == ("v3.0", 60, 120)
    assert info["features"]["action"]["names"] == list(ACTION_NAMES)
    assert info["features"]["observation.images.game"]["shape"] == [64, 96, 3]


def test_an_episode_ends_where_the_game_began_again(tmp_path: Path) -> None:
    record(tmp_path / "out", Played(began_again=frozenset({49})))
    record(tmp_path / "out", Played(title="Circle"))
    assert convert(tmp_path / "out" / "demo", tmp_path / "set") == 0
    made = read(tmp_path / "set")
    assert [episode["length"] for episode in made.episodes] == [50, 70, 120]
    assert [episode["tasks"] for episode in made.episodes] == [["Square"], ["Square"], ["Circle"]]
    assert [row["frame_index"] for row in made.rows[48:52]] == [48, 49, 0, 1]
    np.testing.assert_array_equal(np.float32(made.rows[50]["action"]), action(50))
    assert [tick_of(made.picture(row), index) for index, row in enumerate(made.rows[:120])] == list(
        range(120)
    )


def test_pictures_can_be_those_that_the_model_sees(tmp_path: Path) -> None:
    record(tmp_path / "out", Played(ticks=5))
    assert convert("--model-frames", "pad", tmp_path / "out" / "demo", tmp_path / "set") == 0
    assert read(tmp_path / "set").pictures[0][0].shape == (256, 256, 3)


def test_the_same_command_adds_only_what_is_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path / "out")
    assert convert(tmp_path / "out" / "demo", tmp_path / "set") == 0
    before = (tmp_path / "set/data/chunk-000/file-000.parquet").read_bytes()
    record(tmp_path / "out", Played(ticks=60))
    assert convert(tmp_path / "out" / "demo", tmp_path / "set") == 0
    assert "added 1 episode, 60 frames" in capsys.readouterr().out
    assert convert(tmp_path / "out" / "demo", tmp_path / "set") == 0
    made = read(tmp_path / "set")
    assert [episode["recording"] for episode in made.episodes] == ["demo/0001", "demo/0002"]
    assert [row["index"] for row in made.rows] == list(range(180))
    assert (tmp_path / "set/data/chunk-000/file-000.parquet").read_bytes() == before
    statistics = json.loads((tmp_path / "set/meta/stats.json").read_text())["action"]
    actions = np.array([row["action"] for row in made.rows])
    np.testing.assert_allclose(statistics["mean"], actions.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(statistics["std"], actions.std(axis=0), atol=1e-6)
    assert statistics["count"] == [180]


def test_what_a_killed_run_left_is_not_in_the_next_ones_data_set(tmp_path: Path) -> None:
    record(tmp_path / "out")
    folder = tmp_path / "set"
    assert convert(tmp_path / "out" / "demo", folder) == 0
    shutil.copy(folder / "data/chunk-000/file-000.parquet", folder / "data/chunk-000/file-001.parquet")
    (folder / "data/chunk-000/.file-002.parquet.part").write_bytes(b"half")
    record(tmp_path / "out", Played(ticks=60))
    assert convert(tmp_path / "out" / "demo", folder) == 0
    assert [row["index"] for row in read(folder).rows] == list(range(180))
    assert not list(folder.rglob("*.part"))


def test_a_finished_recording_has_nothing_left_out_at_the_next_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    actions = record(tmp_path / "out", Played(ticks=10, not_filmed=frozenset({7, 8, 9})))
    assert convert(actions, tmp_path / "set") == 0
    assert "added 1 episode, 10 frames" in capsys.readouterr().out
    assert convert(actions, tmp_path / "set") == 0
    said = capsys.readouterr()
    assert "added 0 episodes, 0 frames" in said.out
    assert said.err == ""


def test_torn_recordings_are_left_out_with_a_sentence_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(4):
        record(tmp_path / "out", Played(ticks=30))
    folder = tmp_path / "out" / "demo"
    (folder / "0001_CLEAN.mp4").unlink()
    (folder / "0002_CLEAN.mp4").write_bytes(b"torn")
    lines = (folder / "0003_ACTIONS.jsonl").read_text().splitlines(keepends=True)
    (folder / "0003_ACTIONS.jsonl").write_text("".join([*lines[:4], "{}\n", *lines[4:]]))
    assert convert(folder, tmp_path / "set") == 0
    said = capsys.readouterr()
    assert "added 1 episode, 30 frames" in said.out
    for sentence in (
        "0001_CLEAN.mp4 beside it",
        "0002_CLEAN.mp4 cannot be read",
        "line 5 of",
        "from the damage on: 3",
    ):
        assert sentence in said.err
    assert [episode["recording"] for episode in read(tmp_path / "set").episodes] == ["demo/0004"]
    assert convert(folder, tmp_path / "other", "--strict") == 1
    assert "(--strict)" in capsys.readouterr().err


def test_a_film_that_was_cut_short_gives_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    actions = record(tmp_path / "out", Played(ticks=300))
    film = actions.with_name("0001_CLEAN.mp4")
    film.write_bytes(film.read_bytes()[: film.stat().st_size * 3 // 5])
    assert convert(actions, tmp_path / "set") == 0
    made = read(tmp_path / "set")
    assert 60 < len(made.rows) < 300
    for row in made.rows[::10]:
        np.testing.assert_array_equal(np.float32(row["action"]), action(row["index"]))
    assert "left out" in capsys.readouterr().err


def test_recordings_that_do_not_fit_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path / "out", Played(ticks=5))
    record(tmp_path / "out", Played(ticks=5, size=(32, 32)))
    record(tmp_path / "out", Played(ticks=5, ticks_per_s=30.0))
    assert convert(tmp_path / "out" / "demo", tmp_path / "set") == 0
    said = capsys.readouterr().err
    assert "demo/0002 has pictures of 32x32, the data set of 96x64" in said
    assert "demo/0003 has 30 ticks per second, the data set 60" in said
    assert len(read(tmp_path / "set").episodes) == 1


@pytest.mark.parametrize("form", ["lerobot", "rerun"])
def test_a_folder_with_something_else_is_not_touched(
    tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    actions = record(tmp_path / "out", Played(ticks=5))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "letter.txt").write_text("dear")
    assert convert(actions, tmp_path / "set", "--format", form) == 1
    assert "give an empty folder" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda info: info.pop("fps"),
        lambda info: info.update(total_frames="5"),
        lambda info: info["features"]["observation.images.game"].update(shape=[64]),
    ],
    ids=["no fps", "frames as text", "a shape of one size"],
)
def test_a_data_set_with_a_broken_info_file_is_one_sentence(
    tmp_path: Path, damage: Callable[[dict[str, Any]], object], capsys: pytest.CaptureFixture[str]
) -> None:
    actions = record(tmp_path / "out", Played(ticks=5))
    assert convert(actions, tmp_path / "set") == 0
    path = tmp_path / "set" / "meta" / "info.json"
    info = json.loads(path.read_text())
    damage(info)
    path.write_text(json.dumps(info))
    assert convert(actions, tmp_path / "set") == 1
    assert "give an empty folder" in capsys.readouterr().err
    assert len(list((tmp_path / "set").rglob("*.mp4"))) == 1


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    actions = record(tmp_path / "out", Played(ticks=5))
    with only_run_in(tmp_path / "set"):
        assert convert(actions, tmp_path / "set") == 1
    assert f"another run is writing to {tmp_path / 'set'}" in capsys.readouterr().err
    assert convert(actions, tmp_path / "set") == 0


def test_a_data_set_keeps_its_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    actions = record(tmp_path / "out", Played(ticks=5))
    assert convert(actions, tmp_path / "set", "--lossless") == 0
    assert convert(actions, tmp_path / "set") == 1
    assert "was made with --lossless" in capsys.readouterr().err


def test_a_folder_without_recordings_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(tmp_path, tmp_path / "set") == 1
    assert "there are no recordings in" in capsys.readouterr().err


def test_recordings_that_do_not_exist_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(tmp_path / "nowhere", tmp_path / "set") == 1
    assert f"{tmp_path / 'nowhere'} does not exist" in capsys.readouterr().err
