"""A pad's state in ViZDoom: a number for each of a scenario's buttons."""

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from nitrogen_play.consoles import console_of
from nitrogen_play.pad import STICK_MAX, PadState

_TABLE = Path(__file__).with_name("vizdoom.toml")
_DIRECTIONS = {
    f"{side}_{axis}": {f"{side}_STICK_{direction}" for direction in directions}
    for side in ("LEFT", "RIGHT")
    for axis, directions in (("X", ("LEFT", "RIGHT")), ("Y", ("UP", "DOWN")))
}


class VizdoomPad:
    """The pad of one scenario.

    Args:
        buttons: the scenario's, by ViZDoom's names, for example "ATTACK" and "TURN_LEFT_RIGHT_DELTA".
    """

    def __init__(self, buttons: Sequence[str]) -> None:
        table = _table()
        self._buttons = buttons
        self._deltas = {name: delta for name, delta in table["deltas"].items() if name in buttons}
        taken = set().union(*(_DIRECTIONS[delta["stick"]] for delta in self._deltas.values()))
        pads = {name: set(pad) - taken for name, pad in table["buttons"].items() if name in buttons}
        self.console = console_of("ViZDoom", "pad", pads)
        self.is_empty = not pads and not self._deltas

    def action(self, state: PadState) -> list[float]:
        """Return what each button of the scenario gets, in their order."""
        pressed = self.console.pressed(state)
        sticks = dict(zip(_DIRECTIONS, (*state.left, *state.right), strict=True))
        return [
            self._deltas[name]["full"] * sticks[self._deltas[name]["stick"]] / STICK_MAX
            if name in self._deltas
            else float(name in pressed)
            for name in self._buttons
        ]


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(_TABLE.read_text(encoding="utf-8"))
