"""Writes episodes as a LeRobot data set, in files of many episodes each.

Data, video and episodes with the same number belong together. They get their names once all three are whole,
and info.json counts them last: so the data set can be read at any time, and what a killed run has left beside
it is removed by the next one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nitrogen_dataset.errors import RecordingError
from nitrogen_dataset.frames import ACTION_NAMES, Frame
from nitrogen_dataset.lerobot.existing import read_existing
from nitrogen_dataset.lerobot.files import (
    DATA_SCHEMA,
    INFO,
    PICTURE,
    STATISTICS,
    TASKS,
    new_info,
    numbered,
    statistics_columns,
    under_way,
    write_json,
    write_tasks,
)
from nitrogen_dataset.lerobot.statistics import PictureSample, Statistics, merged, of_values
from nitrogen_dataset.lerobot.video import VideoFile

# LeRobot looks for a picture by its time as a float32, within 0.1 ms: up to here that is exact enough.
_MAX_FILE_S = 1000
_MAX_EPISODE_S = 500
_MAX_VIDEO_BYTES = 100 * 2**20


class _Episode:
    """The rows of the episode under way, of which there are at most `most`."""

    def __init__(self, recording: str, first_picture: int, most: int) -> None:
        self.recording = recording
        self.first_picture = first_picture
        self.place = ""
        # All at once: small arrays between large pictures keep freed memory from being used again.
        self.actions = np.empty((most, len(ACTION_NAMES)), np.float32)
        self.hands: list[str] = []
        self.ages: list[int] = []
        self.task_indices: list[int] = []
        self.sample = PictureSample()


class LeRobotWriter:
    """Writes into `folder`, which is empty, not there yet, or holds a data set of an earlier run.

    Args:
        is_lossless: whether each pixel is to come back as it was.
        max_file_s: after how many seconds of play the next files begin.

    Raises:
        OutputError: the folder holds something else, or a data set with other settings.
        OSError: it cannot be read or written.
    """

    def __init__(self, folder: Path, *, is_lossless: bool = False, max_file_s: int = _MAX_FILE_S) -> None:
        self._folder = folder
        self._is_lossless = is_lossless
        self._max_file_s = max_file_s
        self._max_episode_s = min(_MAX_EPISODE_S, max_file_s)
        found = read_existing(folder, is_lossless=is_lossless)
        self._info: dict[str, Any] = {} if found is None else found.info
        tasks = [] if found is None else found.tasks
        self._tasks: dict[str, int] = {task: index for index, task in enumerate(tasks)}
        self._taken: dict[str, str] = {} if found is None else found.taken
        self._statistics: dict[str, Statistics] = {} if found is None else found.statistics
        self._file_number = 0 if found is None else found.files
        self._video: VideoFile | None = None
        self._data: pq.ParquetWriter | None = None
        self._episodes: list[dict[str, Any]] = []
        self._frames = int(self._info.get("total_frames", 0))
        self._episode: _Episode | None = None

    @property
    def taken(self) -> Mapping[str, str]:
        """For each recording that is in the data set: the place of the last picture that was taken."""
        return self._taken

    @property
    def wants_end(self) -> bool:
        """Whether the present episode should end with the next picture."""
        longest = self._max_episode_s * int(self._info["fps"])
        return self._episode is not None and len(self._episode.hands) >= longest

    def begin(self, recording: str, ticks_per_s: int, first: Frame) -> None:
        """Begin an episode.

        Raises:
            RecordingError: its pictures or its rate are not those of the data set.
            OSError: it cannot be written.
        """
        height, width = first.picture.shape[:2]
        if not self._info:
            self._info = new_info(ticks_per_s, height, width, is_lossless=self._is_lossless)
            write_json(self._folder / INFO, self._info)
        shape = tuple(self._info["features"][PICTURE]["shape"][:2])
        if shape != (height, width):
            raise RecordingError(
                f"{recording} has pictures of {width}x{height}, the data set of {shape[1]}x{shape[0]}: "
                "make another data set of it"
            )
        if self._info["fps"] != ticks_per_s:
            raise RecordingError(
                f"{recording} has {ticks_per_s} ticks per second, the data set {self._info['fps']}: "
                "make another data set of it"
            )
        if self._video is not None and self._is_full(self._video):
            self._commit()
        if self._video is None:
            self._open(height, width)
        assert self._video is not None  # noqa: S101 - for the type checker
        # It ends with the next picture, which is at most a second away.
        self._episode = _Episode(recording, self._video.count, (self._max_episode_s + 2) * ticks_per_s)

    def add(self, frame: Frame) -> None:
        """Add a frame to the present episode.

        Raises:
            OSError: it cannot be written.
        """
        episode, video = self._episode, self._video
        assert episode is not None and video is not None  # noqa: S101, PT018 - for the type checker
        try:
            video.add(frame.picture, is_key=not episode.hands)
        except av.FFmpegError as error:
            raise OSError(str(error)) from error
        if frame.picture_age == 0:
            episode.sample.add(frame.picture)
        episode.actions[len(episode.hands)] = frame.action
        episode.hands.append(frame.by)
        episode.ages.append(frame.picture_age)
        episode.task_indices.append(self._tasks.setdefault(frame.task, len(self._tasks)))
        episode.place = frame.place

    def end(self) -> None:
        """End the present episode, if there is one.

        Raises:
            OSError: it cannot be written.
        """
        episode, self._episode = self._episode, None
        if episode is None or not episode.hands:
            return
        assert self._data is not None  # noqa: S101 - for the type checker
        fps = int(self._info["fps"])
        length = len(episode.hands)
        index = len(self._episodes) + int(self._info["total_episodes"])
        counted = np.arange(length)
        numbers = {
            "action": episode.actions[:length],
            "picture_age": np.array(episode.ages)[:, None],
            "timestamp": (counted / fps).astype(np.float32)[:, None],
            "frame_index": counted[:, None],
            "episode_index": np.full((length, 1), index),
            "index": self._frames + counted[:, None],
            "task_index": np.array(episode.task_indices)[:, None],
        }
        columns: dict[str, Any] = {name: values[:, 0] for name, values in numbers.items()}
        columns["action"] = pa.FixedSizeListArray.from_arrays(
            numbers["action"].ravel(), numbers["action"].shape[1]
        )
        columns["by"] = episode.hands
        self._data.write_table(pa.table(columns, schema=DATA_SCHEMA))
        statistics = {name: of_values(values) for name, values in numbers.items()}
        statistics[PICTURE] = episode.sample.statistics()
        self._episodes.append(self._row(episode, index, length, statistics))
        self._frames += length
        for name, found in statistics.items():
            before = self._statistics.get(name)
            self._statistics[name] = found if before is None else merged(before, found)

    def drop(self) -> None:
        """Forget the present episode, if there is one; its pictures stay in the video, unnamed."""
        self._episode = None

    def close(self) -> None:
        """Write what waits.

        Raises:
            OSError: it cannot be written.
        """
        if self._video is not None:
            self._commit()

    def _is_full(self, video: VideoFile) -> bool:
        is_long = video.count > (self._max_file_s - self._max_episode_s) * int(self._info["fps"])
        return is_long or video.size >= _MAX_VIDEO_BYTES

    def _open(self, height: int, width: int) -> None:
        data, video, episodes = (self._folder / path for path in numbered(self._file_number))
        for path in (data, video, episodes):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._data = pq.ParquetWriter(under_way(data), DATA_SCHEMA)
        try:
            self._video = VideoFile(
                under_way(video), int(self._info["fps"]), height, width, is_lossless=self._is_lossless
            )
        except av.FFmpegError as error:
            raise OSError(str(error)) from error

    def _row(
        self, episode: _Episode, index: int, length: int, statistics: Mapping[str, Statistics]
    ) -> dict[str, Any]:
        """Return an episode's row in the table of episodes."""
        names = list(self._tasks)
        chunk, file = divmod(self._file_number, int(self._info["chunks_size"]))
        fps = int(self._info["fps"])
        return {
            "episode_index": index,
            "tasks": [names[task] for task in dict.fromkeys(episode.task_indices)],
            "length": length,
            "recording": episode.recording,
            "last_place": episode.place,
            "data/chunk_index": chunk,
            "data/file_index": file,
            "dataset_from_index": self._frames,
            "dataset_to_index": self._frames + length,
            f"videos/{PICTURE}/chunk_index": chunk,
            f"videos/{PICTURE}/file_index": file,
            f"videos/{PICTURE}/from_timestamp": episode.first_picture / fps,
            f"videos/{PICTURE}/to_timestamp": (episode.first_picture + length) / fps,
            "meta/episodes/chunk_index": chunk,
            "meta/episodes/file_index": file,
            **statistics_columns(statistics),
        }

    def _commit(self) -> None:
        """Give the files under way their names, and count what is in them."""
        video, data, rows = self._video, self._data, self._episodes
        self._video = self._data = None
        self._episodes = []
        paths = [self._folder / path for path in numbered(self._file_number)]
        try:
            assert video is not None and data is not None  # noqa: S101, PT018 - for the type checker
            try:
                video.close()
            except av.FFmpegError as error:
                raise OSError(str(error)) from error
            data.close()
            if rows:
                pq.write_table(pa.Table.from_pylist(rows), under_way(paths[2]))
                for path in paths:
                    under_way(path).replace(path)
        finally:
            for path in paths:
                under_way(path).unlink(missing_ok=True)
        if rows:
            self._count(rows)

    def _count(self, rows: list[dict[str, Any]]) -> None:
        self._file_number += 1
        self._taken |= {row["recording"]: row["last_place"] for row in rows}
        write_tasks(self._folder / TASKS, list(self._tasks))
        as_lists = {
            feature: {name: value.tolist() for name, value in found.items()}
            for feature, found in self._statistics.items()
        }
        write_json(self._folder / STATISTICS, as_lists)
        self._info["total_episodes"] += len(rows)
        self._info["total_frames"] = self._frames
        self._info["total_tasks"] = len(self._tasks)
        self._info["splits"] = {"train": f"0:{self._info['total_episodes']}"}
        write_json(self._folder / INFO, self._info)
