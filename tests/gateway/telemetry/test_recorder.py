"""Recordings: what a file holds, how it is named, and that the folder stays below its limit."""

import contextlib
import json
import logging
import os
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from contract.tensors import FRAME_BYTES
from gateway.errors import StartError
from gateway.protocol.messages import (
    ActionChunk,
    Image,
    ImageFile,
    MemoryNoise,
    Pixels,
    Previous,
    RawFrame,
    Reply,
    Request,
    TickNoise,
)
from gateway.telemetry.kept_recordings import KeptRecordings
from gateway.telemetry.metrics import RecordingCounts
from gateway.telemetry.recorder import Recorder
from gateway.telemetry.recording_format import (
    Exchange,
    RecordingError,
    client_of,
    is_recording,
    pack,
    read_recording,
    recording_name,
)
from tests.patience import WITHIN_S
from tests.stack import wait_until

BEGAN = 1_795_357_654.5
HORIZON = 18
FRAME = np.random.default_rng(1).integers(0, 256, FRAME_BYTES, np.uint8).tobytes()
LIMIT = 100 * 2**20


def chunk() -> ActionChunk:
    random = np.random.default_rng(2)
    sticks = random.uniform(-1, 1, (2, HORIZON, 2)).astype(np.float32)
    return ActionChunk(sticks[0], sticks[1], random.integers(0, 2, (HORIZON, 21)).astype(np.float32))


def exchange(
    image: Image | None = None,
    *,
    number: int = 0,
    client: str = "192.168.1.20:51123",
    frame: bytes | None = FRAME,
    reply: Reply | None = None,
    **options: Any,  # noqa: ANN401 - a request's own
) -> Exchange:
    request = Request("predict", RawFrame(FRAME) if image is None else image, **options)
    answer = Reply(chunk=chunk()) if reply is None else reply
    return Exchange(BEGAN + number, "tcp", client, f"3fa9c1-{number:x}", request, frame, answer, 0.0123)


def write(folder: Path, what: Exchange) -> Path:
    KeptRecordings(folder, LIMIT).write(recording_name(what), pack(what))
    return folder / recording_name(what)


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def total_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def png() -> bytes:
    return cv2.imencode(".png", np.zeros((240, 256, 3), np.uint8))[1].tobytes()


def test_a_recording_is_named_by_time_and_client(tmp_path: Path) -> None:
    path = write(tmp_path, exchange())
    assert path.name == "20261122T142734.500000Z_tcp_192.168.1.20-51123_3fa9c1-0.tar"


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    expected = chunk()
    read = read_recording(write(tmp_path, exchange()))
    assert read.client == "192.168.1.20:51123"
    assert read.began.timestamp() == BEGAN
    assert read.error is None
    assert read.frame is not None
    assert read.frame.tobytes() == FRAME
    assert read.chunk is not None
    for name in ("j_left", "j_right", "buttons"):
        np.testing.assert_array_equal(getattr(read.chunk, name), getattr(expected, name))


def test_the_parameters_are_plain_json(tmp_path: Path) -> None:
    what = exchange(
        ImageFile(png(), "crop"), seed=2**200, game="game \ud800", model="fast", timing=True, tick=7
    )
    fields = json.loads(members(write(tmp_path, what))["predict.json"])
    assert fields["seed"] == 2**200
    assert (fields["tick"], fields["episode"]) == (7, 0)
    assert fields["game"] == "game \ud800"
    assert fields["model"] == "fast"
    assert fields["resize_mode"] == "crop"
    assert fields["request_id"] == "3fa9c1-0"
    assert fields["total_ms"] == 12.3
    assert len(fields["reply"]["pred"]["buttons"]) == HORIZON


def test_noise_tick_and_previous_rows_are_as_a_request_has_them(tmp_path: Path) -> None:
    rows = np.full((2, 21), 1, np.float32), np.full((2, 2), 0.5, np.float32), np.full((2, 2), -1, np.float32)
    steered = exchange(noise=MemoryNoise(0.9), tick=120, previous=Previous(*rows, delay=1))
    fields = json.loads(members(write(tmp_path, steered))["predict.json"])
    assert (fields["noise"], fields["tick"], fields["delay"]) == ({"memory": 0.9}, 120, 1)
    assert fields["previous"] == {
        "buttons": [[1] * 21] * 2,
        "j_left": [[0.5, 0.5]] * 2,
        "j_right": [[-1, -1]] * 2,
    }
    by_tick = json.loads(
        members(write(tmp_path, exchange(number=1, noise=TickNoise(7), tick=7)))["predict.json"]
    )
    assert (by_tick["noise"], by_tick["tick"]) == ({"tick": 7}, 7)
    plain = json.loads(members(write(tmp_path, exchange(number=2)))["predict.json"])
    assert (plain["noise"], plain["tick"]) == ("fresh", None)
    assert "previous" not in plain


def test_an_error_is_recorded_with_its_message(tmp_path: Path) -> None:
    what = exchange(ImageFile(b"no image"), frame=None, reply=Reply(error="the image does not decode"))
    path = write(tmp_path, what)
    read = read_recording(path)
    assert (read.error, read.frame, read.chunk) == ("the image does not decode", None, None)
    assert members(path)["image.bin"] == b"no image"


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_an_image_file_is_kept_as_it_came(tmp_path: Path, suffix: str) -> None:
    data = cv2.imencode(f".{suffix}", np.zeros((240, 256, 3), np.uint8))[1].tobytes()
    assert members(write(tmp_path, exchange(ImageFile(data))))[f"image.{suffix}"] == data


@pytest.mark.parametrize("step", [1, 2])
def test_pixels_are_kept_as_a_picture(tmp_path: Path, step: int) -> None:
    rgb = np.random.default_rng(3).integers(0, 256, (30, 40, 3), np.uint8)[::step, ::step]
    picture = members(write(tmp_path, exchange(Pixels(rgb))))["image.ppm"]
    decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), rgb)


@pytest.mark.parametrize(
    "image",
    [
        RawFrame(FRAME),
        ImageFile(b"\0" + FRAME[1:]),
        Pixels(np.frombuffer(FRAME, np.uint8).reshape(256, 256, 3)),
    ],
)
def test_an_image_that_was_the_frame_is_kept_once(tmp_path: Path, image: Image) -> None:
    found = members(write(tmp_path, exchange(image)))
    assert set(found) == {"predict.json", "frame.ppm"}
    assert json.loads(found["predict.json"])["image"] == "frame.ppm"


@given(st.text(st.characters(exclude_categories=())), st.floats(0, 4e9))
def test_any_clients_name_makes_a_safe_name(client: str, began: float) -> None:
    what = Exchange(began, "zmq", client, "ab-1", Request("predict"), None, Reply(error="no"), 0.1)
    name = recording_name(what)
    assert is_recording(name)
    assert len(name) < 200
    assert "/" not in name
    assert not name.startswith(".")
    assert json.loads(pack(what)[1])["client"] == client


def test_the_client_is_read_from_the_name() -> None:
    assert client_of(recording_name(exchange(client="../../etc/passwd"))) == "..-..-etc-passwd"


@pytest.mark.parametrize("part", [0, 1, 5, 700, 2000, 100_000])
def test_a_torn_file_is_no_recording(tmp_path: Path, part: int) -> None:
    path = write(tmp_path, exchange())
    path.write_bytes(path.read_bytes()[:part])
    with pytest.raises(RecordingError, match=path.name):
        read_recording(path)


@given(st.binary(max_size=2000), st.integers(0, 20_000))
def test_garbled_files_are_recordings_or_refused(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
) -> None:
    path = tmp_path_factory.mktemp("garbled") / recording_name(exchange())
    whole = b"".join(pack(exchange()))
    path.write_bytes(whole[:at] + noise + whole[at + len(noise) :])
    with contextlib.suppress(RecordingError):
        read_recording(path)


# Recorder


def test_what_is_recorded_is_written(tmp_path: Path) -> None:
    counts = RecordingCounts()
    recorder = Recorder(tmp_path / "new", LIMIT, counts)
    for number in range(20):
        recorder.record(exchange(number=number))
    recorder.close()
    assert len(names(tmp_path / "new")) == 20
    assert (counts.written, counts.dropped, counts.failed) == (20, 0, 0)
    assert counts.written_bytes == counts.kept_bytes == total_bytes(tmp_path / "new")


def test_the_oldest_go_first(tmp_path: Path) -> None:
    size = sum(len(part) for part in pack(exchange()))
    limit = 8 * size
    recorder = Recorder(tmp_path, limit, RecordingCounts())
    for number in range(30):
        recorder.record(exchange(number=number))
    recorder.close()
    kept = names(tmp_path)
    assert total_bytes(tmp_path) <= limit
    assert len(kept) >= 6
    assert kept == [recording_name(exchange(number=number)) for number in range(30 - len(kept), 30)]


def test_recordings_of_earlier_starts_count(tmp_path: Path) -> None:
    size = sum(len(part) for part in pack(exchange()))
    for start in range(5):
        recorder = Recorder(tmp_path, 8 * size, RecordingCounts())
        for number in range(4):
            recorder.record(exchange(number=4 * start + number))
        recorder.close()
        assert total_bytes(tmp_path) <= 8 * size
    assert names(tmp_path)[-1] == recording_name(exchange(number=19))


def test_a_lower_limit_counts_from_the_start(tmp_path: Path) -> None:
    size = sum(len(part) for part in pack(exchange()))
    first = Recorder(tmp_path, 100 * size, RecordingCounts())
    for number in range(20):
        first.record(exchange(number=number))
    first.close()
    counts = RecordingCounts()
    Recorder(tmp_path, 8 * size, counts).close()
    assert counts.kept_bytes == total_bytes(tmp_path) <= 8 * size


def test_several_writers_stay_below_the_limit_together(tmp_path: Path) -> None:
    size = sum(len(part) for part in pack(exchange()))
    limit = 64 * size
    kept = [KeptRecordings(tmp_path, limit, writers=4) for _ in range(4)]
    largest = 0
    for number in range(200):
        what = exchange(number=number)
        kept[number % 4].write(recording_name(what), pack(what))
        largest = max(largest, total_bytes(tmp_path))
    assert 0.8 * limit < largest <= limit


def test_other_files_are_not_touched(tmp_path: Path) -> None:
    size = sum(len(part) for part in pack(exchange()))
    others = ["notes.txt", "20200101T000000.000000Z.tar", "backup.tar", ".hidden.part", "a_tcp_b_c.tar"]
    for name in others:
        (tmp_path / name).write_bytes(bytes(20 * size))
    recorder = Recorder(tmp_path, 8 * size, RecordingCounts())
    for number in range(20):
        recorder.record(exchange(number=number))
    recorder.close()
    assert set(others) < set(names(tmp_path))
    assert len(names(tmp_path)) > len(others)


def test_what_a_killed_gateway_left_half_written_goes(tmp_path: Path) -> None:
    left = tmp_path / f".{recording_name(exchange())}.part"
    left.write_bytes(b"half")
    os.utime(left, (BEGAN - 10**9, BEGAN - 10**9))
    Recorder(tmp_path, LIMIT, RecordingCounts()).close()
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", [".{name}.part", "{name}"])
@pytest.mark.parametrize("kind", ["folder", "link to nowhere", "link to a folder"])
def test_what_has_a_recordings_name_and_is_none_keeps_nobody_from_recording(
    tmp_path: Path, name: str, kind: str
) -> None:
    kept = KeptRecordings(tmp_path, LIMIT)
    path = tmp_path / name.format(name=recording_name(exchange(number=-10_000)))
    if kind == "folder":
        path.mkdir()
        (path / "file").write_bytes(b"somebody's")
    else:
        path.symlink_to(tmp_path if kind == "link to a folder" else tmp_path / "nowhere")
    os.utime(path, (BEGAN - 10_000, BEGAN - 10_000), follow_symlinks=False)
    kept.write(recording_name(exchange()), pack(exchange()))
    kept.make_room(LIMIT)
    assert path.is_symlink() or (path / "file").exists()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_recording_that_cannot_be_removed_costs_its_space_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stuck, other = (tmp_path / recording_name(exchange(number=n)) for n in range(2))
    for path in (stuck, other):
        path.write_bytes(bytes(1000))
    # Not even root removes a file that something is mounted on.
    subprocess.run(["mount", "--bind", stuck, stuck], check=True)
    try:
        kept = KeptRecordings(tmp_path, 3000)
        kept.make_room(2000)
        assert stuck.exists()
        assert not other.exists()
        assert "cannot be removed" in caplog.text
        with pytest.raises(OSError, match="the recordings there have 1000 bytes and cannot be removed"):
            kept.make_room(2500)
    finally:
        subprocess.run(["umount", stuck], check=True)


def test_what_another_gateway_is_writing_stays(tmp_path: Path) -> None:
    under_way = tmp_path / f".{recording_name(exchange())}.part"
    under_way.write_bytes(b"half")
    Recorder(tmp_path, LIMIT, RecordingCounts()).close()
    assert names(tmp_path) == [under_way.name]


def test_a_deleted_folder_is_made_again(tmp_path: Path) -> None:
    counts = RecordingCounts()
    folder = tmp_path / "deleted"
    recorder = Recorder(folder, LIMIT, counts)
    recorder.record(exchange(number=1))
    wait_until(lambda: counts.written == 1, "the first is written")
    for name in names(folder):
        (folder / name).unlink()
    folder.rmdir()
    recorder.record(exchange(number=2))
    recorder.close()
    assert names(folder) == [recording_name(exchange(number=2))]


def test_a_folder_that_became_a_file_costs_recordings_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counts = RecordingCounts()
    folder = tmp_path / "folder"
    recorder = Recorder(folder, LIMIT, counts)
    recorder.record(exchange(number=1))
    wait_until(lambda: counts.written == 1, "the first is written")
    folder.rename(tmp_path / "elsewhere")
    folder.write_text("a file")
    with caplog.at_level(logging.WARNING):
        recorder.record(exchange(number=2))
        recorder.close()
    assert (counts.written, counts.failed) == (1, 1)
    assert f"a request could not be recorded in {folder}" in caplog.text


def test_one_larger_than_the_limit_is_not_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    counts = RecordingCounts()
    recorder = Recorder(tmp_path, 100_000, counts)
    with caplog.at_level(logging.WARNING):
        recorder.record(exchange())
        recorder.close()
    assert counts.failed == 1
    assert names(tmp_path) == []
    assert "more than all recordings together may have" in caplog.text


def test_what_is_too_much_at_once_is_dropped_without_waiting(tmp_path: Path) -> None:
    counts = RecordingCounts()
    blocked, go_on = threading.Event(), threading.Event()
    recorder = Recorder(tmp_path, LIMIT, counts)
    recorder.record(exchange(_stopping_pixels(blocked, go_on), number=0))
    assert blocked.wait(WITHIN_S)
    for number in range(1, 600):
        recorder.record(exchange(number=number, frame=None))
    assert counts.dropped > 0
    go_on.set()
    recorder.close(30)
    assert counts.written + counts.dropped == 600
    assert len(names(tmp_path)) == counts.written


def test_what_waits_is_bounded_in_bytes(tmp_path: Path) -> None:
    counts = RecordingCounts()
    blocked, go_on = threading.Event(), threading.Event()
    recorder = Recorder(tmp_path, LIMIT, counts)
    recorder.record(exchange(_stopping_pixels(blocked, go_on), number=0))
    assert blocked.wait(WITHIN_S)
    large = ImageFile(bytes(20 * 2**20))
    for number in range(1, 6):
        recorder.record(exchange(large, number=number))
    assert counts.dropped == 2
    go_on.set()
    recorder.close(30)


def test_closing_waits_no_longer_than_told(tmp_path: Path) -> None:
    counts = RecordingCounts()
    blocked, go_on = threading.Event(), threading.Event()
    recorder = Recorder(tmp_path, LIMIT, counts)
    recorder.record(exchange(_stopping_pixels(blocked, go_on), number=0))
    recorder.record(exchange(number=1))
    assert blocked.wait(WITHIN_S)
    recorder.close(0.1)
    assert counts.dropped == 2
    recorder.record(exchange(number=2))
    assert counts.dropped == 3
    go_on.set()


def _stopping_pixels(blocked: threading.Event, go_on: threading.Event) -> Pixels:
    """Pixels that stop the thread which writes them until it may go on, as a slow disk would."""

    class Slow:
        nbytes = 12

        @property
        def shape(self) -> tuple[int, int, int]:
            blocked.set()
            go_on.wait(30)
            return (2, 2, 3)

        def __array__(self, *_: object, **__: object) -> NDArray[np.uint8]:
            return np.zeros((2, 2, 3), np.uint8)

    return Pixels(Slow())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["file/below", "file"])
def test_a_folder_that_cannot_be_made_stops_the_start(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="--record is"):
        Recorder(tmp_path / name, LIMIT, RecordingCounts())


FULL_DISK = """
import sys
from pathlib import Path
sys.path.insert(0, ".")
import resource, signal
from tests.gateway.telemetry.test_recorder import exchange, RecordingCounts, Recorder, LIMIT
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
counts = RecordingCounts()
recorder = Recorder(Path(sys.argv[1]), LIMIT, counts)
for number in range(5):
    recorder.record(exchange(number=number))
recorder.close()
print(counts.written, counts.failed)
"""


def test_a_full_disk_leaves_no_half_recording(tmp_path: Path) -> None:
    """A limit on a file's size: the kernel then writes a part and refuses the rest, as a full disk does."""
    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ended.stdout.split() == ["0", "5"]
    assert "the disk is full" in ended.stderr
    assert names(tmp_path) == []
