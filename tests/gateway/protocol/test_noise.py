"""The noise that a predict asks for, and the tick of its picture: the same fields in every format."""

import math
from typing import Any

import numpy as np
import pytest

from gateway.errors import RequestError
from gateway.protocol.messages import FRESH, MemoryNoise, Noise, Reply, RequestType, TickNoise
from gateway.protocol.options import read_options
from gateway.protocol.tcp.bizhawk_stream import BizHawkStream
from tests.gateway.protocol.carriers import CARRIERS, Carrier

READ: dict[str, tuple[object, Noise]] = {
    "fresh": ("fresh", FRESH),
    "nothing kept": ({"memory": 0}, MemoryNoise(0.0)),
    "some kept": ({"memory": 0.9}, MemoryNoise(0.9)),
    "all kept": ({"memory": 1}, MemoryNoise(1.0)),
    "by tick": ({"tick": 0}, TickNoise(0)),
    "by a late tick": ({"tick": 2**53}, TickNoise(2**53)),
    "by a tick as Lua writes it": ({"tick": 7.0}, TickNoise(7)),
}


@CARRIERS
@pytest.mark.parametrize(("given", "noise"), READ.values(), ids=READ)
def test_every_format_carries_it(predict: Carrier, given: object, noise: Noise) -> None:
    assert predict({"noise": given}).noise == noise


@CARRIERS
def test_without_it_noise_is_fresh(predict: Carrier) -> None:
    assert predict({}).noise is FRESH
    assert predict({"noise": None}).noise is FRESH


WRONG: dict[str, tuple[object, str]] = {
    "another text": ("stale", "noise is 'stale'; send \"fresh\""),
    "a number": (0.9, "noise is 0.9"),
    "nothing in it": ({}, "noise is a dict"),
    "both": ({"memory": 1, "tick": 3}, "noise is a dict"),
    "something else": ({"seed": 3}, "noise is a dict"),
    "too much memory": ({"memory": 1.5}, "memory must be a number from 0 to 1, not 1.5"),
    "negative memory": ({"memory": -0.1}, "memory must be"),
    "memory of nan": ({"memory": math.nan}, "memory must be .* not nan"),
    "memory of truth": ({"memory": True}, "memory must be .* not True"),
    "memory of text": ({"memory": "1"}, "memory must be .* not '1'"),
    "much memory": ({"memory": 10**4000}, "not an integer of .* bits"),
    "a tick before all": ({"tick": -1}, "tick must be an integer from 0 to .* not -1"),
    "half a tick": ({"tick": 1.5}, "tick must be .* not 1.5"),
    "a tick of truth": ({"tick": True}, "tick must be .* not True"),
    "an endless tick": ({"tick": 2**53 + 1}, "tick must be"),
    "no tick": ({"tick": None}, "tick must be .* not None"),
}


@pytest.mark.parametrize(("given", "why"), WRONG.values(), ids=WRONG)
def test_anything_else_is_refused_in_one_bounded_sentence(given: object, why: str) -> None:
    with pytest.raises(RequestError, match=why) as raised:
        read_options({"noise": given})
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("given", [{"memory": 0.5}, {"tick": 3}])
def test_a_seed_is_noise_by_itself(given: object) -> None:
    with pytest.raises(RequestError, match="seed is 7, which fixes the noise"):
        read_options({"seed": 7, "noise": given})
    assert read_options({"seed": 7, "noise": "fresh"}).seed == 7


@CARRIERS
@pytest.mark.parametrize(
    ("fields", "tick"),
    [
        ({"tick": 120}, 120),
        ({"tick": 7.0}, 7),
        ({"tick": None}, None),
        ({"noise": {"tick": 30}}, 30),
        ({"noise": {"tick": 30}, "tick": 120}, 120),
        ({"noise": {"memory": 1}}, None),
    ],
)
def test_a_picture_has_a_tick(predict: Carrier, fields: dict[str, Any], tick: int | None) -> None:
    assert predict(fields).tick == tick


def test_a_numpy_integer_is_a_tick() -> None:
    assert read_options({"tick": np.int64(7), "noise": {"tick": np.uint8(3)}}).tick == 7


@pytest.mark.parametrize("tick", [-1, 1.5, True, "1", [], math.inf, 2**53 + 1])
def test_anything_else_is_not_a_tick(tick: object) -> None:
    with pytest.raises(RequestError, match="tick must be an integer from 0 to"):
        read_options({"tick": tick})


@pytest.mark.parametrize("type_", ["reset", "info", "played"])
def test_other_requests_have_none_of_it(type_: RequestType) -> None:
    options = read_options({"noise": 5, "tick": "x", "previous": [], "delay": -1}, type_)
    assert (options.noise, options.tick, options.previous) == (FRESH, None, None)


def told(stream: BizHawkStream, text: bytes) -> object:
    return stream.receive(b"%d %b" % (len(text), text))[0]


def test_screenshots_of_bizhawk_keep_the_noise_of_their_connection() -> None:
    stream = BizHawkStream()
    assert told(stream, b'{"type": "options", "noise": {"memory": 0.9}}') == Reply()
    assert told(stream, b"screenshot").noise == MemoryNoise(0.9)  # type: ignore[attr-defined]
    assert told(stream, b"another").noise == MemoryNoise(0.9)  # type: ignore[attr-defined]


def test_screenshots_of_bizhawk_have_no_ticks() -> None:
    stream = BizHawkStream()
    told(stream, b'{"type": "options", "noise": {"memory": 0.9}}')
    error = told(stream, b'{"type": "options", "noise": {"tick": 3}}')
    assert isinstance(error, RequestError)
    assert "needs each picture's tick" in str(error)
    assert told(stream, b"screenshot").noise == MemoryNoise(0.9)  # type: ignore[attr-defined]
