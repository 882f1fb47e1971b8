"""The gamepad at one moment, and how it comes out of the model's reply."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nitrogen_play.errors import ServerError

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


def pad_states(prediction: Mapping[str, object], *, allow_menu: bool) -> tuple[PadState, ...]:
    """Return the states of a reply's T steps.

    `prediction`: has `buttons` (T, 21) of 0 and 1, `j_left` and `j_right` (T, 2) in [-1, 1].
    `allow_menu`: whether BACK, GUIDE and START may be pressed.

    Raises:
        ServerError: the reply has other shapes, or values that are not finite.
    """
    buttons = _finite(prediction, "buttons", len(BUTTONS))
    left = _finite(prediction, "j_left", 2)
    right = _finite(prediction, "j_right", 2)
    if not 0 < len(buttons) == len(left) == len(right):
        raise ServerError(
            f"the server's reply has {len(buttons)} steps of buttons, {len(left)} of the left stick and "
            f"{len(right)} of the right: they should be as many, and at least one"
        )
    forbidden = frozenset() if allow_menu else MENU_BUTTONS
    return tuple(
        PadState(
            frozenset(name for name, value in zip(BUTTONS, row, strict=True) if value > _PRESSED_FROM)
            - forbidden,
            _stick(left[step]),
            _stick(right[step]),
        )
        for step, row in enumerate(buttons.tolist())
    )


def _finite(prediction: Mapping[str, object], name: str, columns: int) -> NDArray[np.float32]:
    if name not in prediction:
        raise ServerError(f"the server's reply has no {name!r}; it has {sorted(prediction)}")
    try:
        array = np.asarray(prediction[name], np.float32)
    except (TypeError, ValueError) as error:
        raise ServerError(f"{name!r} of the server's reply are no numbers: {error}") from error
    if array.ndim != 2 or array.shape[1] != columns:
        raise ServerError(f"{name!r} of the server's reply has shape {array.shape}, not (T, {columns})")
    if not np.isfinite(array).all():
        raise ServerError(f"{name!r} of the server's reply has values that are not finite")
    return array


def _stick(position: NDArray[np.float32]) -> tuple[int, int]:
    x, y = np.clip(position, -1, 1).tolist()
    return int(x * STICK_MAX), int(y * STICK_MAX)
