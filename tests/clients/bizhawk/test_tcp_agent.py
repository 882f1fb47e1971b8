"""Scripts of the older kind, which are on people's disks: a JSON line, a PNG, one read of 4,096 bytes."""

from pathlib import Path
from typing import Any

import pytest

from tests.clients.bizhawk.expected import console_of, held_and_axes
from tests.paths import STAND_INS
from tests.pictures import image_file, picture
from tests.stack import JsonClient, Stack, free_port
from tests.stand_ins.bizhawk_agent import ONE_SEGMENT_BYTES
from tests.stand_ins.bizhawk_host import CORES, BizHawk
from tests.stand_ins.bizhawk_luanet import add_luanet

AGENT = (STAND_INS / "bizhawk_tcp_agent.lua").read_text("utf-8")
HORIZON = 18


def console_of_the_agent(system: str) -> dict[str, Any]:
    """The table as such scripts have it: menus and all, and A and B of the SNES the other way round."""
    console = console_of(system.lower())
    buttons = {name: {**button, "menu": False} for name, button in console["buttons"].items()}
    buttons["A"]["pad"], buttons["B"]["pad"] = ["SOUTH"], ["EAST"]
    for name, pad in (("L", ["LEFT_SHOULDER"]), ("R", ["RIGHT_SHOULDER"])):
        if name in buttons:
            buttons[name]["pad"] = pad
    return {**console, "buttons": buttons}


@pytest.mark.parametrize(("core", "resize_mode"), [("NesHawk", "crop"), ("BSNES", "pad")])
def test_a_script_of_the_older_kind_plays(
    context_stack: Stack, tmp_path: Path, core: str, resize_mode: str
) -> None:
    bizhawk = BizHawk(CORES[core], None)
    clients = add_luanet(bizhawk, tmp_path)
    globals_ = bizhawk.lua.globals()
    globals_.PORT, globals_.CONSOLE, globals_.EXTRA = (
        context_stack.tcp_port,
        CORES[core].system,
        ', "seed": 5',
    )
    bizhawk.load(AGENT)
    bizhawk.run(4 * HORIZON)

    expected = []
    with JsonClient(context_stack.tcp_port) as client:
        for number in range(0, 4 * HORIZON, HORIZON):
            png = image_file(picture(number, CORES[core].height, CORES[core].width))
            header = {"type": "predict", "len": len(png), "resize_mode": resize_mode, "seed": 5}
            pred = client.request(header, png)["pred"]
            steps = held_and_axes(pred, CORES[core], console_of_the_agent(CORES[core].system), menus=True)
            expected += [held for held, _ in steps]
    assert [set(frame.held) for frame in bizhawk.frames] == expected
    (tcp,) = clients
    assert len(tcp.reads) == 4
    assert max(tcp.reads) <= ONE_SEGMENT_BYTES
    tcp.Close()


def test_a_script_of_the_older_kind_lives_through_an_error(context_stack: Stack, tmp_path: Path) -> None:
    bizhawk = BizHawk(CORES["NesHawk"], None)
    clients = add_luanet(bizhawk, tmp_path)
    globals_ = bizhawk.lua.globals()
    globals_.PORT, globals_.CONSOLE, globals_.EXTRA = (
        context_stack.tcp_port,
        "NES",
        ', "game": "no such game"',
    )
    bizhawk.load(AGENT)
    bizhawk.run(10)
    assert all(frame.held == frozenset() for frame in bizhawk.frames)
    assert [frame.texts[-1] for frame in bizhawk.frames] == ["steps: 0"] * 10
    (tcp,) = clients
    assert len(tcp.reads) == 10
    tcp.Close()


def test_a_script_of_the_older_kind_without_a_gateway_ends_with_a_word(tmp_path: Path) -> None:
    bizhawk = BizHawk(CORES["NesHawk"], None)
    add_luanet(bizhawk, tmp_path)
    bizhawk.lua.globals().PORT = free_port()
    bizhawk.load(AGENT)
    bizhawk.run(10)
    assert bizhawk.has_ended
    assert bizhawk.log == ["Connection failed"]
