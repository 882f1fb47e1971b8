"""The files of a LeRobot data set: where each is, what is in it, and writing it in one step."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nitrogen_dataset.frames import ACTION_NAMES
from nitrogen_dataset.lerobot.statistics import Statistics
from nitrogen_dataset.lerobot.video import FORMAT, pixel_format

VERSION = "v3.0"
PICTURE = "observation.images.game"
ROBOT = "nitrogen_gamepad"
MAX_FILES_IN_CHUNK = 1000

INFO = Path("meta", "info.json")
STATISTICS = Path("meta", "stats.json")
TASKS = Path("meta", "tasks.parquet")
_NUMBERED = "chunk-{chunk_index:03d}/file-{file_index:03d}"
_DATA = f"data/{_NUMBERED}.parquet"
_EPISODES = f"meta/episodes/{_NUMBERED}.parquet"
_VIDEO = f"videos/{{video_key}}/{_NUMBERED}.mp4"

DATA_SCHEMA = pa.schema(
    {
        "action": pa.list_(pa.float32(), len(ACTION_NAMES)),
        "by": pa.string(),
        "picture_age": pa.int64(),
        "timestamp": pa.float32(),
        "frame_index": pa.int64(),
        "episode_index": pa.int64(),
        "index": pa.int64(),
        "task_index": pa.int64(),
    }
)


def numbered(number: int) -> tuple[Path, Path, Path]:
    """Return the `number`-th data, video and episodes file, from 0 on, relative to the data set's folder."""
    chunk_index, file_index = divmod(number, MAX_FILES_IN_CHUNK)
    place: dict[str, Any] = {"chunk_index": chunk_index, "file_index": file_index, "video_key": PICTURE}
    return Path(_DATA.format(**place)), Path(_VIDEO.format(**place)), Path(_EPISODES.format(**place))


def under_way(path: Path) -> Path:
    """Return what a file is called until it is whole."""
    return path.with_name(f".{path.name}.part")


def new_info(fps: int, height: int, width: int, *, is_lossless: bool) -> dict[str, Any]:
    """Return the info.json of a data set without episodes."""
    scalars = dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), "int64")
    return {
        "codebase_version": VERSION,
        "robot_type": ROBOT,
        "total_episodes": 0,
        "total_frames": 0,
        "total_tasks": 0,
        "chunks_size": MAX_FILES_IN_CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": fps,
        "splits": {},
        "data_path": _DATA,
        "video_path": _VIDEO,
        "features": {
            PICTURE: {
                "dtype": "video",
                "shape": [height, width, 3],
                "names": ["height", "width", "channels"],
                "info": _video_info(
                    height=height,
                    width=width,
                    codec=FORMAT,
                    pix_fmt=pixel_format(is_lossless=is_lossless),
                    is_depth_map=False,
                    fps=fps,
                    channels=3,
                ),
            },
            "action": _feature("float32", ACTION_NAMES),
            "by": _feature("string"),
            "picture_age": _feature("int64"),
            "timestamp": _feature("float32"),
            **{name: _feature(dtype) for name, dtype in scalars.items()},
        },
    }


def write_json(path: Path, value: object) -> None:
    """Write a JSON file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    under_way(path).write_text(json.dumps(value, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")
    under_way(path).replace(path)


def write_tasks(path: Path, tasks: Sequence[str]) -> None:
    """Write the table of tasks in one step: pandas reads their names as its index."""
    table = pa.table(
        {"task_index": pa.array(range(len(tasks)), pa.int64()), _INDEX: pa.array(tasks, pa.string())}
    )
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(_PANDAS)}), under_way(path))
    under_way(path).replace(path)


def read_tasks(path: Path) -> list[str]:
    """Return the tasks in their order."""
    table = pq.read_table(path)
    names: list[str] = table.column(_INDEX).to_pylist()
    return names


def statistics_columns(statistics: Mapping[str, Statistics]) -> dict[str, object]:
    """Return an episode's statistics as columns of the table of episodes."""
    return {
        f"stats/{feature}/{name}": value.tolist()
        for feature, found in statistics.items()
        for name, value in found.items()
    }


_INDEX = "__index_level_0__"
_PANDAS = {
    "index_columns": [_INDEX],
    "column_indexes": [],
    "columns": [
        {
            "name": "task_index",
            "field_name": "task_index",
            "pandas_type": "int64",
            "numpy_type": "int64",
            "metadata": None,
        },
        {
            "name": None,
            "field_name": _INDEX,
            "pandas_type": "unicode",
            "numpy_type": "object",
            "metadata": None,
        },
    ],
    "pandas_version": "2.0.0",
}


def _video_info(**facts: object) -> dict[str, object]:
    return {f"video.{name}": value for name, value in facts.items()} | {"has_audio": False}


def _feature(dtype: str, names: Sequence[str] | None = None) -> dict[str, object]:
    listed = None if names is None else list(names)
    return {"dtype": dtype, "shape": [1 if listed is None else len(listed)], "names": listed}
