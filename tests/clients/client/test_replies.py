"""Replies that can be read and are none: parts that are missing or do not fit, and texts that steer."""

import math
import pickle

import msgpack
import nitrogen_client as client_package
import numpy as np
import pytest
from nitrogen_client.server_errors import check_status

from tests.black_frame import PIXELS
from tests.clients.client.kinds import KINDS, MakeClient, connected
from tests.stand_ins.scripted_server import packed, packed_chunk, scripted_server

ARRAY = {"shape": [18, 2], "dtype": "float32", "data": bytes(144)}
PRED = {"j_left": ARRAY, "j_right": ARRAY, "buttons": {**ARRAY, "shape": [18, 21], "data": bytes(1512)}}


WIDTHS = [("j_left", 2), ("j_right", 2), ("buttons", 21)]


def filled(dtype: str, value: float) -> dict[str, object]:
    return {"shape": [18, 2], "dtype": dtype, "data": np.full((18, 2), value, dtype).tobytes()}


@KINDS
@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\x00",
        b"HTTP/1.1 400 Bad Request",
        b"\x81",
        packed(),
        packed(status="fine"),
        packed(status=None),
        packed(status="ok"),
        packed(status="ok", pred=[]),
        packed(status="ok", pred={}),
        packed(status="ok", pred={**PRED, "buttons": [1, 2]}),
        packed(status="ok", pred={**PRED, "j_left": {**ARRAY, "dtype": "O"}}),
        packed(status="ok", pred={**PRED, "j_left": {**ARRAY, "dtype": ["float32"]}}),
        packed(status="ok", pred={**PRED, "j_left": {**ARRAY, "shape": [-18, -2]}}),
        packed(status="ok", pred={**PRED, "j_left": {**ARRAY, "shape": [2**62, 2**62]}}),
        packed(status="ok", pred={**PRED, "j_left": {**ARRAY, "shape": [9, 4]}}),
        packed(status="ok", pred={**PRED, "j_left": {**ARRAY, "shape": [], "data": bytes(4)}}),
        packed(status="ok", pred={**PRED, "j_right": {**ARRAY, "shape": [17, 2], "data": bytes(136)}}),
        packed(status="ok", pred={**PRED, "buttons": {**ARRAY, "shape": [18, 5], "data": bytes(360)}}),
        packed(
            status="ok", pred={name: {**ARRAY, "shape": [0, width], "data": b""} for name, width in WIDTHS}
        ),
        packed(status="ok", pred={**PRED, "j_left": {**ARRAY, "shape": [1] * 80, "data": bytes(4)}}),
        packed(status="ok", pred={**PRED, "j_left": {**ARRAY, "shape": [0, 2**62, 2**62], "data": b""}}),
        packed(status="ok", pred={**PRED, "j_left": filled("float32", math.nan)}),
        packed(status="ok", pred={**PRED, "j_right": filled("float32", -math.inf)}),
        packed(status="ok", pred={**PRED, "j_right": filled("float64", 1e300)}),
        packed(status="ok", pred=PRED, timing={"decode_ms": "soon"}),
        packed(status="ok", pred=PRED, timing={"decode_ms": 1, "infer_ms": math.nan, "total_ms": 2}),
        packed(status="ok", pred=PRED, timing={"decode_ms": 1, "infer_ms": 1, "total_ms": math.inf}),
        packed(status="ok", more=msgpack.ExtType(5, b"x")),
        pickle.dumps([1, 2]),
        pickle.dumps({"status": "ok", "pred": {"j_left": [[0.0, 0.0]]}}),
        [packed_chunk(0.5), b"and more"],
    ],
    ids=lambda reply: repr(reply)[:50],
)
def test_a_reply_that_is_none_is_an_error_and_the_next_one_counts(kind: MakeClient, reply: bytes) -> None:
    replies = [reply, packed_chunk(0.25)]
    with (
        scripted_server(lambda number, _: replies[number]) as server,
        connected(kind, server.port, protocol="msgpack") as client,
    ):
        with pytest.raises(client_package.ProtocolError):
            client.predict(PIXELS)
        assert client.predict(PIXELS)["j_left"][0, 0] == 0.25


@KINDS
def test_a_reply_that_is_too_large_costs_the_connection_not_the_memory(kind: MakeClient) -> None:
    replies = [bytes(17 * 2**20), packed_chunk(0.25)]
    with (
        scripted_server(lambda number, _: replies[min(number, 1)]) as server,
        connected(kind, server.port, protocol="msgpack", retries=1) as client,
    ):
        assert client.predict(PIXELS).times_sent == 2


@KINDS
def test_an_error_reply_does_not_steer_the_terminal(kind: MakeClient) -> None:
    hostile = packed(status="error", message="\x1b[2Jgone\n" + "x" * 1_000_000)
    with (
        scripted_server(lambda *_: hostile) as server,
        connected(kind, server.port, protocol="msgpack") as client,
    ):
        with pytest.raises(client_package.BadRequestError) as raised:
            client.predict(PIXELS)
        assert str(raised.value).isprintable()
        assert "gone" in str(raised.value)
        assert len(str(raised.value)) < 10_000


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, 7, b"text", np.zeros(2)], ids=repr)
def test_a_status_or_message_that_is_no_text_is_named_by_its_type(value: object) -> None:
    name = f"a {type(value).__name__}"
    with pytest.raises(client_package.ProtocolError, match=name):
        check_status({"status": value}, is_gateway=True)
    with pytest.raises(client_package.ServerError) as raised:
        check_status({"status": "error", "message": value}, is_gateway=True)
    assert raised.value.server_message == name


@KINDS
def test_an_error_reply_without_a_message_is_still_an_error(kind: MakeClient) -> None:
    with (
        scripted_server(lambda *_: packed(status="error")) as server,
        connected(kind, server.port, protocol="msgpack") as client,
        pytest.raises(client_package.ServerError, match="Unknown error"),
    ):
        client.predict(PIXELS)
