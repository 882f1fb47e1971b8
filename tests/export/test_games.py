from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from export.checkpoint.config import GameMappingConfig
from export.checkpoint.games import read_games
from export.errors import CheckpointError
from tests.golden import GOLDEN


def mapping(*files: str) -> GameMappingConfig:
    return GameMappingConfig(src_files=files)


def write(path: Path, **columns: list[object]) -> None:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def test_no_mapping_is_no_games(tmp_path: Path) -> None:
    assert read_games(None, tmp_path) == ()


def test_the_golden_games() -> None:
    games = read_games(mapping("games.parquet"), GOLDEN / "tiny-ctx")

    assert games == (None, "Celeste", "Cuphead", "Hades", "Hollow Knight", "Nine Sols")


def test_labels_of_several_files_are_sorted_and_unique(tmp_path: Path) -> None:
    write(tmp_path / "one.parquet", game_label=["b", None, "a"], other=[1, 2, 3])
    write(tmp_path / "two.parquet", game_label=["a", "C"])

    assert read_games(mapping("one.parquet", "two.parquet"), tmp_path) == (None, "C", "a", "b")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"needs .*games\.parquet: put it there"):
        read_games(mapping("games.parquet"), tmp_path)


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "games.parquet").write_bytes(b"PAR1 but not really")

    with pytest.raises(CheckpointError, match=r"games\.parquet has no readable column"):
        read_games(mapping("games.parquet"), tmp_path)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    write(tmp_path / "games.parquet", title=["a"])

    with pytest.raises(CheckpointError, match="no readable column 'game_label'"):
        read_games(mapping("games.parquet"), tmp_path)


def test_labels_must_be_text(tmp_path: Path) -> None:
    write(tmp_path / "games.parquet", game_label=[3])

    with pytest.raises(CheckpointError, match="game label 3 is not text"):
        read_games(mapping("games.parquet"), tmp_path)
