"""The rows that a chunk has to fit: the same fields in every format, as arrays or as lists."""

import pickle
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RequestError
from gateway.protocol.formats.formats import format_of
from gateway.protocol.messages import Previous
from gateway.protocol.options import read_options
from gateway.protocol.previous import MAX_ROWS, array_of, read_previous
from tests.gateway.protocol.carriers import CARRIERS, Carrier, by_msgpack, by_openpi, by_pickle

WIDTHS = {"buttons": 21, "j_left": 2, "j_right": 2}


def rows(count: int, dtype: str = "float32") -> dict[str, Any]:
    random = np.random.default_rng(count)
    sticks = random.uniform(-1, 1, (2, count, 2)).astype(np.float32)
    buttons = random.integers(0, 2, (count, 21))
    return {"buttons": buttons.astype(dtype), "j_left": sticks[0], "j_right": sticks[1]}


def assert_same(previous: Previous | None, given: dict[str, Any], delay: int) -> None:
    assert previous is not None
    for name in WIDTHS:
        array = getattr(previous, name)
        np.testing.assert_array_equal(array, given[name])
        assert array.dtype == np.float32
        assert array.flags.owndata
    assert previous.delay == delay


@CARRIERS
@pytest.mark.parametrize("count", [1, 18, MAX_ROWS])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "bool"])
def test_every_format_carries_arrays(predict: Carrier, count: int, dtype: str) -> None:
    given = rows(count, dtype)
    assert_same(predict({"previous": given, "delay": 1}).previous, given, 1)


@CARRIERS
def test_every_format_carries_lists(predict: Carrier) -> None:
    given = rows(18)
    lists = {name: array.tolist() for name, array in given.items()}
    assert_same(predict({"previous": lists, "delay": 3}).previous, given, 3)


def test_actions_of_openpi_are_rows() -> None:
    given = rows(5)
    actions = np.concatenate([given["buttons"], given["j_left"], given["j_right"]], axis=1)
    assert_same(by_openpi({"previous": actions, "delay": 2}).previous, given, 2)


@pytest.mark.parametrize("shape", [(5, 24), (5,), ()])
def test_actions_of_openpi_have_25_columns(shape: tuple[int, ...]) -> None:
    with pytest.raises(RequestError, match=r"previous has shape .*; send \(n, 25\)"):
        by_openpi({"previous": np.zeros(shape, np.float32)})


@CARRIERS
@pytest.mark.parametrize(
    ("delay", "expected"), [(None, 0), (0, 0), (2.0, 2), (5, 5), (6, 5), (2**53, 5)], ids=str
)
def test_a_delay_beyond_the_rows_counts_as_their_number(
    predict: Carrier, delay: object, expected: int
) -> None:
    fields = {"previous": rows(5)} | ({} if delay is None else {"delay": delay})
    assert_same(predict(fields).previous, rows(5), expected)


@CARRIERS
def test_no_rows_are_none(predict: Carrier) -> None:
    assert predict({"previous": {"buttons": [], "j_left": [], "j_right": []}, "delay": 3}).previous is None
    assert predict({"previous": rows(0)}).previous is None
    assert predict({"previous": None, "delay": None}).previous is None
    assert predict({}).previous is None


WRONG: dict[str, tuple[object, str]] = {
    "a list": ([], "previous is a list; previous is"),
    "no buttons": ({"j_left": [], "j_right": []}, "buttons must be at most 256 rows of 21 numbers, not None"),
    "a row too short": (rows(3) | {"buttons": [[0] * 21, [0] * 20]}, "not 20 numbers as in row 1"),
    "a row of nothing": (rows(3) | {"j_left": [[0, 0], None]}, "2 numbers, not None as in row 1"),
    "text": (rows(1) | {"j_left": [[0, "0"]]}, "2 numbers, not '0' as in row 0"),
    "lists in lists": (rows(1) | {"j_left": [[[0], [0]]]}, "2 numbers, not a list as in row 0"),
    "too many rows": (rows(1) | {"j_left": [[0, 0]] * 257}, "at most 256 rows of 2 numbers, not 257"),
    "a large array": (rows(257), r"at most 256 rows of 2 numbers, not an array of shape \(257, 2\)"),
    "a flat array": (rows(1) | {"j_left": np.zeros(2)}, r"not an array of shape \(2,\)"),
    "a narrow array": (rows(1) | {"j_left": np.zeros((1, 3))}, r"not an array of shape \(1, 3\)"),
    "an array of text": (rows(1) | {"j_left": np.array([["a", "b"]])}, "not an array of dtype <U1"),
    "unequal rows": (rows(4) | {"buttons": rows(3)["buttons"]}, "4 of j_left, 4 of j_right, 3 of buttons"),
    "a stick of nan": (rows(1) | {"j_left": [[0, np.nan]]}, "j_left must be from -1 to 1, not nan"),
    "a stick without end": (rows(1) | {"j_right": np.full((1, 2), -np.inf)}, "not -inf as in row 0"),
    "a stick beyond": (rows(2) | {"j_left": [[0, 0], [0, 1.5]]}, "to 1, not 1.5 as in row 1"),
    "a stick far beyond": (rows(1) | {"j_left": [[0, 10**4000]]}, "not a number of hundreds of digits"),
    "a button below": (rows(1) | {"buttons": [[-1] + [0] * 20]}, "buttons must be from 0 to 1, not -1.0"),
    "a button above": (rows(1) | {"buttons": np.full((1, 21), 2, np.uint8)}, "to 1, not 2 as in row 0"),
}


@pytest.mark.parametrize(("given", "why"), WRONG.values(), ids=WRONG)
def test_wrong_rows_are_named(given: object, why: str) -> None:
    with pytest.raises(RequestError, match=why) as raised:
        read_options({"previous": given})
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("delay", [-1, 1.5, True, "1", [], np.nan, 2**53 + 1])
def test_a_delay_is_a_number_of_rows(delay: object) -> None:
    with pytest.raises(RequestError, match="delay must be an integer from 0 to"):
        read_options({"previous": rows(3), "delay": delay})


@pytest.mark.parametrize("delay", [0, 3, "x"])
def test_a_delay_needs_rows(delay: object) -> None:
    with pytest.raises(RequestError, match="there is no previous: send both"):
        read_options({"delay": delay})


def test_lists_of_a_pickle_that_hold_each_other_are_not_unfolded() -> None:
    row: Any = [0.0] * 21
    for _ in range(40):
        row = [row] * 21
    message = {"type": "predict", "image": np.zeros((2, 2, 3), np.uint8), "previous": {"buttons": [row]}}
    data = pickle.dumps(message)
    assert len(data) < 10_000
    with pytest.raises(RequestError, match="numbers, not"):
        format_of(data).decode_request(data)


def test_arrays_of_a_pickle_may_have_any_order() -> None:
    given = {name: np.asfortranarray(array.astype(">f4")) for name, array in rows(7).items()}
    assert_same(by_pickle({"previous": given, "delay": 1}).previous, rows(7), 1)


WRONG_ARRAYS: dict[str, tuple[dict[str, object], str]] = {
    "another dtype": ({"dtype": "float16"}, "previous's j_left has dtype 'float16'; send float32"),
    "a dtype of objects": ({"dtype": "|O"}, r"dtype '\|O'"),
    "no dtype": ({"dtype": None}, "dtype None"),
    "data of text": ({"data": "x" * 16}, "the data of previous's j_left is"),
    "too few bytes": ({"data": bytes(15)}, "needs 16 bytes, not 15"),
    "no shape": ({"shape": None}, "the shape of previous's j_left must be a list"),
    "three sizes": ({"shape": [1, 2, 2]}, "shape of previous's j_left must be a list of its two sizes"),
    "a size of truth": ({"shape": [True, 2]}, "shape of"),
    "a negative size": ({"shape": [-1, 2]}, "shape of"),
    "an endless size": ({"shape": [2**31, 0]}, "shape of"),
}


@pytest.mark.parametrize(("changed", "why"), WRONG_ARRAYS.values(), ids=WRONG_ARRAYS)
def test_wrong_arrays_are_named(changed: dict[str, object], why: str) -> None:
    array = {"shape": [2, 2], "dtype": "float32", "data": bytes(16)} | changed
    with pytest.raises(RequestError, match=why):
        by_msgpack({"previous": rows(2) | {"j_left": array}})
    in_openpi = {b"__ndarray__": True} | {name.encode(): value for name, value in array.items()}
    with pytest.raises(RequestError, match=why):
        by_openpi({"previous": rows(2) | {"j_left": in_openpi}})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["buttons", "j_left", "j_right", "shape"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(VALUES, VALUES)
def test_anything_else_is_refused_in_one_bounded_sentence(previous: object, delay: object) -> None:
    refusal = ""
    try:
        read = read_previous({"previous": previous, "delay": delay})
    except RequestError as error:
        refusal = str(error)
    else:
        assert read is None
    assert len(refusal) < 300


@given(VALUES, VALUES, VALUES)
def test_any_array_is_read_or_refused(shape: object, dtype: object, data: object) -> None:
    for name in (dtype, "float32"):
        with pytest.raises(RequestError) as raised:
            array_of("previous", shape, name, data)
        assert len(str(raised.value)) < 300


def test_a_known_message_is_not_one_with_other_rows() -> None:
    image = {"shape": [256, 256, 3], "dtype": "uint8", "data": bytes(256 * 256 * 3)}
    for stick in (0.25, 0.5, 0.25):
        short = {"buttons": [[0] * 21], "j_left": [[stick, 0]], "j_right": [[0, 0]]}
        data = msgpack.packb({"type": "predict", "image": image, "previous": short})
        previous = format_of(data).decode_request(data).previous
        assert previous is not None
        assert previous.j_left[0, 0] == stick
