"""Data sets of the gateway's recordings: what was told to be pressed, or what the chunks said."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nitrogen_dataset import frames
from nitrogen_dataset.conversion import Problems
from numpy.typing import NDArray

from contract.gamepad import BUTTONS
from contract.tensors import FRAME_SHAPE
from gateway.__main__ import main
from gateway.commands.recorded_client import RecordedClient
from gateway.protocol.messages import ActionChunk, Played, PlayedRow, RawFrame, Reply, Request
from gateway.protocol.web.openpi import ACTION_NAMES
from gateway.telemetry.kept_recordings import KeptRecordings
from gateway.telemetry.recording_format import Exchange, pack, recording_name
from tests.clients.dataset.recorded_games import read

CHUNK = 4


class Recorded:
    """A folder of recordings under way, a second apart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def keep(self, request: Request, frame: bytes | None, reply: Reply, **who: Any) -> None:  # noqa: ANN401
        self.count += 1
        began = 1.8e9 + self.count + who.get("late_s", 0)
        number = f"ab-{self.count}"
        client, port, episode = who.get("client", "one:1"), who.get("port", "tcp"), who.get("episode", 0)
        what = Exchange(began, port, client, number, request, frame, reply, 0.01, episode)
        KeptRecordings(self.folder, 2**30).write(recording_name(what), pack(what))

    def predict(self, red: int, tick: int | None = None, **who: Any) -> None:  # noqa: ANN401
        """One whose picture is of one red, and whose chunk presses button `red` + row."""
        buttons = np.zeros((CHUNK, 21), np.float32)
        buttons[np.arange(CHUNK), (red + np.arange(CHUNK)) % 21] = 1
        sticks = np.linspace(0, 1, 2 * CHUNK, dtype=np.float32).reshape(CHUNK, 2)
        reply = who.pop("reply", None) or Reply(chunk=ActionChunk(sticks, -sticks, buttons))
        request = Request("predict", RawFrame(b""), tick=tick, game=who.pop("game", "Square"))
        self.keep(request, frame(red), reply, **who)

    def played(self, tick: int, count: int, by: str = "model", **who: Any) -> None:  # noqa: ANN401
        """Rows that press the button of their tick."""
        rows = tuple(PlayedRow(by, pressed(tick + row), (0.5, 0.0), (0.0, -1.0)) for row in range(count))  # type: ignore[arg-type]
        self.keep(Request("played", played=Played(tick, rows)), None, Reply(), **who)


def frame(red: int) -> bytes:
    pixels = np.empty(FRAME_SHAPE, np.uint8)
    pixels[:] = (10 * red % 250, 100, 200)
    return pixels.tobytes()


def pressed(tick: int) -> tuple[int, ...]:
    return tuple(int(index == tick % 21) for index in range(21))


def found(recorded: Recorded, *, rows: int | None = None, client: str = "one-1") -> list[frames.Frame]:
    """The frames of one client."""
    paths = sorted(path for path in recorded.folder.iterdir() if client in path.name)
    problems = Problems(print, is_strict=True)
    return list(RecordedClient(client, paths, 60, None, rows).frames("", problems))


def red(picture: NDArray[np.uint8]) -> int:
    return int(picture[0, 0, 0]) // 10


def buttons(made: Sequence[frames.Frame]) -> list[int]:
    return [int(np.argmax(one.action[:21])) for one in made]


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    """An empty folder of recordings."""
    return Recorded(tmp_path / "recordings")


def test_both_name_the_same_columns() -> None:
    assert frames.ACTION_NAMES == ACTION_NAMES
    assert frames.ACTION_NAMES[: frames.BUTTON_COUNT] == BUTTONS


def test_rows_that_were_told_go_with_the_picture_of_their_tick(recorded: Recorded) -> None:
    recorded.predict(1, tick=0)
    recorded.predict(2, tick=3)
    recorded.played(0, 3)
    recorded.predict(3, tick=7)
    recorded.played(3, 4, by="human")
    recorded.played(7, 2)
    made = found(recorded)
    assert [red(one.picture) for one in made] == [1, 1, 1, 2, 2, 2, 2, 3, 3]
    assert [one.picture_age for one in made] == [0, 1, 2, 0, 1, 2, 3, 0, 1]
    assert buttons(made) == list(range(9))
    assert [one.by for one in made] == ["model"] * 3 + ["human"] * 4 + ["model"] * 2
    assert [one.begins for one in made] == [True] + [False] * 8
    np.testing.assert_array_equal(made[0].action[21:], [0.5, 0, 0, -1])


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.sampled_from(["tick", "zmq", "web"]))
def test_pictures_are_paired_by_tick_or_by_the_order_of_their_clients(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], way: str
) -> None:
    """nitrogen-play tells behind each picture what came before it, the page before the picture."""
    recorded = Recorded(tmp_path_factory.mktemp("recordings"))
    tick = 0
    for number, length in enumerate(lengths):
        who = {"port": "web" if way == "web" else "zmq"}
        if way == "web" and number:
            recorded.played(tick - lengths[number - 1], lengths[number - 1], **who)
        recorded.predict(number, tick if way == "tick" else None, **who)
        if way != "web" and number:
            recorded.played(tick - lengths[number - 1], lengths[number - 1], **who)
        tick += length
    expected = [(number, age) for number, length in enumerate(lengths[:-1]) for age in range(length)]
    made = found(recorded) if len(lengths) > 1 else []
    assert [(red(one.picture), one.picture_age) for one in made] == expected
    assert buttons(made) == [each % 21 for each in range(len(expected))]


def test_without_what_was_told_chunks_count_as_pressed(recorded: Recorded) -> None:
    recorded.predict(1)
    recorded.predict(5)
    made = found(recorded)
    assert buttons(made) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [one.picture_age for one in made] == [0, 1, 2, 3] * 2
    assert buttons(found(recorded, rows=2)) == [1, 2, 5, 6]


def test_an_episode_ends_with_a_reset_a_gap_an_error_or_a_tick_that_goes_back(recorded: Recorded) -> None:
    recorded.predict(1, client="reset:1")
    recorded.predict(2, client="reset:1", episode=1)
    recorded.predict(1, client="error:1")
    recorded.predict(2, client="error:1", reply=Reply(error="too late"))
    recorded.predict(3, client="error:1")
    recorded.predict(1, client="pause:1")
    recorded.predict(2, client="pause:1", late_s=60)
    for client, first, second in (("gap:1", 0, 9), ("back:1", 9, 0)):
        recorded.predict(1, tick=first, client=client)
        recorded.played(first, 2, client=client)
        recorded.predict(2, tick=second, client=client)
        recorded.played(second, 2, client=client)
    for client in ("reset", "error", "pause", "gap", "back"):
        made = found(recorded, client=f"{client}-1")
        assert sum(one.begins for one in made) == 2, client


def test_rows_of_before_a_reset_that_are_told_behind_it_belong_to_before_it(recorded: Recorded) -> None:
    """nitrogen-play's way: it resets with the next picture, and tells behind that what came before it."""
    recorded.predict(1, tick=0)
    recorded.predict(2, tick=3, episode=1)
    recorded.played(0, 3, episode=1)
    recorded.predict(3, tick=5, episode=1)
    recorded.played(3, 2, episode=1)
    made = found(recorded)
    assert [(red(one.picture), one.picture_age) for one in made] == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
    assert [one.begins for one in made] == [True, False, False, True, False]


def test_a_data_set_of_all_clients(recorded: Recorded, tmp_path: Path) -> None:
    for client in ("one:1", "two:2"):
        for episode in range(2):
            recorded.predict(1, client=client, episode=episode, game=5 if episode else "Square")
    words = ["dataset", str(recorded.folder), str(tmp_path / "set"), "--fps", "30"]
    assert main(words) == 0
    made = read(tmp_path / "set")
    assert [(one["recording"], one["length"], one["tasks"]) for one in made.episodes] == [
        (client, CHUNK, [task]) for client in ("one-1", "two-2") for task in ("Square", "game 5")
    ]
    assert made.picture(made.rows[0]).shape == FRAME_SHAPE
    recorded.predict(1, client="one:1", episode=2)
    assert main([*words, "--client", "one"]) == 0
    assert main(words) == 0
    assert [one["recording"] for one in read(tmp_path / "set").episodes] == [
        "one-1",
        "one-1",
        "two-2",
        "two-2",
        "one-1",
    ]


def test_torn_recordings_are_named_and_end_their_episode(
    recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        recorded.predict(number)
    torn = sorted(recorded.folder.iterdir())[1]
    torn.write_bytes(torn.read_bytes()[:5000])
    assert main(["dataset", str(recorded.folder), str(tmp_path / "set")]) == 0
    assert f"left out: {torn.name}" in capsys.readouterr().err
    assert [one["length"] for one in read(tmp_path / "set").episodes] == [CHUNK, CHUNK]
    assert main(["dataset", str(recorded.folder), str(tmp_path / "other"), "--strict"]) == 1
    said = capsys.readouterr().err
    assert torn.name in said
    assert said.count("(--strict)") == 1


def test_a_games_name_is_one_line_that_steers_no_terminal(recorded: Recorded) -> None:
    recorded.predict(1, game="game \ud800\x1b[2J" + "x" * 200)
    (task,) = {one.task for one in found(recorded)}
    assert task == "game \\ud800\\x1b[2J" + "x" * 82 + "..."


def test_recordings_without_pictures_are_one_sentence(
    recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.played(0, 5)
    assert main(["dataset", str(recorded.folder), str(tmp_path / "set")]) == 1
    assert "no recording has a picture together with what was pressed" in capsys.readouterr().err


def test_a_folder_without_recordings_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dataset", str(tmp_path), str(tmp_path / "set")]) == 1
    assert "there are no recordings in" in capsys.readouterr().err
