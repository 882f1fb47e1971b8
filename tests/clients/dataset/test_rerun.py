"""Rerun files: written by the command, and read back by Rerun's own reader."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from nitrogen_play.commands import run

from tests.clients.dataset.recorded_games import Played, action, record, tick_of


def columns(path: Path) -> dict[str, dict[str, list[Any]]]:
    """All that a file holds: for each entity the values of its columns, in the order of their ticks."""
    from rerun.chunk import RrdReader  # noqa: PLC0415 - takes a second

    found: dict[str, dict[str, list[Any]]] = {}
    for chunk in RrdReader(str(path)).stream():
        batch = chunk.to_record_batch()
        names = [name for name in batch.schema.names if name not in ("time", "log_time")]
        for name, values in batch.select(names).to_pydict().items():
            found.setdefault(chunk.entity_path, {}).setdefault(name, []).extend(values)
    for entity in found.values():
        if "tick" in entity:
            order = np.argsort(entity["tick"])
            for name, values in entity.items():
                if len(values) == len(order):
                    entity[name] = [values[index] for index in order]
    return found


def listed(folder: Path) -> list[str]:
    """Return the recordings that the index has a line for."""
    lines = (folder / "episodes.jsonl").read_text().splitlines()
    return [json.loads(line)["recording"] for line in lines]


def test_each_episode_is_a_file_with_its_pictures_actions_and_hands(tmp_path: Path) -> None:
    played = Played(
        ticks=700, human=frozenset(range(5, 9)), began_again=frozenset({19}), not_filmed=frozenset({3})
    )
    actions = record(tmp_path / "out", played)
    assert run(["dataset", str(actions), str(tmp_path / "files"), "--format", "rerun"]) == 0
    one, two = sorted((tmp_path / "files").glob("*.rrd"))
    for path, first, length in ((one, 0, 20), (two, 20, 680)):
        found = columns(path)
        expected = np.stack([action(tick) for tick in range(first, first + length)])
        np.testing.assert_array_equal(found["/buttons"]["Scalars:scalars"], expected[:, :21])
        np.testing.assert_allclose(found["/sticks"]["Scalars:scalars"], expected[:, 21:], rtol=1e-6)
        hands = [float(tick in played.human) for tick in range(first, first + length)]
        np.testing.assert_array_equal(np.ravel(found["/human"]["Scalars:scalars"]), hands)
        filmed = [tick for tick in range(length) if tick + first not in played.not_filmed]
        assert found["/picture"]["tick"] == filmed
        for tick, (blob,) in zip(filmed[:30], found["/picture"]["EncodedImage:blob"], strict=False):
            picture = np.asarray(PIL.Image.open(io.BytesIO(bytes(blob))))
            assert tick_of(picture, first + tick) == first + tick


def test_the_same_command_adds_only_what_is_new(tmp_path: Path) -> None:
    words = ["dataset", str(tmp_path / "out" / "demo"), str(tmp_path / "files"), "--format", "rerun"]
    for _ in range(2):
        record(tmp_path / "out", Played(ticks=5))
        assert run(words) == 0
    assert run(words) == 0
    assert listed(tmp_path / "files") == ["demo/0001", "demo/0002"]
    assert len(list((tmp_path / "files").glob("*.rrd"))) == 2


def test_an_episode_whose_line_was_cut_short_is_written_again(tmp_path: Path) -> None:
    words = ["dataset", str(tmp_path / "out" / "demo"), str(tmp_path / "files"), "--format", "rerun"]
    for _ in range(2):
        record(tmp_path / "out", Played(ticks=5))
    assert run(words) == 0
    index = tmp_path / "files" / "episodes.jsonl"
    index.write_bytes(index.read_bytes()[:-20])
    assert run(words) == 0
    assert listed(tmp_path / "files") == ["demo/0001", "demo/0002"]
    assert len(list((tmp_path / "files").glob("*.rrd"))) == 2
