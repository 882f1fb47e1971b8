"""A virtual Xbox 360 gamepad on Windows, by vgamepad (the ViGEm driver)."""

from typing import Any

from nitrogen_play.errors import DeviceError
from nitrogen_play.packages import needed
from nitrogen_play.pad import PadState

# The button bits of XInput's XINPUT_GAMEPAD. The model's other four names, a cross for the right stick, have
# no button on this pad; the reference leaves them out as well.
BITS = {
    "DPAD_UP": 0x0001,
    "DPAD_DOWN": 0x0002,
    "DPAD_LEFT": 0x0004,
    "DPAD_RIGHT": 0x0008,
    "START": 0x0010,
    "BACK": 0x0020,
    "LEFT_THUMB": 0x0040,
    "RIGHT_THUMB": 0x0080,
    "LEFT_SHOULDER": 0x0100,
    "RIGHT_SHOULDER": 0x0200,
    "GUIDE": 0x0400,
    "SOUTH": 0x1000,
    "EAST": 0x2000,
    "WEST": 0x4000,
    "NORTH": 0x8000,
}
_TRIGGER_MAX = 255


def button_bits(state: PadState) -> int:
    """Return a state's buttons as XInput's bits."""
    return sum(BITS[name] for name in state.pressed if name in BITS)


class XboxGamepad:
    """Holds states on a virtual pad.

    Args:
        pad: vgamepad's `VX360Gamepad`.
    """

    def __init__(self, pad: Any) -> None:  # noqa: ANN401 - untyped
        self._pad = pad

    def apply(self, state: PadState) -> None:
        """Hold exactly these buttons and sticks."""
        pad = self._pad
        pad.reset()
        pad.report.wButtons = button_bits(state)
        pad.left_trigger(value=_TRIGGER_MAX * ("LEFT_TRIGGER" in state.pressed))
        pad.right_trigger(value=_TRIGGER_MAX * ("RIGHT_TRIGGER" in state.pressed))
        # XInput's sticks point up; -y - 1 is the reference's way to turn them over.
        pad.left_joystick(x_value=state.left[0], y_value=-state.left[1] - 1)
        pad.right_joystick(x_value=state.right[0], y_value=-state.right[1] - 1)
        pad.update()

    def release(self) -> None:
        """Hold nothing."""
        self._pad.reset()
        self._pad.update()


def open_xbox_pad() -> XboxGamepad:
    """Plug in a virtual pad.

    Raises:
        MissingPackageError: vgamepad is not installed.
        DeviceError: its driver does not answer.
    """
    vgamepad = needed("vgamepad", "windows", "a virtual gamepad")
    try:
        return XboxGamepad(vgamepad.VX360Gamepad())
    except Exception as error:  # vgamepad raises plain Exceptions with the driver's codes
        raise DeviceError(
            f"a virtual gamepad cannot be plugged in: {error}. Is the ViGEmBus driver installed? "
            "vgamepad's installer brings it; run that again if you declined the driver"
        ) from error
