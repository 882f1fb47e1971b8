"""Recordings: their files, films that can be seen, and an encoder that is slow or broken."""

import threading
from pathlib import Path

import av
import numpy as np
import pytest
from nitrogen_play.errors import RecordingError
from nitrogen_play.interfaces import Picture
from nitrogen_play.pad import BUTTONS, NEUTRAL, PadState
from nitrogen_play.recording.actions_file import RecordedStep, read_steps
from nitrogen_play.recording.films import Film, debug_picture
from nitrogen_play.recording.pad_picture import HEIGHT, WIDTH, pad_picture
from nitrogen_play.recording.recorder import Recorder, RecordingPaths, new_recording

PLAIN = np.full((224, 320, 3), (200, 40, 40), np.uint8)


def film_of(path: Path) -> list[tuple[float, Picture]]:
    """Seconds and picture of each of a film's pictures."""
    with av.open(str(path)) as container:
        pictures = list(container.decode(video=0))
    return [
        (picture.time or 0.0, np.asarray(picture.to_ndarray(format="rgb24"), np.uint8))
        for picture in pictures
    ]


def ignore(sentence: str) -> None:
    raise AssertionError(sentence)


def test_numbers_go_on_and_the_folder_is_named_by_the_checkpoint(tmp_path: Path) -> None:
    first = new_recording(tmp_path, "/models/ng.pt")
    (tmp_path / "ng" / "0007_DEBUG.mp4").touch()
    second = new_recording(tmp_path, r"C:\models\ng.pt")
    assert first.actions == tmp_path / "ng" / "0001_ACTIONS.jsonl"
    assert [path.name for path in (second.actions, second.debug, second.clean)] == [
        "0008_ACTIONS.jsonl",
        "0008_DEBUG.mp4",
        "0008_CLEAN.mp4",
    ]


@pytest.mark.parametrize("checkpoint", ["..", "", "/", "a/../..", "..\\..", "\0", "x" * 5000])
def test_a_servers_checkpoint_cannot_lead_out_of_the_folder(tmp_path: Path, checkpoint: str) -> None:
    folder = tmp_path / "out"
    paths = new_recording(folder, checkpoint)
    assert paths.actions.resolve().parent.parent == folder.resolve()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(RecordingError, match="cannot be made"):
        new_recording(tmp_path / "out", "ng.pt")


def test_films_show_each_picture_at_its_time_also_where_some_are_missing(tmp_path: Path) -> None:
    paths = new_recording(tmp_path, "ng.pt")
    recorder = Recorder(paths, 50.0, ignore, with_films=True)
    ticks = [0, 1, 2, 5, 9]
    for tick in ticks:
        assert recorder.add_picture(PLAIN + np.uint8(tick), NEUTRAL, tick, wait=True)
    recorder.add_step(RecordedStep(NEUTRAL, 0, 0, 0, 1))
    recorder.close()
    for path, shape in ((paths.clean, (224, 320, 3)), (paths.debug, (480, 686 + WIDTH, 3))):
        film = film_of(path)
        assert [picture.shape for _, picture in film] == [shape] * 5
        times = np.array([time for time, _ in film])
        np.testing.assert_allclose(times - times[0], np.array(ticks) / 50, atol=0.001)
        np.testing.assert_allclose(film[0][1][100, 100], (200, 40, 40), atol=12)
    assert len(read_steps(paths.actions)) == 1


def test_pictures_of_another_size_are_fitted_to_the_film(tmp_path: Path) -> None:
    film = Film(tmp_path / "film.mp4", 60.0)
    for tick, (height, width) in enumerate([(225, 321), (480, 640), (2, 2)]):
        film.add(np.full((height, width, 3), 128, np.uint8), tick)
    film.close()
    assert [picture.shape for _, picture in film_of(tmp_path / "film.mp4")] == [(224, 320, 3)] * 3


def test_a_film_names_the_game_and_its_ticks_per_second(tmp_path: Path) -> None:
    film = Film(tmp_path / "film.mp4", 59.92, "Airstriker, Genesis")
    film.add(PLAIN, 3)
    film.close()
    with av.open(str(tmp_path / "film.mp4")) as container:
        assert container.metadata["title"] == "Airstriker, Genesis"
        assert container.metadata["comment"] == "59.92 ticks per second, the first picture at tick 3"


def test_a_film_that_was_cut_short_can_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    film = Film(path, 50.0)
    for tick in range(250):
        film.add(PLAIN, tick)
    beginning = path.read_bytes()
    film.close()
    path.write_bytes(beginning)
    assert len(film_of(path)) >= 100


def test_a_picture_for_which_there_is_no_room_is_refused_and_steps_never_are(tmp_path: Path) -> None:
    paths = new_recording(tmp_path, "ng.pt")
    recorder = Recorder(paths, 60.0, ignore, with_films=True)
    taken = []
    for tick in range(200):
        taken.append(recorder.add_picture(PLAIN, NEUTRAL, tick, wait=False))
        recorder.add_step(RecordedStep(NEUTRAL, 0, tick, tick, 1))
    recorder.close()
    assert not all(taken)
    assert len(film_of(paths.clean)) == sum(taken)
    assert len(read_steps(paths.actions)) == 200


def assert_the_films_end_and_the_actions_go_on(paths: RecordingPaths, said: str) -> None:
    sentences: list[str] = []
    told = threading.Event()

    def report(sentence: str) -> None:
        sentences.append(sentence)
        told.set()

    recorder = Recorder(paths, 60.0, report, with_films=True)
    for tick in range(200):
        recorder.add_picture(PLAIN, NEUTRAL, tick, wait=True)
        recorder.add_step(RecordedStep(NEUTRAL, 0, tick, tick, 1))
    assert told.wait(60)
    assert not recorder.wants_pictures
    recorder.add_step(RecordedStep(NEUTRAL, 0, 200, 200, 1))
    recorder.close()
    assert len(sentences) == 1
    assert sentences[0].startswith("the films end here: ")
    assert said in sentences[0]
    assert len(read_steps(paths.actions)) == 201


@pytest.mark.timeout(120)
def test_a_film_that_cannot_be_written_ends_both_films_alone(tmp_path: Path) -> None:
    paths = new_recording(tmp_path, "ng.pt")
    broken = RecordingPaths(paths.actions, tmp_path / "missing" / "film.mp4", paths.clean)
    assert_the_films_end_and_the_actions_go_on(broken, "film.mp4 cannot be written")
    # The other one was closed: what it has can be seen.
    assert film_of(paths.clean)


@pytest.mark.timeout(120)
def test_an_encoder_that_is_not_there_ends_both_films_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nitrogen_play.recording.films._ENCODER", "no-such-encoder")
    paths = new_recording(tmp_path, "ng.pt")
    assert_the_films_end_and_the_actions_go_on(paths, "no-such-encoder")


@pytest.mark.timeout(120)
def test_an_actions_file_that_cannot_be_written_ends_the_recording_with_a_sentence(tmp_path: Path) -> None:
    paths = new_recording(tmp_path, "ng.pt")
    broken = RecordingPaths(tmp_path / "missing" / "actions.jsonl", paths.debug, paths.clean)
    said: list[str] = []
    recorder = Recorder(broken, 60.0, said.append, with_films=True)
    for tick in range(200):
        recorder.add_picture(PLAIN, NEUTRAL, tick, wait=True)
    recorder.close()
    assert len(said) == 1
    assert said[0].startswith("the recording ends here: ")


def test_without_films_only_actions_are_written(tmp_path: Path) -> None:
    paths = new_recording(tmp_path, "ng.pt")
    recorder = Recorder(paths, 60.0, ignore, with_films=False)
    assert not recorder.wants_pictures
    recorder.add_step(RecordedStep(NEUTRAL, 0, 0, 0, 1))
    recorder.close()
    assert [path.name for path in paths.actions.parent.iterdir()] == ["0001_ACTIONS.jsonl"]


@pytest.mark.parametrize("name", BUTTONS)
def test_each_button_shows_on_the_pad(name: str) -> None:
    held = pad_picture(PadState(frozenset({name}), (0, 0), (0, 0)), "")
    assert (held != pad_picture(NEUTRAL, "")).any()


def test_sticks_show_on_the_pad_where_they_point() -> None:
    def middle(left: tuple[int, int]) -> Picture:
        changed = (pad_picture(PadState(frozenset(), left, (0, 0)), "") != pad_picture(NEUTRAL, "")).any(
            axis=2
        )
        centre: Picture = np.argwhere(changed).mean(axis=0)
        return centre

    right_y, right_x = middle((32_767, 0))
    down_y, down_x = middle((0, 32_767))
    assert right_x > down_x
    assert down_y > right_y


def test_the_pad_stands_beside_the_picture() -> None:
    shown = debug_picture(PLAIN, NEUTRAL, "tick 7")
    assert shown.shape == (HEIGHT, 686 + WIDTH, 3)
    assert (shown[:, :686] == PLAIN[0, 0]).all()
