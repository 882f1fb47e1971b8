"""Recordings of nitrogen-play as its own recorder writes them, and what a data set of them holds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
from nitrogen_play.pad import BUTTONS, STICK_MAX, PadState
from nitrogen_play.recording.actions_file import RecordedStep, step_line
from nitrogen_play.recording.films import Film
from nitrogen_play.recording.recorder import new_recording
from numpy.typing import NDArray

VIDEO = Path("videos/observation.images.game")
TICKS_PER_S = 59.92


def state(tick: int) -> PadState:
    """Another button in each tick, and sticks that move."""
    return PadState(frozenset({BUTTONS[tick % 21]}), (10 * tick, -10 * tick), (0, tick))


def action(tick: int) -> NDArray[np.float32]:
    """The action that a data set has for `state`."""
    sticks = np.array([10 * tick, -10 * tick, 0, tick]) / STICK_MAX
    return np.concatenate([np.arange(21) == tick % 21, sticks]).astype(np.float32)


def picture(tick: int, height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    """A picture with a bright square that moves."""
    made = np.full((height, width, 3), (20 + tick % 200, 80, 160), np.uint8)
    left = 4 * tick % (width - 16)
    made[20:36, left : left + 16] = (255, 255, 0)
    return made


def tick_of(seen: NDArray[np.uint8], near: int) -> int:
    """Which tick's picture it is, of those up to five ticks from `near`: both videos lose a little."""
    height, width = seen.shape[:2]
    ticks = range(max(0, near - 5), near + 6)
    return min(ticks, key=lambda tick: float(abs(np.float64(picture(tick, height, width)) - seen).mean()))


@dataclass(frozen=True)
class Played:
    """A game that is recorded.

    `not_filmed`: ticks without a picture. `human`: ticks that a human plays. `began_again`: ticks behind
    which the game begins again.
    """

    ticks: int = 120
    not_filmed: frozenset[int] = frozenset()
    human: frozenset[int] = frozenset()
    began_again: frozenset[int] = frozenset()
    size: tuple[int, int] = (64, 96)
    title: str = "Square"
    ticks_per_s: float = TICKS_PER_S


def record(folder: Path, played: Played = Played(), checkpoint: str = "demo") -> Path:
    """Record what is played, without the film of pads; the path of its actions."""
    paths = new_recording(folder, checkpoint)
    film = Film(paths.clean, played.ticks_per_s, played.title)
    lines = []
    for tick in range(played.ticks):
        if tick not in played.not_filmed:
            film.add(picture(tick, *played.size), tick)
        by = "human" if tick in played.human else "model"
        step = RecordedStep(state(tick), tick // 18, tick % 18, tick, 1, by, tick in played.began_again)
        lines.append(step_line(step))
    film.close()
    paths.actions.write_text("".join(lines))
    return paths.actions


@dataclass(frozen=True)
class DataSet:
    """A data set as its files have it: rows of data, of episodes, and each video's pictures and times."""

    rows: list[dict[str, Any]]
    episodes: list[dict[str, Any]]
    pictures: list[list[NDArray[np.uint8]]]
    times: list[list[float]]

    def picture(self, row: dict[str, Any]) -> NDArray[np.uint8]:
        """The picture that a reader finds for a row: by its time in the episode's video."""
        episode = self.episodes[row["episode_index"]]
        file = episode[f"videos/{VIDEO.name}/file_index"]
        wanted = episode[f"videos/{VIDEO.name}/from_timestamp"] + row["timestamp"]
        found = int(np.argmin(np.abs(np.array(self.times[file]) - wanted)))
        assert abs(self.times[file][found] - wanted) < 1e-4
        return self.pictures[file][found]


def read(folder: Path) -> DataSet:
    """Read all of a data set."""
    pictures, times = [], []
    for path in sorted((folder / VIDEO).glob("*/*.mp4")):
        with av.open(str(path)) as container:
            decoded = list(container.decode(video=0))
        pictures.append([np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in decoded])
        times.append([float(frame.time or 0) for frame in decoded])
    return DataSet(_rows(folder / "data"), _rows(folder / "meta/episodes"), pictures, times)


def _rows(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob("*/*.parquet")) for row in pq.read_table(path).to_pylist()]
