"""The table of consoles, and what a pad's state means on one of them."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nitrogen_play.pad import STICK_MAX, PadState

_IN_PACKAGE = Path(__file__).with_name("consoles.toml")
# clients/consoles.toml of a clone.
_IN_CLONE = Path(__file__).parents[3] / "consoles.toml"


@dataclass(frozen=True)
class ConsoleButton:
    """A console's button: what of the pad presses it, and the emulator's name for it."""

    pad: frozenset[str]
    name: str


@dataclass(frozen=True)
class Console:
    """A console as an emulator has it.

    Attributes:
        title: its name, for people.
        resize_mode: how its pictures are made square.
        stick_threshold: from where on a stick counts as a direction, 0 to 1.
    """

    title: str
    resize_mode: str
    buttons: tuple[ConsoleButton, ...]
    stick_threshold: float

    def pressed(self, state: PadState) -> frozenset[str]:
        """Return the emulator's names of the buttons that a pad's state presses.

        A console's menu buttons hang on the pad's, which are not in `state` where menus are not allowed.
        """
        held = state.pressed | _directions(state, self.stick_threshold)
        return frozenset(button.name for button in self.buttons if button.pad & held)


def retro_console(system: str) -> Console | None:
    """Return the console that stable-retro calls `system`, for example "Genesis"; None for one not listed."""
    for console in _table().values():
        if isinstance(console, dict) and system in console["retro"]:
            pads = {
                button["retro"]: button["pad"] for button in console["buttons"].values() if "retro" in button
            }
            return console_of(console["title"], console["resize_mode"], pads)
    return None


def console_of(title: str, resize_mode: str, pads: Mapping[str, Iterable[str]]) -> Console:
    """Return a console whose buttons are pressed by these names of the pad, with the table's threshold."""
    buttons = tuple(ConsoleButton(frozenset(pad), name) for name, pad in pads.items())
    return Console(title, resize_mode, buttons, _table()["stick_threshold"])


def retro_systems() -> list[str]:
    """Return the names that stable-retro gives the listed consoles."""
    return sorted(
        name for console in _table().values() if isinstance(console, dict) for name in console["retro"]
    )


@cache
def _table() -> dict[str, Any]:
    path = _IN_PACKAGE if _IN_PACKAGE.exists() else _IN_CLONE
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _directions(state: PadState, threshold: float) -> frozenset[str]:
    least = threshold * STICK_MAX
    return frozenset(
        f"{side}_STICK_{direction}"
        for side, (x, y) in (("LEFT", state.left), ("RIGHT", state.right))
        for direction, reach in (("LEFT", -x), ("RIGHT", x), ("UP", -y), ("DOWN", y))
        if reach >= least
    )
