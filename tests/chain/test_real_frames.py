"""Screenshots of a real game, sent as the official client and as the BizHawk agent send them."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from tests.golden import DATA
from tests.stack import JsonClient, PickleClient, Stack

Ask = Callable[[Stack, Path], dict[str, Any]]

SCREENS = sorted((DATA / "frames").glob("airstriker-*.png"))


def zmq_reply(stack: Stack, screen: Path) -> dict[str, Any]:
    """As play.py does: a PIL image, 256x256 RGB."""
    with PIL.Image.open(screen) as opened, PickleClient(stack.zmq_port) as client:
        return client.request(type="predict", image=opened.convert("RGB").resize((256, 256)), seed=1)


def tcp_reply(stack: Stack, screen: Path) -> dict[str, Any]:
    """As the BizHawk agent does: the PNG file."""
    png = screen.read_bytes()
    with JsonClient(stack.tcp_port) as client:
        return client.request({"type": "predict", "len": len(png), "resize_mode": "pad", "seed": 1}, png)


@pytest.mark.parametrize("ask", [zmq_reply, tcp_reply])
def test_actions_for_a_real_screen_are_in_range(tiny_stack: Stack, ask: Ask) -> None:
    for screen in SCREENS:
        pred = ask(tiny_stack, screen)["pred"]
        sticks = np.concatenate([pred["j_left"], pred["j_right"]])
        assert np.isfinite(sticks).all()
        assert np.abs(sticks).max() <= 1
        assert set(np.unique(pred["buttons"])) <= {0, 1}


@pytest.mark.parametrize("ask", [zmq_reply, tcp_reply])
def test_different_screens_get_different_actions(tiny_stack: Stack, ask: Ask) -> None:
    chunks = [np.asarray(ask(tiny_stack, screen)["pred"]["j_left"]) for screen in SCREENS]
    assert len(chunks) == 4
    assert [
        pair for pair in itertools.combinations(range(4), 2) if (chunks[pair[0]] == chunks[pair[1]]).all()
    ] == []
