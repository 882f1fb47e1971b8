"""The optional fields that both ports share."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RequestError
from gateway.protocol.messages import UNSET, RawFrame, Request
from gateway.protocol.options import Options, read_options


def test_absent_fields_keep_their_defaults() -> None:
    assert read_options({"type": "predict"}) == Options(seed=None, game=UNSET, timing=False, model=None)


@pytest.mark.parametrize("seed", [0, 1, 2**64, 2**4096 - 1])
def test_a_seed_is_an_integer_of_any_size_up_to_4096_bits(seed: int) -> None:
    assert read_options({"seed": seed}).seed == seed


def test_a_numpy_integer_is_a_seed_and_a_game() -> None:
    options = read_options({"seed": np.int64(7), "game": np.uint8(3)})
    assert (options.seed, options.game) == (7, 3)
    assert (type(options.seed), type(options.game)) == (int, int)


@pytest.mark.parametrize("seed", [-1, True, 1.0, "1", None, [1], {}, math.nan, 2**4096, np.float32(1), b"1"])
def test_anything_else_is_no_seed(seed: object) -> None:
    with pytest.raises(RequestError, match="seed must"):
        read_options({"seed": seed})


@pytest.mark.parametrize("game", [None, 0, 5, -3, "Super Metroid", ""])
def test_a_game_is_a_name_an_id_or_null(game: object) -> None:
    assert read_options({"game": game}).game == game


@pytest.mark.parametrize("game", [True, 1.5, [1], {}, b"x", ()])
def test_anything_else_is_no_game(game: object) -> None:
    with pytest.raises(RequestError, match="game must"):
        read_options({"game": game})


@pytest.mark.parametrize("timing", [True, False])
def test_timing_is_a_boolean(timing: bool) -> None:
    assert read_options({"timing": timing}).timing is timing


@pytest.mark.parametrize("timing", [None, 0, 1, "true", []])
def test_anything_else_is_no_timing(timing: object) -> None:
    with pytest.raises(RequestError, match="timing must"):
        read_options({"timing": timing})


@pytest.mark.parametrize("model", [None, "nitrogen", "", "no such model", "x" * 255])
def test_a_model_is_a_name_or_null(model: object) -> None:
    assert read_options({"model": model}).model == model


@pytest.mark.parametrize("model", [0, True, 1.5, [1], {}, b"nitrogen", ()])
def test_anything_else_is_no_model(model: object) -> None:
    with pytest.raises(RequestError, match="model must be a name"):
        read_options({"model": model})


def test_a_model_of_endless_length_is_refused() -> None:
    with pytest.raises(RequestError, match="at most 255 characters, not 256"):
        read_options({"model": "x" * 256})


def test_a_game_of_endless_length_is_refused() -> None:
    with pytest.raises(RequestError, match="at most 1000 characters, not 1001"):
        read_options({"game": "x" * 1001})


def test_a_request_has_the_options() -> None:
    options = Options(seed=1, game="Zelda", timing=True, model="nitrogen-fast")
    image = RawFrame(b"")
    assert options.request("predict", image) == Request("predict", image, 1, "Zelda", True, "nitrogen-fast")
    assert options.request("info") == Request("info", None, 1, "Zelda", True, "nitrogen-fast")


def test_errors_show_the_value_within_bounds() -> None:
    with pytest.raises(RequestError, match="-5"):
        read_options({"seed": -5})
    for value in ("é" * 100_000, -(10**1000), [["x"] * 1000] * 1000):
        with pytest.raises(RequestError) as caught:
            read_options({"seed": value})
        assert len(str(caught.value)) < 500


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["seed", "game", "timing", "model", "other"]), JSON))
def test_any_fields_give_options_or_a_request_error(fields: dict[str, object]) -> None:
    message = ""
    try:
        options = read_options(fields)
    except RequestError as error:
        message = str(error)
    else:
        assert options.seed is None or (type(options.seed) is int and options.seed >= 0)
        assert type(options.timing) is bool
        assert options.model is None or type(options.model) is str
    assert len(message) < 500
