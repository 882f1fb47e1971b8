"""The data set of an earlier run: read, checked, and rid of unfinished files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from nitrogen_dataset.errors import OutputError
from nitrogen_dataset.lerobot.files import INFO, PICTURE, ROBOT, TASKS, new_info, numbered, read_tasks
from nitrogen_dataset.lerobot.statistics import Statistics, merged

_COUNTED = ("total_episodes", "total_frames", "total_tasks", "splits")


@dataclass(frozen=True)
class Existing:
    """A data set that goes on.

    Attributes:
        taken: each recording's last picture's place.
        files: how many numbers its files have.
    """

    info: dict[str, Any]
    tasks: list[str]
    taken: dict[str, str]
    statistics: dict[str, Statistics]
    files: int


def read_existing(folder: Path, *, is_lossless: bool) -> Existing | None:
    """Return the data set in a folder, from which unfinished files are removed; None for an empty folder.

    Raises:
        OutputError: it is not a data set of this program, or one with other settings.
        OSError: it cannot be read.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    info = _info(folder)
    fps, (height, width, _) = info["fps"], info["features"][PICTURE]["shape"]
    expected = new_info(fps, height, width, is_lossless=is_lossless)
    if _settings(info) != _settings(expected):
        other = new_info(fps, height, width, is_lossless=not is_lossless)
        if _settings(info) == _settings(other):
            way = "without" if is_lossless else "with"
            raise OutputError(
                f"{folder} was made {way} --lossless: do the same again, or give another folder"
            )
        raise OutputError(f"{folder} was made by another version of this program: give another folder")
    try:
        existing = _read_episodes(folder, info)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise OutputError(f"the data set in {folder} is damaged ({error}): give another folder") from error
    _remove_unfinished(folder, existing.files)
    return existing


def _info(folder: Path) -> dict[str, Any]:
    try:
        info: dict[str, Any] = json.loads((folder / INFO).read_text(encoding="utf-8"))
        is_ours = info["robot_type"] == ROBOT and _has_numbers(info)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        is_ours = False
    if not is_ours:
        raise OutputError(
            f"{folder} is not a data set of this program: give an empty folder, or one that does not exist "
            "yet"
        )
    return info


def _has_numbers(info: dict[str, Any]) -> bool:
    numbers = [info["fps"], info["total_frames"], info["total_tasks"], *info["features"][PICTURE]["shape"]]
    return len(numbers) == 6 and all(type(number) is int for number in numbers)


def _settings(info: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in info.items() if name not in _COUNTED}


def _read_episodes(folder: Path, info: dict[str, Any]) -> Existing:
    taken: dict[str, str] = {}
    statistics: dict[str, Statistics] = {}
    files = frames = 0
    while frames < info["total_frames"]:
        for row in pq.read_table(folder / numbered(files)[2]).to_pylist():
            taken[row["recording"]] = row["last_place"]
            frames = row["dataset_to_index"]
            for feature, found in _statistics(row).items():
                before = statistics.get(feature)
                statistics[feature] = found if before is None else merged(before, found)
        files += 1
    tasks = read_tasks(folder / TASKS) if files else []
    return Existing(info, tasks[: info["total_tasks"]], taken, statistics, files)


def _statistics(row: dict[str, Any]) -> dict[str, Statistics]:
    found: dict[str, Statistics] = {}
    for column, value in row.items():
        if column.startswith("stats/"):
            _, feature, name = column.split("/")
            found.setdefault(feature, {})[name] = np.array(value, np.float64)
    return found


def _remove_unfinished(folder: Path, files: int) -> None:
    for path in folder.rglob(".*.part"):
        path.unlink()
    number = files
    # A run that was killed while it named its files has left some of one number.
    for path in numbered(number):
        (folder / path).unlink(missing_ok=True)
