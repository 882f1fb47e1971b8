"""Conversions that end early, by a signal, a full disk or a kill: the next run goes on from there."""

import argparse
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nitrogen_dataset.command import add_flags, run
from nitrogen_dataset.conversion import Counts, Problems, Recording, convert
from nitrogen_dataset.lerobot.writer import LeRobotWriter
from nitrogen_play.dataset.recorded_game import recorded_game

from tests.clients.dataset.recorded_games import DataSet, Played, action, read, record, tick_of
from tests.paths import ROOT
from tests.patience import WITHIN_S

TICKS = 240


def convert_until(actions: Path, folder: Path, frames: int) -> Counts:
    """Convert a recording into files of a second each, and stop at a frame."""
    stop = threading.Event()

    def count(counts: Counts) -> None:
        if counts.frames == frames:
            stop.set()

    game = recorded_game(actions, None, lambda picture: picture)
    writer = LeRobotWriter(folder, max_file_s=1)
    return convert([game], writer, Problems(print, is_strict=True), stop, count)


def assert_whole(made: DataSet, ticks: int) -> None:
    """Each row of the data set is a tick of the recording, in their order, with its picture and action."""
    assert [row["index"] for row in made.rows] == list(range(ticks))
    assert sum(episode["length"] for episode in made.episodes) == ticks
    for tick, row in enumerate(made.rows):
        np.testing.assert_array_equal(np.float32(row["action"]), action(tick))
        assert tick_of(made.picture(row), tick) == tick


@pytest.mark.parametrize("frames", [1, 60, 61, 100, 239])
def test_an_interrupted_conversion_goes_on_without_a_gap_or_a_double(tmp_path: Path, frames: int) -> None:
    actions = record(tmp_path / "out", Played(ticks=TICKS))
    convert_until(actions, tmp_path / "set", frames)
    if frames > 60:
        before = read(tmp_path / "set")
        assert_whole(before, len(before.rows))
        assert len(before.rows) == frames // 60 * 60
    convert_until(actions, tmp_path / "set", TICKS + 1)
    made = read(tmp_path / "set")
    assert_whole(made, TICKS)
    assert len(made.pictures) >= TICKS / 60


def test_an_episode_that_is_dropped_does_not_count(tmp_path: Path) -> None:
    played = Played(ticks=TICKS, human=frozenset(range(50, 100)))
    counts = convert_until(record(tmp_path / "out", played), tmp_path / "set", 90)
    assert (counts.episodes, counts.frames, counts.by_human) == (1, 60, 10)


def program(*words: object) -> list[str]:
    return [sys.executable, "-m", "nitrogen_play", "dataset", *map(str, words)]


def environment() -> dict[str, str]:
    sources = [
        ROOT / "clients" / name / "src" for name in ("nitrogen_client", "nitrogen_dataset", "nitrogen_play")
    ]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sources))}


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)]
)
def test_after_a_signal_the_same_command_goes_on(tmp_path: Path, number: int, code: int) -> None:
    """The second recording is a pipe, so that the conversion is in the middle of it when the signal comes."""
    record(tmp_path / "out", Played(ticks=30))
    second = record(tmp_path / "out", Played(ticks=30))
    lines = second.read_bytes()
    second.unlink()
    os.mkfifo(second)
    command = program(tmp_path / "out" / "demo", tmp_path / "set")
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
    with second.open("wb") as pipe:  # the conversion has got there, and waits for the lines
        process.send_signal(number)
        if number == signal.SIGKILL:
            process.wait(WITHIN_S)
        else:
            pipe.write(lines)
    _, said = process.communicate(timeout=WITHIN_S)
    assert process.returncode == code, said
    second.unlink()
    second.write_bytes(lines)
    if code == 130:
        assert "interrupted" in said
        assert [row["index"] for row in read(tmp_path / "set").rows] == list(range(30))
    ended = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert ended.returncode == 0, ended.stderr
    made = read(tmp_path / "set")
    assert [episode["recording"] for episode in made.episodes] == ["demo/0001", "demo/0002"]
    assert [row["index"] for row in made.rows] == list(range(60))
    assert not list((tmp_path / "set").rglob("*.part"))


def test_a_second_ctrl_c_ends_at_once_with_the_same_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def recordings(_: Problems) -> Iterator[Recording]:
        yield recorded_game(record(tmp_path / "out", Played(ticks=5)), None, lambda picture: picture)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    parser = argparse.ArgumentParser()
    add_flags(parser)
    assert run(parser.parse_args([str(tmp_path / "set")]), "convert", recordings) == 130
    assert capsys.readouterr().err.startswith("convert: interrupted")
    assert len(read(tmp_path / "set").rows) == 5


def test_a_full_disk_is_one_sentence_and_the_next_run_goes_on(tmp_path: Path) -> None:
    """A limit of the size of files stands for the disk: writing fails in the middle in the same way."""
    actions = record(tmp_path / "out", Played(ticks=TICKS))

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    options: dict[str, Any] = {
        # Coverage, too, would write a file.
        "env": environment() | {"COVERAGE_PROCESS_CONFIG": ""},
        "capture_output": True,
        "text": True,
        "timeout": WITHIN_S,
    }
    command = program(actions, tmp_path / "set")
    ended = subprocess.run(command, preexec_fn=limit, check=False, **options)
    assert ended.returncode == 1, ended.stderr
    assert "cannot be written" in ended.stderr
    assert "the same command then goes on" in ended.stderr
    assert "Traceback" not in ended.stderr
    ended = subprocess.run(command, check=False, **options)
    assert ended.returncode == 0, ended.stderr
    assert not list((tmp_path / "set").rglob("*.part"))
    assert_whole(read(tmp_path / "set"), TICKS)
