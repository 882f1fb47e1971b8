"""Films of recordings: the pad by its pixels, the MP4 by decoding it, and what is said where none is made."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from contract.gamepad import BUTTONS
from contract.tensors import FRAME_SHAPE
from gateway.commands.film import ERROR_PICTURES, FILM_SIZE, FRAME_BOX, PAD_ORIGIN, pictures
from gateway.commands.pad_picture import (
    PAD_SIZE,
    PLACES,
    PRESSED,
    RELEASED,
    STICK,
    draw_pad,
    knob_centre,
)
from gateway.commands.render import main
from gateway.protocol.messages import ActionChunk, RawFrame, Reply, Request
from gateway.telemetry.kept_recordings import KeptRecordings
from gateway.telemetry.recording_format import Exchange, RecordedPredict, pack, recording_name

STEPS = 4


def pressing(*names: str) -> list[float]:
    return [float(name in names) for name in BUTTONS]


def frame(red: int, green: int, blue: int) -> bytes:
    pixels = np.empty(FRAME_SHAPE, np.uint8)
    pixels[:] = (red, green, blue)
    return pixels.tobytes()


def record(folder: Path, number: int, client: str = "one:1", *, error: str | None = None) -> None:
    """One predict: a frame whose red is its number, step by step another button, the stick moving right."""
    buttons = np.zeros((STEPS, 21), np.float32)
    for step in range(STEPS):
        buttons[step, step] = 1
    sticks = np.stack([np.linspace(0, 1, STEPS), np.zeros(STEPS)], axis=1).astype(np.float32)
    reply = Reply(error=error) if error else Reply(chunk=ActionChunk(sticks, -sticks, buttons))
    pixels = None if error else frame(60 * number, 100, 200)
    request = Request("predict", RawFrame(frame(0, 0, 0)))
    what = Exchange(1.8e9 + number, "tcp", client, f"ab-{number}", request, pixels, reply, 0.01)
    KeptRecordings(folder, 2**30).write(recording_name(what), pack(what))


def decoded(film: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(film)) as container:
        return [picture.to_ndarray(format="rgb24") for picture in container.decode(video=0)]


def colour(picture: NDArray[np.uint8], point: tuple[int, int]) -> NDArray[np.int64]:
    """The mean colour around a point (x, y); encoding changes single pixels."""
    x, y = point
    return picture[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).mean(axis=0).round().astype(np.int64)


def button_centre(name: str) -> tuple[int, int]:
    """A point (x, y) of a button that no text covers, just inside its left edge."""
    (left, top, _, bottom), _, _ = PLACES[name]
    return left + 4, (top + bottom) // 2


def on_pad(point: tuple[int, int]) -> tuple[int, int]:
    return point[0] + PAD_ORIGIN[0], point[1] + PAD_ORIGIN[1]


@pytest.mark.parametrize("name", BUTTONS)
def test_a_pressed_button_is_lit_and_no_other(name: str) -> None:
    picture = draw_pad((0, 0), (0, 0), pressing(name))
    for other in BUTTONS:
        expected = PRESSED if other == name else RELEASED
        assert picture.getpixel(button_centre(other)) == expected, other


@pytest.mark.parametrize("name", BUTTONS)
def test_every_button_has_a_legible_label_inside(name: str) -> None:
    """Its text changes pixels of the button, and none beyond its left edge's strip."""
    picture = np.asarray(draw_pad((0, 0), (0, 0), pressing(name)))
    x, y = button_centre(name)
    row = picture[y, x : x + 60]
    assert (row != PRESSED).any()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("x", "y"), [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (0.5, -0.5), (9, 9)])
def test_a_stick_is_drawn_where_it_is(side: str, x: float, y: float) -> None:
    sticks = {"left": (0.0, 0.0), "right": (0.0, 0.0), side: (x, y)}
    picture = draw_pad(sticks["left"], sticks["right"], pressing())
    assert picture.getpixel(knob_centre(side, x, y)) == STICK


def test_right_and_down_are_positive() -> None:
    middle = knob_centre("left", 0, 0)
    assert knob_centre("left", 1, 0)[0] > middle[0]
    assert knob_centre("left", 0, 1)[1] > middle[1]


def test_a_pad_has_its_size() -> None:
    assert draw_pad((0, 0), (0, 0), pressing()).size == PAD_SIZE


def test_an_error_is_shown_for_a_while_without_a_frame() -> None:
    predict = RecordedPredict(datetime.now(UTC), "one", None, None, "too\nlate \ud800" * 50, {})
    shown = list(pictures(predict))
    assert len(shown) == ERROR_PICTURES
    assert shown[0].size == FILM_SIZE


def test_a_film_shows_each_predicts_frame_with_its_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (2, 1, 3):
        record(tmp_path, number)
    film = tmp_path / "film.mp4"
    assert main([str(tmp_path), "--output", str(film), "--fps", "10"]) == 0
    assert "3 predicts, 12 pictures, 1.2 s" in capsys.readouterr().out
    shown = decoded(film)
    assert [picture.shape for picture in shown] == [(FILM_SIZE[1], FILM_SIZE[0], 3)] * 3 * STEPS
    middle = ((FRAME_BOX[0] + FRAME_BOX[2]) // 2, (FRAME_BOX[1] + FRAME_BOX[3]) // 2)
    for index, picture in enumerate(shown):
        predict, step = divmod(index, STEPS)
        np.testing.assert_allclose(colour(picture, middle), (60 * (predict + 1), 100, 200), atol=12)
        for button in range(STEPS):
            expected = PRESSED if button == step else RELEASED
            np.testing.assert_allclose(
                colour(picture, on_pad(button_centre(BUTTONS[button]))), expected, atol=60, err_msg=f"{index}"
            )
        knob = on_pad(knob_centre("left", step / (STEPS - 1), 0))
        np.testing.assert_allclose(colour(picture, knob), STICK, atol=60)


def test_the_films_rate_is_the_one_asked_for(tmp_path: Path) -> None:
    record(tmp_path, 1)
    film = tmp_path / "film.mp4"
    assert main([str(tmp_path), "--output", str(film), "--fps", "12"]) == 0
    with av.open(str(film)) as container:
        assert container.streams.video[0].average_rate == 12


def test_one_clients_film_holds_only_its_predicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, client in enumerate(("one:1", "two:2", "one:1")):
        record(tmp_path, number, client)
    film = str(tmp_path / "film.mp4")
    assert main([str(tmp_path), "--client", "one:1", "--output", film]) == 0
    assert "2 predicts" in capsys.readouterr().out


def test_a_client_that_was_not_there_is_an_error_that_names_those_that_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path, 1, "one:1")
    assert main([str(tmp_path), "--client", "three"]) == 1
    assert capsys.readouterr().err == (
        "nitrogen-gateway render: there are no recordings of a client 'three', only of: one-1\n"
    )


def test_errors_are_shown_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path, 1, error="the image does not decode")
    film = tmp_path / "film.mp4"
    assert main([str(tmp_path), "--output", str(film)]) == 0
    assert len(decoded(film)) == ERROR_PICTURES


def test_a_torn_recording_is_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path, 1)
    torn = tmp_path / "20300101T000000.000000Z_tcp_one-1_ab-9.tar"
    torn.write_bytes(b"torn")
    assert main([str(tmp_path), "--output", str(tmp_path / "film.mp4")]) == 0
    said = capsys.readouterr()
    assert "1 predicts" in said.out
    assert torn.name in said.err


def test_nothing_but_torn_recordings_makes_no_film(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "20300101T000000.000000Z_tcp_one-1_ab-9.tar").write_bytes(b"torn")
    film = tmp_path / "film.mp4"
    film.write_bytes(b"an earlier one")
    assert main([str(tmp_path), "--output", str(film)]) == 1
    assert "none of the 1 recordings" in capsys.readouterr().err
    assert film.read_bytes() == b"an earlier one"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("folder", "sentence"), [("", "there are no recordings in"), ("missing", "is not a folder")]
)
def test_a_folder_without_recordings_is_one_sentence(
    tmp_path: Path, folder: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / folder)]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_an_output_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path, 1)
    assert main([str(tmp_path), "--output", str(tmp_path / "missing" / "film.mp4")]) == 1
    error = capsys.readouterr().err
    assert "cannot be written" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("fps", ["0", "-1", "fast", "1000"])
def test_a_wrong_rate_is_refused(tmp_path: Path, fps: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--fps", fps])
    assert "whole number from 1 to 240" in capsys.readouterr().err


WITHOUT_PYAV = """
import sys
sys.modules["av"] = None
from gateway.commands.render import main
sys.exit(main([sys.argv[1], "--output", sys.argv[2]]))
"""


def test_without_pyav_the_extra_is_named(tmp_path: Path) -> None:
    """In a process where importing `av` fails, as where it is not installed."""
    record(tmp_path, 1)
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYAV, str(tmp_path), str(tmp_path / "film.mp4")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1
    assert f"run {sys.executable} -m pip install '.[render]'" in ended.stderr
    assert "Traceback" not in ended.stderr
