"""The Python clients' requests, against the real gateway and a Triton whose model tells what it was given."""

import pickle
from collections.abc import Iterator
from typing import Any

import nitrogen_client as client_package
import numpy as np
import PIL.Image
import pytest
from nitrogen_client import ModelClient

from gateway.server import Gateway
from tests.clients.client.background import Background, gateway_in
from tests.clients.client.kinds import KINDS, MakeClient, connected
from tests.pictures import image_file
from tests.stand_ins.timed_answers import (
    first_noise,
    frame,
    frames_seen,
    game_id,
    newest_first_byte,
    noise_of,
)
from tests.stand_ins.timed_triton import HORIZON, INFINITE, NEVER, RAISE


@pytest.fixture
def client(kind: MakeClient, gateway: Gateway) -> Iterator[Any]:
    with connected(kind, gateway.port_numbers["zmq"]) as made:
        yield made


@KINDS
@pytest.mark.parametrize(
    "image",
    [
        frame(40),
        frame(40, 90, 160),
        frame(40)[:, :, 0].copy(),
        frame(40)[:, :, :1],
        np.dstack([frame(40), np.zeros((256, 256), np.uint8)]),
        frame(40, 300, 400)[::2, ::-1],
        PIL.Image.fromarray(frame(40)),
        PIL.Image.fromarray(frame(40, 20, 30)).convert("RGBA"),
        PIL.Image.fromarray(frame(40)).convert("L"),
        PIL.Image.fromarray(frame(40)).quantize(2),
        image_file(frame(40)),
        bytearray(image_file(frame(40, 64, 64))),
        memoryview(image_file(frame(40))),
    ],
    ids=lambda image: f"{type(image).__name__}-{getattr(image, 'shape', getattr(image, 'mode', ''))}",
)
def test_every_kind_of_image_is_answered_with_the_references_dict(client: Any, image: object) -> None:  # noqa: ANN401
    prediction = client.predict(image)
    assert list(prediction) == ["j_left", "j_right", "buttons"]
    assert [array.shape for array in prediction.values()] == [(HORIZON, 2), (HORIZON, 2), (HORIZON, 21)]
    assert {array.dtype for array in prediction.values()} == {np.dtype(np.float32)}
    assert all(array.flags.writeable for array in prediction.values())
    assert newest_first_byte(prediction) == 40


@KINDS
def test_a_files_resize_mode_is_the_callers(client: Any) -> None:  # noqa: ANN401
    wide = frame(200, 20, 40)
    assert newest_first_byte(client.predict(image_file(wide))) == 0  # a black bar above
    assert newest_first_byte(client.predict(image_file(wide), resize_mode="crop")) == 200
    assert newest_first_byte(client.predict(image_file(wide), resize_mode="stretch")) == 200


@KINDS
@pytest.mark.parametrize(
    "image",
    [
        frame().astype(np.float32),
        frame()[0, 0],
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.array([[{}]], dtype=object),
        PIL.Image.new("F", (4, 4)),
        b"",
        "frame.png",
        None,
    ],
    ids=["float", "one row", "two channels", "empty", "objects", "mode F", "no bytes", "text", "nothing"],
)
def test_what_is_no_image_is_refused_before_it_is_sent(client: Any, image: object) -> None:  # noqa: ANN401
    with pytest.raises(client_package.ImageError) as raised:
        client.predict(image)
    assert isinstance(raised.value, ValueError)
    assert client.predict(frame()).times_sent == 1


@KINDS
def test_reset_empties_the_frame_context_and_returns_nothing(client: Any) -> None:  # noqa: ANN401
    assert [frames_seen(client.predict(frame(i))) for i in (1, 2, 3, 4)] == [1, 2, 3, 3]
    assert client.reset() is None
    prediction = client.predict(frame(9))
    assert (frames_seen(prediction), newest_first_byte(prediction)) == (1, 9)


@KINDS
def test_info_is_the_dict_that_play_reads(client: Any) -> None:  # noqa: ANN401
    info = client.info()
    assert info["action_downsample_ratio"] == 1
    assert isinstance(info["ckpt_path"], str)
    assert info["selected_game"] == "game 5"
    assert set(info["models"]) == {"nitrogen", "other"}


@KINDS
def test_the_same_seed_gives_the_same_noise(kind: MakeClient, gateway: Gateway) -> None:
    with connected(kind, gateway.port_numbers["zmq"], seed=11) as client:
        assert noise_of(client.predict(frame())) == pytest.approx(first_noise(11))
        assert noise_of(client.predict(frame(), seed=np.int64(12))) == pytest.approx(first_noise(12))
        assert len({noise_of(client.predict(frame(), seed=None)) for _ in range(6)}) > 1
        assert noise_of(client.predict(frame())) == pytest.approx(first_noise(11))


@KINDS
def test_noise_is_the_calls_or_the_clients(kind: MakeClient, gateway: Gateway) -> None:
    with connected(kind, gateway.port_numbers["zmq"], noise={"memory": 1}) as client:
        kept = noise_of(client.predict(frame()))
        assert noise_of(client.predict(frame())) == kept
        assert len({noise_of(client.predict(frame(), noise="fresh")) for _ in range(6)}) > 1
        assert noise_of(client.predict(frame())) == kept
        client.reset()
        assert len({kept, *(noise_of(client.predict(frame(), noise={"memory": 0})) for _ in range(6))}) > 1
        of_tick = noise_of(client.predict(frame(), noise={"tick": np.int64(7)}))
        assert noise_of(client.predict(frame(), noise={"tick": 7})) == of_tick


@KINDS
def test_no_rows_are_as_good_as_none(client: Any) -> None:  # noqa: ANN401
    none = {"buttons": [], "j_left": np.zeros((0, 2)), "j_right": ()}
    assert frames_seen(client.predict(frame(), previous=none, delay=3)) == 1


@KINDS
def test_the_game_is_the_calls_or_the_clients_or_the_servers(kind: MakeClient, gateway: Gateway) -> None:
    with connected(kind, gateway.port_numbers["zmq"]) as client:
        assert game_id(client.predict(frame())) == 5
        assert game_id(client.predict(frame(), game="game 2")) == 2
        assert game_id(client.predict(frame(), game=3)) == 3
        assert game_id(client.predict(frame(), game=None)) == 0
    with connected(kind, gateway.port_numbers["zmq"], game="game 4") as client:
        assert game_id(client.predict(frame())) == 4
        assert game_id(client.predict(frame(), game=None)) == 0
        assert game_id(client.predict(frame(), game=client_package.UNSET)) == 4


@KINDS
def test_the_model_is_the_calls_or_the_clients(kind: MakeClient, gateway: Gateway) -> None:
    with connected(kind, gateway.port_numbers["zmq"], model="other") as client:
        assert client.info()["model"] == "other"
        assert client.info(model=None)["model"] == "nitrogen"
        assert [frames_seen(client.predict(frame())) for _ in range(2)] == [1, 2]
        # Another model begins a fresh context.
        assert frames_seen(client.predict(frame(), model="nitrogen")) == 1


@KINDS
def test_timing_tells_the_servers_share_and_the_networks(kind: MakeClient, gateway: Gateway) -> None:
    with connected(kind, gateway.port_numbers["zmq"], timing=True) as client:
        prediction = client.predict(frame(), game=10)
        assert prediction.timing.infer_ms > 90
        assert prediction.timing.total_ms >= prediction.timing.infer_ms
        assert prediction.round_trip_s * 1000 > prediction.timing.total_ms
        assert prediction.network_s == pytest.approx(
            prediction.round_trip_s - prediction.timing.total_ms / 1000
        )
        without = client.predict(frame(), timing=False)
        assert without.timing is None
        assert without.network_s is None


@KINDS
@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"game": "Tetris"}, "BadRequestError", "the games are: 0 "),
        ({"game": 5000}, "BadRequestError", "is unknown"),
        ({"model": "nobody"}, "BadRequestError", "the models are: "),
        ({"game": INFINITE}, "ModelUnavailableError", "not finite"),
        ({"game": RAISE}, "ModelUnavailableError", "the model was told to raise"),
        ({"game": NEVER}, "ModelTooSlowError", "no answer within 2 s"),
    ],
    ids=str,
)
def test_a_servers_error_has_a_class_for_its_cause(
    client: Any,  # noqa: ANN401
    options: dict[str, Any],
    error: str,
    says: str,
) -> None:
    with pytest.raises(getattr(client_package, error), match=f"^Server error: .*{says}") as raised:
        client.predict(frame(), **options)
    assert isinstance(raised.value, RuntimeError)
    assert says in raised.value.server_message
    assert client.predict(frame()).times_sent == 1


@KINDS
def test_bytes_that_are_no_image_file_are_a_bad_request(client: Any) -> None:  # noqa: ANN401
    with pytest.raises(client_package.BadRequestError):
        client.predict(b"no picture")


@KINDS
def test_a_triton_that_is_not_there_is_told_apart(kind: MakeClient, loop: Background) -> None:
    with gateway_in(loop) as lone, connected(kind, lone.port_numbers["zmq"]) as client:
        client.reset()
        with pytest.raises(client_package.ModelUnavailableError, match="check that it runs there"):
            client.predict(frame())


def test_predictions_and_errors_go_through_pickle(gateway: Gateway) -> None:
    with connected(ModelClient, gateway.port_numbers["zmq"]) as player:
        prediction = player.predict(frame(), timing=True)
        with pytest.raises(client_package.BadRequestError) as raised:
            player.predict(frame(), game="Tetris")
    copy = pickle.loads(pickle.dumps(prediction))
    assert copy.timing == prediction.timing
    np.testing.assert_array_equal(copy["buttons"], prediction["buttons"])
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)
