"""`--record` on a running gateway, from the request to the film."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from gateway.commands.render import main
from gateway.telemetry.recording_format import RecordedPredict, is_recording, read_recording
from tests.gateways import GatewayProcess, gateway_process
from tests.pictures import image_file, picture, resized_by_cv2
from tests.stack import JsonClient, PickleClient, Stack, wait_until


@pytest.fixture
def recording(tiny_stack: Stack, tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway that records into `tmp_path`/recordings."""
    flags = (f"--record={tmp_path / 'recordings'}",)
    with gateway_process(tiny_stack.triton_endpoint, *flags) as ports:
        yield ports


def recorded(folder: Path, count: int) -> list[RecordedPredict]:
    """Return the recordings, the oldest first, once there are `count`."""
    wait_until(lambda: sum(is_recording(path.name) for path in folder.iterdir()) == count, "they are written")
    return [read_recording(path) for path in sorted(folder.iterdir())]


def test_both_ports_predicts_are_recorded_with_frame_and_reply(
    recording: GatewayProcess, tmp_path: Path
) -> None:
    large = picture(2, 240, 320)
    with PickleClient(recording.zmq) as client:
        pickled = client.request(type="predict", image=picture(1), seed=7)
        client.request(type="info")
    with JsonClient(recording.tcp) as client:
        png = image_file(large)
        client.request({"type": "predict", "len": len(png), "resize_mode": "crop"}, png)
        client.request({"type": "predict", "len": 9}, b"no image!")
    one, two, three = recorded(tmp_path / "recordings", 3)
    assert one.frame is not None
    np.testing.assert_array_equal(one.frame, picture(1))
    assert one.chunk is not None
    np.testing.assert_array_equal(one.chunk.buttons, pickled["pred"]["buttons"])
    np.testing.assert_array_equal(one.chunk.j_left, pickled["pred"]["j_left"])
    assert (one.fields["port"], one.fields["seed"]) == ("zmq", 7)
    assert two.frame is not None
    np.testing.assert_array_equal(two.frame, resized_by_cv2(large, "crop"))
    assert (two.fields["port"], two.fields["image"]) == ("tcp", "image.png")
    assert three.frame is None
    assert "do not decode" in str(three.error)


def test_a_recording_becomes_a_film(recording: GatewayProcess, tmp_path: Path) -> None:
    with JsonClient(recording.tcp) as client:
        for number in range(3):
            client.request({"type": "predict"}, picture(number).tobytes())
    recorded(tmp_path / "recordings", 3)
    film = tmp_path / "film.mp4"
    assert main([str(tmp_path / "recordings"), "--output", str(film)]) == 0
    with av.open(str(film)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 3 * 16
