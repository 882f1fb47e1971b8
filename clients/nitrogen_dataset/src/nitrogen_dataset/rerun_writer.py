"""Writes episodes as Rerun files, to look at: pictures, buttons and sticks over time, and who pressed.

`episodes.jsonl` beside them has a line for each: its file, recording, length, and where the next one begins.
"""

import contextlib
import errno
import io
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from nitrogen_dataset.errors import MissingPackageError, OutputError
from nitrogen_dataset.frames import ACTION_NAMES, BUTTON_COUNT, Frame

_APPLICATION = "nitrogen"
_INDEX = "episodes.jsonl"
_JPEG_QUALITY = 90
_ROWS_AT_ONCE = 512
_MAX_EPISODE_S = 500
_MIN_FREE_BYTES = 16 * 2**20
_HUMAN = "human"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class RerunWriter:
    """Writes into `folder`, which is empty, not there yet, or one that an earlier run has written into.

    Raises:
        MissingPackageError: rerun-sdk is not installed.
        OutputError: the folder holds something else.
        OSError: it cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import rerun  # noqa: PLC0415 - an extra
            import rerun.blueprint  # noqa: PLC0415
        except ImportError as error:
            raise MissingPackageError(
                "Rerun files need the package rerun-sdk. In the project's folder: "
                'pip install "./clients/nitrogen_dataset[rerun]"'
            ) from error
        self._rerun: Any = rerun
        self._folder = folder
        self._taken: dict[str, str] = {}
        self._count = 0
        if folder.exists() and any(folder.iterdir()):
            self._read_index()
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob(".*.part"):
            path.unlink()
        self._stream: Any = None
        self._path = folder
        self._ticks_per_s = 1
        self._length = self._sent = 0
        self._last: Frame | None = None
        self._recording = ""
        self._actions: list[Any] = []
        self._hands: list[bool] = []

    @property
    def taken(self) -> Mapping[str, str]:
        """For each recording that is in the data set: the place of the last picture that was taken."""
        return self._taken

    @property
    def wants_end(self) -> bool:
        """Whether the present episode should end with the next picture."""
        return self._length >= _MAX_EPISODE_S * self._ticks_per_s

    def begin(self, recording: str, ticks_per_s: int, first: Frame) -> None:
        """Begin an episode.

        Raises:
            OSError: it cannot be written.
        """
        # Where the disk is full already, the SDK waits forever.
        if shutil.disk_usage(self._folder).free < _MIN_FREE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._folder))
        name = f"{self._count:06d}_{_UNSAFE.sub('-', recording)[-100:]}.rrd"
        self._path = self._folder / name
        self._recording, self._ticks_per_s = recording, ticks_per_s
        self._length = self._sent = 0
        rerun, blueprint = self._rerun, self._rerun.blueprint
        self._stream = rerun.RecordingStream(_APPLICATION, recording_id=f"{recording}/{self._count}")
        layout = blueprint.Horizontal(
            blueprint.Spatial2DView(origin="picture", name="Picture"),
            blueprint.Vertical(
                *(
                    blueprint.TimeSeriesView(origin=origin, name=title)
                    for origin, title in (("buttons", "Buttons"), ("sticks", "Sticks"), ("human", "Human"))
                )
            ),
        )
        self._stream.save(self._part, default_blueprint=layout)
        self._stream.send_recording_name(f"{first.task}: {recording}")
        for entity, names in (
            ("buttons", ACTION_NAMES[:BUTTON_COUNT]),
            ("sticks", ACTION_NAMES[BUTTON_COUNT:]),
            ("human", ("human",)),
        ):
            self._stream.log(entity, rerun.SeriesLines(names=names), static=True)

    def add(self, frame: Frame) -> None:
        """Add a frame to the present episode.

        Raises:
            OSError: it cannot be written.
        """
        if frame.picture_age == 0:
            encoded = io.BytesIO()
            PIL.Image.fromarray(frame.picture).save(encoded, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
            self._stream.set_time("tick", sequence=self._length)
            self._stream.set_time("time", duration=self._length / self._ticks_per_s)
            self._stream.log(
                "picture", self._rerun.EncodedImage(contents=encoded.getvalue(), media_type="image/jpeg")
            )
        self._actions.append(frame.action)
        self._hands.append(frame.by == _HUMAN)
        self._length += 1
        self._last = frame
        if len(self._actions) == _ROWS_AT_ONCE:
            self._send_rows()

    def end(self) -> None:
        """End the present episode, if there is one.

        Raises:
            OSError: it cannot be written.
        """
        if self._stream is None or self._last is None:
            return
        self._send_rows()
        self._close_stream()
        self._part.replace(self._path)
        entry = {
            "file": self._path.name,
            "recording": self._recording,
            "task": self._last.task,
            "length": self._length,
            "ticks_per_s": self._ticks_per_s,
            "last_place": self._last.place,
        }
        with (self._folder / _INDEX).open("a", encoding="utf-8") as index:
            index.write(json.dumps(entry) + "\n")
        self._taken[self._recording] = self._last.place
        self._count += 1
        self._last = None

    def drop(self) -> None:
        """Forget the present episode, if there is one."""
        if self._stream is None:
            return
        self._actions, self._hands = [], []
        self._last = None
        with contextlib.suppress(OSError):
            self._close_stream()
        self._part.unlink(missing_ok=True)

    def close(self) -> None:
        """Do nothing: each episode is a file already."""

    @property
    def _part(self) -> Path:
        return self._path.with_name(f".{self._path.name}.part")

    def _send_rows(self) -> None:
        """Send the rows that were collected, all columns at once."""
        count = len(self._actions)
        if not count:
            return
        rerun = self._rerun
        ticks = np.arange(self._sent, self._sent + count)
        times = [
            rerun.TimeColumn("tick", sequence=ticks),
            rerun.TimeColumn("time", duration=ticks / self._ticks_per_s),
        ]
        actions = np.stack(self._actions).astype(np.float64)
        for entity, values in (
            ("buttons", actions[:, :BUTTON_COUNT]),
            ("sticks", actions[:, BUTTON_COUNT:]),
            ("human", np.array(self._hands, np.float64)[:, None]),
        ):
            self._stream.send_columns(entity, times, rerun.Scalars.columns(scalars=values))
        self._sent += count
        self._actions, self._hands = [], []

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        try:
            stream.flush()
            stream.disconnect()
        except RuntimeError as error:
            self._part.unlink(missing_ok=True)
            raise OSError(str(error)) from error

    def _read_index(self) -> None:
        """Read what earlier runs have written; drop a last line that a full disk or a crash has cut short.

        Raises:
            OutputError: it was something else.
        """
        try:
            text = (self._folder / _INDEX).read_text(encoding="utf-8")
            whole = text[: text.rfind("\n") + 1]
            lines = whole.splitlines()
            for line in lines:
                entry = json.loads(line)
                self._taken[entry["recording"]] = entry["last_place"]
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError) as error:
            raise OutputError(
                f"{self._folder} is not a folder of this program's Rerun files: give an empty folder, or one "
                "that does not exist yet"
            ) from error
        if whole != text:
            (self._folder / _INDEX).write_text(whole, encoding="utf-8")
        self._count = len(lines)
