"""Reports of what was really pressed: the same fields in every format, checked row by row."""

import json
import math
import pickle
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RequestError
from gateway.protocol.formats.formats import format_of
from gateway.protocol.messages import Played, PlayedRow, Request
from gateway.protocol.played import MAX_ROWS, read_played
from gateway.protocol.tcp.bizhawk_stream import BizHawkStream
from gateway.protocol.tcp.json_stream import JsonStream

ROW = {"by": "human", "buttons": [1, *[0] * 20], "j_left": [0.5, -1], "j_right": [0, 0.0]}
READ = PlayedRow("human", (1, *[0] * 20), (0.5, -1.0), (0.0, 0.0))


def request(rows: list[object], tick: object = 120) -> dict[str, object]:
    return {"type": "played", "tick": tick, "rows": rows}


def from_line(fields: dict[str, object]) -> object:
    return JsonStream().receive(json.dumps(fields).encode() + b"\n")[0]


def from_bizhawk(fields: dict[str, object]) -> object:
    text = json.dumps(fields).encode()
    return BizHawkStream().receive(b"%d %b" % (len(text), text))[0]


def from_msgpack(fields: dict[str, object]) -> object:
    data = msgpack.packb(fields)
    return format_of(data).decode_request(data)


def from_pickle(fields: dict[str, object]) -> object:
    data = pickle.dumps(fields)
    return format_of(data).decode_request(data)


FORMATS = pytest.mark.parametrize("read", [from_line, from_bizhawk, from_msgpack, from_pickle])


@FORMATS
@pytest.mark.parametrize("count", [1, MAX_ROWS])
def test_every_format_carries_it(read: Callable[[dict[str, object]], object], count: int) -> None:
    by_model = {**ROW, "by": "model", "buttons": [True, *[0.0] * 20]}
    rows: list[object] = [ROW, *[by_model] * (count - 1)]
    expected = (READ, *[PlayedRow("model", READ.buttons, READ.j_left, READ.j_right)] * (count - 1))
    assert read(request(rows)) == Request("played", played=Played(120, expected))


def test_a_pickle_may_have_arrays() -> None:
    row = {
        "by": "human",
        "buttons": np.array(ROW["buttons"], np.float32),
        "j_left": np.array([0.5, -1]),
        "j_right": (0, 0),
    }
    assert from_pickle(request([row])) == Request("played", played=Played(120, (READ,)))


def test_a_tick_may_be_a_number_as_lua_writes_it() -> None:
    assert read_played(request([ROW], 7.0)).tick == 7


@pytest.mark.parametrize(
    "tick", [None, -1, 1.5, True, "1", [], math.nan, math.inf, 2**53 + 1, 10**4000], ids=lambda t: str(t)[:9]
)
def test_a_tick_is_an_integer(tick: object) -> None:
    with pytest.raises(RequestError, match="tick must be an integer") as raised:
        read_played(request([ROW], tick))
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    "rows", [None, 5, "x", {}, [], [ROW] * (MAX_ROWS + 1)], ids=lambda rows: str(rows)[:9]
)
def test_rows_are_a_list_of_1_to_64(rows: Any) -> None:  # noqa: ANN401
    with pytest.raises(RequestError, match="rows must be a list of 1 to 64 rows"):
        read_played(request(rows))


WRONG: dict[str, tuple[object, str]] = {
    "no map": ([], "row 1 is a list"),
    "nothing": ({}, "by must be"),
    "nobody": (ROW | {"by": "cat"}, "by must be .* not 'cat'"),
    "a list of nobodies": (ROW | {"by": []}, "by must be .* not a list"),
    "no buttons": ({"by": "model"}, "buttons must be a list of 21 numbers, not None"),
    "20 buttons": (ROW | {"buttons": [0] * 20}, "buttons must be a list of 21 numbers, not 20"),
    "half a button": (ROW | {"buttons": [0.5] * 21}, "buttons must be 0 or 1"),
    "buttons of text": (ROW | {"buttons": ["0"] * 21}, "buttons must be numbers, not '0'"),
    "an array of objects": (ROW | {"buttons": np.array([None] * 21)}, "buttons must be a list"),
    "a square of buttons": (ROW | {"buttons": np.zeros((21, 1))}, "buttons must be a list"),
    "a stick beyond": (ROW | {"j_left": [0, 1.01]}, "j_left must be two numbers from -1 to 1"),
    "a stick of nan": (ROW | {"j_right": [math.nan, 0]}, "j_right must be two numbers"),
    "a stick far beyond": (ROW | {"j_right": [10**4000, 0]}, "j_right must be two numbers"),
    "a stick of one": (ROW | {"j_right": [1]}, "j_right must be a list of 2 numbers, not 1"),
}


@pytest.mark.parametrize(("row", "why"), WRONG.values(), ids=WRONG)
def test_a_wrong_row_is_named(row: object, why: str) -> None:
    with pytest.raises(RequestError, match=f"row 1.*{why}|{why}") as raised:
        read_played(request([ROW, row]))
    assert "row 1" in str(raised.value)
    assert len(str(raised.value)) < 400


def test_a_wrong_row_costs_its_request_only() -> None:
    error, after = JsonStream().receive(json.dumps(request([{}])).encode() + b'\n{"type": "info"}\n')
    assert type(error) is RequestError
    assert after == Request("info")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([ROW]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["by", "buttons", "j_left", "tick", "rows"]), inner, max_size=5)
    ),
    max_leaves=8,
)


@given(VALUES, VALUES.filter(lambda rows: not isinstance(rows, list) or ROW not in rows))
def test_anything_else_is_refused_in_one_bounded_sentence(tick: object, rows: object) -> None:
    with pytest.raises(RequestError) as raised:
        read_played({"tick": tick, "rows": rows})
    assert len(str(raised.value)) < 400
