"""Replies as JSON: they fit the deployed Lua agent, whatever they hold."""

import json
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.protocol.json_format import MAX_HORIZON, reply_line
from gateway.protocol.messages import ActionChunk, Reply, Timing


def chunk(steps: int, value: float = -1.0) -> ActionChunk:
    sticks = np.full((steps, 2), value, np.float32)
    return ActionChunk(sticks, sticks, np.ones((steps, 21), np.float32))


def test_a_chunk_is_one_line_in_the_order_of_the_existing_server() -> None:
    j_left = np.array([[0.5, -0.25], [1, 0]], np.float32)
    j_right = np.array([[-1e-5, 1e-5], [-0.0006, 0.9999]], np.float32)
    buttons = np.zeros((2, 21), np.float32)
    buttons[1, 18] = 1
    assert reply_line(Reply(chunk=ActionChunk(j_left, j_right, buttons))) == (
        b'{"status":"ok","pred":{"j_left":[[0.500,-0.250],[1.000,0.000]],'
        b'"j_right":[[0.000,0.000],[-0.001,1.000]],'
        b'"buttons":[[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],'
        b'[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,0,0]]},"repeat":1}\n'
    )


@pytest.mark.parametrize("steps", [1, 2, 18, 52])
def test_the_largest_reply_has_71_bytes_and_76_a_step(steps: int) -> None:
    assert len(reply_line(Reply(chunk=chunk(steps)))) == 71 + 76 * steps


def test_the_released_models_reply_fits_one_ethernet_segment_and_any_fits_4095() -> None:
    assert len(reply_line(Reply(chunk=chunk(18)))) <= 1448
    assert len(reply_line(Reply(chunk=chunk(MAX_HORIZON)))) <= 4095
    assert 71 + 76 * (MAX_HORIZON + 1) > 4095


def test_a_longer_horizon_is_an_error_that_says_so() -> None:
    reply = json.loads(reply_line(Reply(chunk=chunk(53))))
    assert reply["status"] == "error"
    assert "53" in reply["message"]
    assert "52" in reply["message"]


@given(st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4))
def test_sticks_are_within_half_a_thousandth_and_match_the_agents_pattern(values: list[float]) -> None:
    sticks = np.array(values, np.float32).reshape(2, 1, 2)
    text = reply_line(Reply(chunk=ActionChunk(sticks[0], sticks[1], np.zeros((1, 21), np.float32)))).decode()
    assert "e-" not in text
    assert "-0.000" not in text
    numbers = [float(number) for number in re.findall(r"[-\d.]+", text[text.index('"j_left"') :])]
    assert np.abs(np.array(numbers[:4]) - values).max() <= 0.0005001
    assert numbers[4:] == [0] * 21 + [1]  # the buttons and repeat


@pytest.mark.parametrize("layout", ["strided", "float64"])
def test_arrays_of_any_layout_are_written_alike(layout: str) -> None:
    wide = np.random.default_rng(2).uniform(-1, 1, (18, 25)).astype(np.float32)
    wide[:, 4:] = wide[:, 4:] > 0
    plain = ActionChunk(wide[:, :2].copy(), wide[:, 2:4].copy(), wide[:, 4:].copy())
    if layout == "float64":
        wide = wide.astype(np.float64)
    other = ActionChunk(wide[:, :2], wide[:, 2:4], wide[:, 4:])
    assert reply_line(Reply(chunk=other)) == reply_line(Reply(chunk=plain))


def test_other_replies() -> None:
    assert reply_line(Reply()) == b'{"status":"ok"}\n'
    assert reply_line(Reply(info={"a": None, "b": 1.5})) == b'{"status":"ok","info":{"a":null,"b":1.5}}\n'
    assert reply_line(Reply(error="a", cause="busy")) == b'{"status":"error","message":"a"}\n'
    assert reply_line(Reply(error='a "b"\n')) == b'{"status":"error","message":"a \\"b\\"\\n"}\n'


def test_timing_follows_the_chunk() -> None:
    reply = reply_line(Reply(chunk=chunk(1), timing=Timing(0.00001, 17.25, 18)))
    assert reply.endswith(b'"repeat":1,"timing":{"decode_ms":0.000,"infer_ms":17.250,"total_ms":18.000}}\n')


@given(
    st.text(alphabet=st.characters(exclude_categories=()))
    | st.sampled_from(["x" * 10_000, "€" * 3000, "\U0001f600" * 999])
)
@example("\U0001f600" * 1000)
def test_error_lines_are_short_valid_json(message: str) -> None:
    reply = reply_line(Reply(error=message))
    assert len(reply) <= 1400
    assert reply.count(b"\n") == 1
    assert reply.endswith(b"\n")
    found = json.loads(reply)["message"]
    if len(message) < 100:
        assert found == message
    else:
        assert message.startswith(found.removesuffix("..."))
