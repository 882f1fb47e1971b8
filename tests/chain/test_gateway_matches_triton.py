"""A request with a seed gets, on either port, what a direct call to the same Triton gives for that noise."""

import json
from collections.abc import Iterator

import PIL.Image
import pytest

from tests.chain.direct import DirectCalls
from tests.chain.replies import assert_same_bits, assert_same_decimals
from tests.noise import seeded_noise
from tests.pictures import decoded_by_cv2, image_file, picture, resized_by_cv2, stretched_by_pil
from tests.stack import JsonClient, PickleClient, Stack

TINY_HORIZON = 16
CONTEXT_HORIZON, CONTEXT = 18, 3
GAMES = [None, "Celeste", "Cuphead", "Hades", "Hollow Knight", "Nine Sols"]
SEEDS = [0, 1, 123456789, 2**70]
SIZES = [(240, 256), (224, 256), (448, 512), (37, 101), (1080, 1920), (256, 300)]


@pytest.fixture
def pickles(tiny_stack: Stack) -> Iterator[PickleClient]:
    with PickleClient(tiny_stack.zmq_port) as client:
        yield client


@pytest.fixture
def json_client(tiny_stack: Stack) -> Iterator[JsonClient]:
    with JsonClient(tiny_stack.tcp_port) as client:
        yield client


@pytest.mark.parametrize("seed", SEEDS)
def test_array_on_the_zmq_port_gets_the_models_bits(
    pickles: PickleClient, tiny_calls: DirectCalls, seed: int
) -> None:
    frame = picture(1)
    expected = tiny_calls.predict([frame], seeded_noise(seed, TINY_HORIZON))
    assert_same_bits(pickles.request(type="predict", image=frame, seed=seed), expected)


def test_pil_image_on_the_zmq_port_gets_the_models_bits(
    pickles: PickleClient, tiny_calls: DirectCalls
) -> None:
    frame = picture(2)
    expected = tiny_calls.predict([frame], seeded_noise(7, TINY_HORIZON))
    assert_same_bits(pickles.request(type="predict", image=PIL.Image.fromarray(frame), seed=7), expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_raw_frame_on_the_tcp_port_gets_the_models_actions(
    json_client: JsonClient, tiny_calls: DirectCalls, seed: int
) -> None:
    frame = picture(3)
    expected = tiny_calls.predict([frame], seeded_noise(seed, TINY_HORIZON))
    assert_same_decimals(json_client.request({"type": "predict", "seed": seed}, frame.tobytes()), expected)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_zmq_port_stretches_other_sizes_as_pil_does(
    pickles: PickleClient, tiny_calls: DirectCalls, height: int, width: int
) -> None:
    rgb = picture(4, height, width)
    expected = tiny_calls.predict([stretched_by_pil(rgb)], seeded_noise(4, TINY_HORIZON))
    assert_same_bits(pickles.request(type="predict", image=rgb, seed=4), expected)


@pytest.mark.parametrize("mode", ["pad", "crop", "stretch"])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_tcp_port_resizes_a_png_by_its_mode(
    json_client: JsonClient, tiny_calls: DirectCalls, height: int, width: int, mode: str
) -> None:
    rgb = picture(5, height, width)
    png = image_file(rgb)
    expected = tiny_calls.predict([resized_by_cv2(rgb, mode)], seeded_noise(5, TINY_HORIZON))
    header = {"type": "predict", "len": len(png), "resize_mode": mode, "seed": 5}
    assert_same_decimals(json_client.request(header, png), expected)


def test_tcp_port_decodes_a_jpeg_as_cv2_does(json_client: JsonClient, tiny_calls: DirectCalls) -> None:
    jpeg = image_file(picture(6), "JPEG")
    expected = tiny_calls.predict([decoded_by_cv2(jpeg)], seeded_noise(6, TINY_HORIZON))
    assert_same_decimals(
        json_client.request({"type": "predict", "len": len(jpeg), "seed": 6}, jpeg), expected
    )


def test_model_without_seed_gives_other_actions_each_time(pickles: PickleClient) -> None:
    replies = [pickles.request(type="predict", image=picture(1)) for _ in range(2)]
    first, second = (reply["pred"]["j_left"].tolist() for reply in replies)
    assert first != second


def test_zmq_port_remembers_the_last_frames(context_stack: Stack, context_calls: DirectCalls) -> None:
    frames = [picture(number) for number in range(5)]
    with PickleClient(context_stack.zmq_port) as client:
        for number, frame in enumerate(frames):
            seen = frames[: number + 1][-CONTEXT:]
            expected = context_calls.predict(seen, seeded_noise(number, CONTEXT_HORIZON), context=CONTEXT)
            assert_same_bits(client.request(type="predict", image=frame, seed=number), expected)


def test_tcp_port_remembers_the_last_frames(context_stack: Stack, context_calls: DirectCalls) -> None:
    frames = [picture(number) for number in range(5)]
    with JsonClient(context_stack.tcp_port) as client:
        for number, frame in enumerate(frames):
            seen = frames[: number + 1][-CONTEXT:]
            expected = context_calls.predict(seen, seeded_noise(number, CONTEXT_HORIZON), context=CONTEXT)
            reply = client.request({"type": "predict", "seed": number}, frame.tobytes())
            assert_same_decimals(reply, expected)


def test_zmq_reset_forgets_the_earlier_frames(context_stack: Stack, context_calls: DirectCalls) -> None:
    expected = context_calls.predict([picture(2)], seeded_noise(9, CONTEXT_HORIZON), context=CONTEXT)
    with PickleClient(context_stack.zmq_port) as client:
        client.request(type="predict", image=picture(1))
        assert client.request(type="reset") == {"status": "ok"}
        assert_same_bits(client.request(type="predict", image=picture(2), seed=9), expected)


def test_tcp_reset_forgets_the_earlier_frames(context_stack: Stack, context_calls: DirectCalls) -> None:
    expected = context_calls.predict([picture(2)], seeded_noise(9, CONTEXT_HORIZON), context=CONTEXT)
    with JsonClient(context_stack.tcp_port) as client:
        client.request({"type": "predict"}, picture(1).tobytes())
        assert client.request({"type": "reset"}) == {"status": "ok"}
        reply = client.request({"type": "predict", "seed": 9}, picture(2).tobytes())
        assert_same_decimals(reply, expected)


def test_a_frame_of_another_size_counts_in_the_context(
    context_stack: Stack, context_calls: DirectCalls
) -> None:
    """Decoding it takes a while, beside the event loop; the frame after it needs none."""
    small = picture(1, 224, 320)
    expected = context_calls.predict(
        [resized_by_cv2(small, "pad"), picture(2)], seeded_noise(3, CONTEXT_HORIZON), context=CONTEXT
    )
    png = image_file(small)
    with JsonClient(context_stack.tcp_port) as client:
        client.send({"type": "predict", "len": len(png)}, png)
        client.send({"type": "predict", "seed": 3}, picture(2).tobytes())
        client.line()
        assert_same_decimals(json.loads(client.line()), expected)


@pytest.mark.parametrize("game", [*GAMES, *range(len(GAMES))])
def test_zmq_port_takes_a_game_by_name_id_or_null(
    context_stack: Stack, context_calls: DirectCalls, game: str | int | None
) -> None:
    game_id = game if isinstance(game, int) else GAMES.index(game)
    noise = seeded_noise(11, CONTEXT_HORIZON)
    expected = context_calls.predict([picture(3)], noise, context=CONTEXT, game_id=game_id)
    with PickleClient(context_stack.zmq_port) as client:
        assert_same_bits(client.request(type="predict", image=picture(3), seed=11, game=game), expected)


@pytest.mark.parametrize("game", [*GAMES, *range(len(GAMES))])
def test_tcp_port_takes_a_game_by_name_id_or_null(
    context_stack: Stack, context_calls: DirectCalls, game: str | int | None
) -> None:
    game_id = game if isinstance(game, int) else GAMES.index(game)
    noise = seeded_noise(11, CONTEXT_HORIZON)
    expected = context_calls.predict([picture(3)], noise, context=CONTEXT, game_id=game_id)
    with JsonClient(context_stack.tcp_port) as client:
        reply = client.request({"type": "predict", "seed": 11, "game": game}, picture(3).tobytes())
        assert_same_decimals(reply, expected)


@pytest.mark.parametrize("game", ["Tetris", 6, -1])
def test_unknown_game_is_an_error_that_lists_the_games(context_stack: Stack, game: str | int) -> None:
    with JsonClient(context_stack.tcp_port) as client:
        reply = client.request({"type": "predict", "game": game}, picture(3).tobytes())
        assert reply["status"] == "error"
        assert [name for name in GAMES if name and name not in reply["message"]] == []


def test_game_for_a_model_without_games_is_an_error(pickles: PickleClient) -> None:
    reply = pickles.request(type="predict", image=picture(3), game="Celeste")
    assert reply["status"] == "error"
    assert "no games" in reply["message"]
