"""The buttons that a console's controller gets for a reply, worked out from the table without the script."""

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from contract.gamepad import BUTTONS
from tests.stand_ins.bizhawk_host import SCRIPT, Core

_TABLE = tomllib.loads((SCRIPT.parents[1] / "consoles.toml").read_text("utf-8"))

Pred = Mapping[str, list[list[float]]]


def console_of(name: str) -> dict[str, Any]:
    """A console of the table."""
    console: dict[str, Any] = _TABLE[name]
    return console


def held_and_axes(
    pred: Pred, core: Core, console: dict[str, Any], *, menus: bool = False
) -> Iterator[tuple[set[str], dict[str, int]]]:
    """For each step of a reply: the core's buttons that are held, and its sticks."""
    for buttons, left, right in zip(pred["buttons"], pred["j_left"], pred["j_right"], strict=True):
        sources = {name for name, value in zip(BUTTONS, buttons, strict=True) if value}
        for stick, (x, y) in (("LEFT", left), ("RIGHT", right)):
            ways = {"LEFT": -x, "RIGHT": x, "UP": -y, "DOWN": y}
            sources |= {
                f"{stick}_STICK_{way}" for way, far in ways.items() if far >= _TABLE["stick_threshold"]
            }
        held = set()
        for button in console["buttons"].values():
            name = _of_core(button["bizhawk"], core.buttons)
            if name and sources & set(button["pad"]) and (menus or not button.get("menu")):
                held.add(name)
        axes = dict(core.axes)
        for axis in console.get("axes", {}).values():
            name = _of_core(axis["bizhawk"], tuple(core.axes))
            assert name is not None
            stick, which = axis["stick"].split("_")
            position = {"LEFT": left, "RIGHT": right}[stick]["XY".index(which)]
            end = axis["low"] if position < 0 else axis["high"]
            axes[name] = int(axis["rest"] + abs(position) * (end - axis["rest"]) + 1000.5) - 1000
        yield held, axes


def _of_core(names: list[str], core_names: tuple[str, ...]) -> str | None:
    found = [full for name in names for full in (f"P1 {name}", name) if full in core_names]
    return found[0] if found else None
