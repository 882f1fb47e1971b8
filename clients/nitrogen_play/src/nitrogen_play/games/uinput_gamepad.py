"""A virtual gamepad on Linux: an Xbox 360 pad, by evdev and /dev/uinput."""

from collections.abc import Iterator
from typing import Any

from nitrogen_play.errors import DeviceError
from nitrogen_play.packages import needed
from nitrogen_play.pad import NEUTRAL, PadState

# Linux's codes, from linux/input-event-codes.h. The kernel's own driver of the Xbox pad sends BTN_X (0x133)
# for the button on the left and BTN_Y (0x134) for the one at the top, and games expect that of this pad.
KEYS = {
    "SOUTH": 0x130,
    "EAST": 0x131,
    "WEST": 0x133,
    "NORTH": 0x134,
    "LEFT_SHOULDER": 0x136,
    "RIGHT_SHOULDER": 0x137,
    "BACK": 0x13A,
    "START": 0x13B,
    "GUIDE": 0x13C,
    "LEFT_THUMB": 0x13D,
    "RIGHT_THUMB": 0x13E,
}
_ABS_X, _ABS_Y, _ABS_Z, _ABS_RX, _ABS_RY, _ABS_RZ, _ABS_HAT0X, _ABS_HAT0Y = 0, 1, 2, 3, 4, 5, 16, 17
_EV_KEY, _EV_ABS = 1, 3
_TRIGGER_MAX = 255
_XBOX_360_VENDOR, _XBOX_360_PRODUCT, _XBOX_360_VERSION, _BUS_USB = 0x045E, 0x028E, 0x0110, 3
NAME = "Microsoft X-Box 360 pad"


def axes(state: PadState) -> dict[int, int]:
    """Return each axis' code and value; positive is right and down, on this pad as in the model's actions."""
    pressed = state.pressed
    return {
        _ABS_X: state.left[0],
        _ABS_Y: state.left[1],
        _ABS_RX: state.right[0],
        _ABS_RY: state.right[1],
        _ABS_Z: _TRIGGER_MAX * ("LEFT_TRIGGER" in pressed),
        _ABS_RZ: _TRIGGER_MAX * ("RIGHT_TRIGGER" in pressed),
        _ABS_HAT0X: ("DPAD_RIGHT" in pressed) - ("DPAD_LEFT" in pressed),
        _ABS_HAT0Y: ("DPAD_DOWN" in pressed) - ("DPAD_UP" in pressed),
    }


def events(before: PadState, after: PadState) -> Iterator[tuple[int, int, int]]:
    """Yield type, code and value of each event that leads from one state to the next."""
    for name, code in KEYS.items():
        if (name in before.pressed) != (name in after.pressed):
            yield _EV_KEY, code, int(name in after.pressed)
    old = axes(before)
    for axis, value in axes(after).items():
        if value != old[axis]:
            yield _EV_ABS, axis, value


class UinputGamepad:
    """Holds states on a virtual pad.

    Args:
        device: evdev's `UInput`.
    """

    def __init__(self, device: Any) -> None:  # noqa: ANN401 - untyped
        self._device = device
        self._state = NEUTRAL

    def apply(self, state: PadState) -> None:
        """Hold exactly these buttons and sticks."""
        for event in events(self._state, state):
            self._device.write(*event)
        self._device.syn()
        self._state = state

    def release(self) -> None:
        """Hold nothing, also after an `apply` that was cut short."""
        for code in KEYS.values():
            self._device.write(_EV_KEY, code, 0)
        for axis in axes(NEUTRAL):
            self._device.write(_EV_ABS, axis, 0)
        self._device.syn()
        self._state = NEUTRAL

    def close(self) -> None:
        """Unplug the pad."""
        self.release()
        self._device.close()


def open_uinput_pad() -> UinputGamepad:
    """Plug in an Xbox 360 pad that Linux takes for a real one.

    Raises:
        MissingPackageError: evdev is not installed.
        DeviceError: /dev/uinput is not there or may not be written.
    """
    evdev = needed("evdev", "linux", "a virtual gamepad")
    stick = evdev.AbsInfo(value=0, min=-32_768, max=32_767, fuzz=16, flat=128, resolution=0)
    trigger = evdev.AbsInfo(value=0, min=0, max=_TRIGGER_MAX, fuzz=0, flat=0, resolution=0)
    hat = evdev.AbsInfo(value=0, min=-1, max=1, fuzz=0, flat=0, resolution=0)
    ranges = {_ABS_Z: trigger, _ABS_RZ: trigger, _ABS_HAT0X: hat, _ABS_HAT0Y: hat}
    capabilities: Any = {
        _EV_KEY: list(KEYS.values()),
        _EV_ABS: [(axis, ranges.get(axis, stick)) for axis in axes(NEUTRAL)],
    }
    try:
        device = evdev.UInput(
            capabilities,
            name=NAME,
            vendor=_XBOX_360_VENDOR,
            product=_XBOX_360_PRODUCT,
            version=_XBOX_360_VERSION,
            bustype=_BUS_USB,
        )
    except (OSError, evdev.UInputError) as error:
        raise DeviceError(
            f"a virtual gamepad cannot be made: {error}. Load the module (sudo modprobe uinput) and give "
            "yourself the right to write /dev/uinput (docs/how-to/playing.md has the udev rule), or only "
            "watch: --gamepad none"
        ) from error
    return UinputGamepad(device)


class NoGamepad:
    """Presses nothing, for those who only watch."""

    def apply(self, state: PadState) -> None:
        """Do nothing."""

    def release(self) -> None:
        """Do nothing."""
