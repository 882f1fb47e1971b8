"""The clients against a server that behaves like the reference's, which knows pickles and nothing else."""

import nitrogen_client as client_package
import numpy as np
import PIL.Image
import pytest
from nitrogen_client.formats import QUESTION
from nitrogen_client.msgpack_format import encode as encode_msgpack
from nitrogen_client.pickle_format import encode
from numpy.typing import NDArray

from gateway.protocol.formats.formats import MSGPACK, PICKLE, MessageFormat
from gateway.protocol.messages import MemoryNoise
from tests.clients.client.background import Background, gateway_in
from tests.clients.client.kinds import KINDS, MakeClient, connected
from tests.pictures import image_file
from tests.stack import PickleClient, wait_until
from tests.stand_ins.reference_server import HORIZON, INFO, reference_server

ROWS = {
    "buttons": np.eye(21, dtype=np.float32)[:4],
    "j_left": np.full((4, 2), -0.5, np.float32),
    "j_right": np.arange(8, dtype=np.float32).reshape(4, 2) / 8,
}


def picture(height: int = 256, width: int = 256) -> NDArray[np.uint8]:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[0, 0] = (1, 2, 3)
    pixels[-1, -1] = (4, 5, 6)
    return pixels


@KINDS
@pytest.mark.parametrize("protocol", ["auto", "pickle"])
def test_everything_that_the_reference_can_works(kind: MakeClient, protocol: str) -> None:
    images = [picture(), PIL.Image.fromarray(picture(90, 160)), image_file(picture())]
    with reference_server() as server, connected(kind, server.port, protocol=protocol) as client:
        assert client.reset() is None
        assert client.info() == INFO
        for image, size in zip(images, [(256, 256), (90, 160), (256, 256)], strict=True):
            prediction = client.predict(image, timing=True)
            assert [array.shape for array in prediction.values()] == [
                (HORIZON, 2),
                (HORIZON, 2),
                (HORIZON, 21),
            ]
            assert all(array.dtype == np.float32 and array.flags.writeable for array in prediction.values())
            assert prediction["buttons"][0, :6].tolist() == [1, 2, 3, 4, 5, 6]
            assert np.round(prediction["j_left"][0] * 1000).tolist() == list(size)
            assert prediction.timing is None
        question = ["info"] if protocol == "auto" else []
        assert server.handled == [*question, "reset", "info", "predict", "predict", "predict"]
        assert not server.is_stuck


@KINDS
def test_grey_pixels_and_those_with_alpha_reach_it_as_rgb(kind: MakeClient) -> None:
    grey = picture()[:, :, 0]
    with_alpha = np.dstack([picture(), np.full((256, 256), 9, np.uint8)])
    with reference_server() as server, connected(kind, server.port) as client:
        for image, corners in (
            (grey, [1, 1, 1, 4, 4, 4]),
            (grey[:, :, np.newaxis], [1, 1, 1, 4, 4, 4]),
            (with_alpha, [1, 2, 3, 4, 5, 6]),
        ):
            assert client.predict(image)["buttons"][0, :6].tolist() == corners
        assert not server.is_stuck


def test_pixels_that_are_not_rgb_put_it_out_of_service() -> None:
    """Why the client makes them RGB."""
    with reference_server() as server, PickleClient(server.port) as client:
        client.send(type="predict", image=picture()[:, :, 0])
        wait_until(lambda: server.is_stuck, "the server is out of service")


@KINDS
def test_several_clients_take_turns_at_the_one_socket(kind: MakeClient) -> None:
    with (
        reference_server() as server,
        connected(kind, server.port) as one,
        connected(kind, server.port) as two,
    ):
        for client in (one, two, one, two):
            assert client.predict(picture())["buttons"][0, 5] == 6


@KINDS
@pytest.mark.parametrize(
    "option",
    [{"seed": 1}, {"game": None}, {"model": "nitrogen"}, {"noise": {"memory": 1}}, {"previous": ROWS}],
    ids=lambda option: next(iter(option)),
)
def test_what_it_would_ignore_is_refused(kind: MakeClient, option: dict[str, object]) -> None:
    (name,) = option
    with reference_server() as server, connected(kind, server.port) as client:
        with pytest.raises(client_package.UnsupportedError, match=f"would ignore {name}"):
            client.predict(picture(), **option)
        assert server.handled == ["info"]
        assert client.predict(picture(), tick=3).times_sent == 1


@KINDS
def test_a_file_that_it_would_not_resize_so_is_refused(kind: MakeClient) -> None:
    wide = image_file(picture(90, 160))
    with reference_server() as server, connected(kind, server.port) as client:
        for mode in (None, "pad", "crop"):
            with pytest.raises(client_package.UnsupportedError, match="160x90"):
                client.predict(wide, resize_mode=mode)
        stretched = client.predict(wide, resize_mode="stretch")
        assert np.round(stretched["j_left"][0] * 1000).tolist() == [90, 160]
        with pytest.raises(client_package.ImageError, match="not an image file"):
            client.predict(b"no picture")


def test_a_message_that_is_no_pickle_puts_it_out_of_service() -> None:
    """Why the client asks before it sends msgpack."""
    with (
        reference_server() as server,
        connected(client_package.ModelClient, server.port, protocol="msgpack") as client,
    ):
        with pytest.raises(client_package.ReplyTimeoutError):
            client.reset(timeout_s=0.3)
        assert server.is_stuck


def test_the_question_is_one_request_in_both_formats() -> None:
    requests = [form.decode_request(QUESTION) for form in (MSGPACK, PICKLE)]
    assert [(request.type, request.image, request.seed) for request in requests] == [("info", None, None)] * 2
    with reference_server() as server, PickleClient(server.port) as client:
        assert client.send_bytes(QUESTION) == {"status": "ok", "info": INFO}


@KINDS
@pytest.mark.parametrize(("takes_pickle", "protocol"), [(True, "auto"), (False, "auto"), (True, "pickle")])
def test_a_gateway_is_spoken_to_in_either_format(
    kind: MakeClient, loop: Background, takes_pickle: bool, protocol: str
) -> None:
    with (
        gateway_in(loop, pickle=takes_pickle) as gateway,
        connected(kind, gateway.port_numbers["zmq"], protocol=protocol) as client,
    ):
        assert client.reset() is None
        # Without Triton: it has read the image and the seed, and has nobody to ask.
        with pytest.raises(client_package.ModelUnavailableError):
            client.predict(picture(), seed=1)


@KINDS
def test_a_gateway_that_takes_no_pickles_says_so(kind: MakeClient, loop: Background) -> None:
    with (
        gateway_in(loop, pickle=False) as gateway,
        connected(kind, gateway.port_numbers["zmq"], protocol="pickle") as client,
        pytest.raises(client_package.ServerError, match="send msgpack"),
    ):
        client.reset()


@pytest.mark.parametrize("form", [MSGPACK, PICKLE], ids=["msgpack", "pickle"])
def test_rows_are_what_a_gateway_reads(form: MessageFormat) -> None:
    from nitrogen_client.images import read_image  # noqa: PLC0415
    from nitrogen_client.previous import previous_fields  # noqa: PLC0415

    fields = previous_fields(tick=7, previous=ROWS, delay=2)
    write = encode if form is PICKLE else encode_msgpack
    message = write({"type": "predict", "noise": {"memory": 0.5}, **fields}, read_image(picture()))
    request = form.decode_request(message)
    assert request.previous is not None
    assert (request.tick, request.noise, request.previous.delay) == (7, MemoryNoise(0.5), 2)
    for name, rows in ROWS.items():
        np.testing.assert_array_equal(getattr(request.previous, name), rows)


def test_pickled_pixels_are_what_a_gateway_reads() -> None:
    from nitrogen_client.images import read_image  # noqa: PLC0415

    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    request = PICKLE.decode_request(encode({"type": "predict", "seed": 2**70}, read_image(pixels[:, ::-1])))
    np.testing.assert_array_equal(request.image.rgb, pixels[:, ::-1])  # type: ignore[union-attr]
    assert request.seed == 2**70
