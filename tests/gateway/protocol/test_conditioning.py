"""The rows that a chunk has to fit, as the model's inputs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RequestError
from gateway.protocol.conditioning import conditioning_on
from gateway.protocol.messages import Previous

HORIZON = 18


def rows(count: int, delay: int = 0) -> Previous:
    rng = np.random.default_rng(count)
    return Previous(
        buttons=rng.integers(0, 2, (count, 21)).astype(np.float32),
        j_left=rng.uniform(-1, 1, (count, 2)).astype(np.float32),
        j_right=rng.uniform(-1, 1, (count, 2)).astype(np.float32),
        delay=delay,
    )


@pytest.mark.parametrize("old_layout", [False, True])
@pytest.mark.parametrize("count", [1, 5, HORIZON])
def test_decoding_the_rows_gives_what_was_sent(count: int, old_layout: bool) -> None:
    previous = rows(count)

    raw = conditioning_on(previous, HORIZON, old_layout=old_layout).previous

    left, right, buttons = (
        (raw[:, :2], raw[:, 2:4], raw[:, 4:]) if old_layout else (raw[:, -4:-2], raw[:, -2:], raw[:, :-4])
    )
    np.testing.assert_array_equal(buttons[:count], previous.buttons)
    np.testing.assert_allclose(left[:count] * 2 - 1, previous.j_left, atol=1e-6)
    np.testing.assert_allclose(right[:count] * 2 - 1, previous.j_right, atol=1e-6)
    assert raw.shape == (HORIZON, 25)
    assert raw.dtype == np.float32
    assert not raw[count:].any()


def share(c: float) -> float:
    return c * (math.e**c - 1) / (math.e - 1)


THIRD, TWO_THIRDS = share(1 / 3), share(2 / 3)


@pytest.mark.parametrize(
    ("count", "delay", "weights"),
    [
        (18, 0, [TWO_THIRDS, THIRD]),
        (18, 1, [1, TWO_THIRDS, THIRD]),
        (18, 3, [1, 1, 1, TWO_THIRDS, THIRD]),
        (18, 17, [1] * 17 + [TWO_THIRDS]),
        (18, 18, [1] * 18),
        (3, 3, [1, 1, 1]),
        (4, 3, [1, 1, 1, TWO_THIRDS]),
        (1, 0, [TWO_THIRDS]),
        (1, 1, [1]),
    ],
)
def test_rows_to_be_pressed_keep_all_and_two_more_a_part(
    count: int, delay: int, weights: list[float]
) -> None:
    weight = conditioning_on(rows(count, delay), HORIZON, old_layout=False).weight

    expected = np.zeros(HORIZON, np.float32)
    expected[: len(weights)] = weights
    np.testing.assert_allclose(weight, expected, rtol=1e-6)
    assert weight.dtype == np.float32


@given(horizon=st.integers(1, 60), data=st.data())
def test_weights_are_shares_that_only_fall(horizon: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, horizon))
    delay = data.draw(st.integers(0, count))

    weight = conditioning_on(rows(count, delay), horizon, old_layout=False).weight

    assert weight.min() >= 0
    assert weight.max() <= 1
    assert (np.diff(weight) <= 0).all()
    assert (weight == 1).sum() == delay
    assert not weight[count:].any()


def test_more_rows_than_a_chunk_has_are_refused() -> None:
    with pytest.raises(RequestError, match="previous has 19 rows, but the model's chunks have 18: send the"):
        conditioning_on(rows(19), HORIZON, old_layout=False)
