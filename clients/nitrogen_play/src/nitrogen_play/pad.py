"""The gamepad at one moment, and how it comes out of the model's reply."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The columns of a reply's `buttons`, in their order.
BUTTONS = (
    *("BACK", "DPAD_DOWN", "DPAD_LEFT", "DPAD_RIGHT", "DPAD_UP", "EAST", "GUIDE", "LEFT_SHOULDER"),
    *("LEFT_THUMB", "LEFT_TRIGGER", "NORTH", "RIGHT_BOTTOM", "RIGHT_LEFT", "RIGHT_RIGHT", "RIGHT_SHOULDER"),
    *("RIGHT_THUMB", "RIGHT_TRIGGER", "RIGHT_UP", "SOUTH", "START", "WEST"),
)
MENU_BUTTONS = frozenset({"BACK", "GUIDE", "START"})
STICK_MAX = 32_767
_PRESSED_FROM = 0.5


@dataclass(frozen=True)
class PadState:
    """The gamepad at one moment.

    Attributes:
        pressed: names out of `BUTTONS`, triggers among them.
        left: the left stick's x and y, -32767 to 32767; positive is right and down.
        right: the right stick's, likewise.
    """

    pressed: frozenset[str]
    left: tuple[int, int]
    right: tuple[int, int]


NEUTRAL = PadState(frozenset(), (0, 0), (0, 0))


def pad_states(prediction: Mapping[str, NDArray[np.float32]], *, allow_menu: bool) -> tuple[PadState, ...]:
    """Return the states of a reply's T steps.

    Args:
        prediction: has `buttons` (T, 21) of 0 and 1, `j_left` and `j_right` (T, 2) in [-1, 1], all finite.
        allow_menu: whether BACK, GUIDE and START may be pressed.
    """
    forbidden = frozenset() if allow_menu else MENU_BUTTONS
    return tuple(
        PadState(
            frozenset(name for name, value in zip(BUTTONS, row, strict=True) if value > _PRESSED_FROM)
            - forbidden,
            _stick(left),
            _stick(right),
        )
        for row, left, right in zip(
            prediction["buttons"].tolist(), prediction["j_left"], prediction["j_right"], strict=True
        )
    )


def action_arrays(states: Sequence[PadState]) -> dict[str, NDArray[np.float32]]:
    """Return states as a reply has them: `buttons` (T, 21), `j_left` and `j_right` (T, 2)."""
    rows: dict[str, list[Any]] = {
        "buttons": [[name in state.pressed for name in BUTTONS] for state in states],
        "j_left": [[value / STICK_MAX for value in state.left] for state in states],
        "j_right": [[value / STICK_MAX for value in state.right] for state in states],
    }
    return {name: np.array(values, np.float32) for name, values in rows.items()}


def _stick(position: NDArray[np.float32]) -> tuple[int, int]:
    x, y = np.clip(position, -1, 1).tolist()
    return int(x * STICK_MAX), int(y * STICK_MAX)
