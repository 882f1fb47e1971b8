"""A real gamepad on Windows, by XInput. Games see it, too: nothing keeps it from them."""

import ctypes
from collections.abc import Callable
from typing import Any

from nitrogen_play.errors import DeviceError
from nitrogen_play.games.xbox_pad import BITS
from nitrogen_play.pad import NEUTRAL, PadState

_MAX_PADS = 4
_TRIGGER_FROM = 128


class XInputState(ctypes.Structure):
    """XINPUT_STATE, with the fields of XINPUT_GAMEPAD."""

    _fields_ = (
        ("packet", ctypes.c_uint32),
        ("buttons", ctypes.c_uint16),
        ("left_trigger", ctypes.c_uint8),
        ("right_trigger", ctypes.c_uint8),
        ("left_x", ctypes.c_int16),
        ("left_y", ctypes.c_int16),
        ("right_x", ctypes.c_int16),
        ("right_y", ctypes.c_int16),
    )


def pad_state(state: Any) -> PadState:  # noqa: ANN401 - a ctypes structure's fields are untyped
    """Return an `XInputState` as a pad's. XInput's sticks point up, ours down."""
    pressed = {name for name, bit in BITS.items() if state.buttons & bit}
    triggers = {"LEFT_TRIGGER": state.left_trigger, "RIGHT_TRIGGER": state.right_trigger}
    pressed |= {name for name, value in triggers.items() if value >= _TRIGGER_FROM}
    left, right = ((max(x, -32_767), -max(y, -32_767)) for x, y in _sticks(state))
    return PadState(frozenset(pressed), left, right)


class XInputPad:
    """A real pad.

    Args:
        get_state: XInput's `XInputGetState`.
        number: which of the pads.
    """

    def __init__(self, get_state: Callable[[int, Any], int], number: int, say: Callable[[str], None]) -> None:
        self._get_state = get_state
        self._number = number
        self._say = say
        self._is_gone = False

    def read(self) -> PadState:
        """Return the pad's state now; that of one that was unplugged is nothing."""
        state = XInputState()
        is_gone = self._get_state(self._number, ctypes.byref(state)) != 0
        if is_gone and not self._is_gone:
            self._say("the gamepad has been unplugged: the model plays on until you plug it in again")
        self._is_gone = is_gone
        return NEUTRAL if is_gone else pad_state(state)


def open_windows_pad(say: Callable[[str], None]) -> XInputPad:
    """Return the first real pad; call it before a virtual one is plugged in.

    Raises:
        DeviceError: there is none.
    """
    windll: Any = getattr(ctypes, "windll")  # noqa: B009 - mypy knows it on Windows only
    get_state = windll.xinput1_4.XInputGetState
    for number in range(_MAX_PADS):
        if get_state(number, ctypes.byref(XInputState())) == 0:
            say(f"taking over with gamepad {number + 1}")
            return XInputPad(get_state, number, say)
    raise DeviceError("there is no gamepad to take over with: plug it in, or use --takeover keys")


def _sticks(state: Any) -> tuple[tuple[int, int], tuple[int, int]]:  # noqa: ANN401 - as above
    return (state.left_x, state.left_y), (state.right_x, state.right_y)
