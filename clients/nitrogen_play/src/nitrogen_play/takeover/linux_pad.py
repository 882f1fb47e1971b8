"""A real gamepad on Linux, by evdev; games do not see it while this program reads it."""

import select
from collections.abc import Callable, Iterable
from typing import Any

from nitrogen_play.errors import DeviceError
from nitrogen_play.games.uinput_gamepad import KEYS
from nitrogen_play.packages import needed
from nitrogen_play.pad import NEUTRAL, STICK_MAX, PadState

_EV_SYN, _EV_KEY, _EV_ABS = 0, 1, 3
_SYN_DROPPED = 3
_BTN_SOUTH = KEYS["SOUTH"]
_ABS_X = 0
_STICKS = {0: ("left", 0), 1: ("left", 1), 3: ("right", 0), 4: ("right", 1)}
_TRIGGERS = {2: "LEFT_TRIGGER", 5: "RIGHT_TRIGGER"}
_HATS = {16: ("DPAD_LEFT", "DPAD_RIGHT"), 17: ("DPAD_UP", "DPAD_DOWN")}
# Pads whose triggers or cross are buttons.
_MORE_KEYS = {
    0x138: "LEFT_TRIGGER",
    0x139: "RIGHT_TRIGGER",
    0x220: "DPAD_UP",
    0x221: "DPAD_DOWN",
    0x222: "DPAD_LEFT",
    0x223: "DPAD_RIGHT",
}
# The drivers of Sony's and Nintendo's pads follow the kernel's rule, that BTN_NORTH (0x133) is the button at
# the top; that of Xbox pads, and of all that behave like one, sends it for the button on the left.
_BY_PLACE = (0x054C, 0x057E)


class PadReading:
    """A pad's state, from its events.

    Args:
        ranges: each axis' least and largest value.
    """

    def __init__(self, vendor: int, ranges: dict[int, tuple[int, int]]) -> None:
        self._buttons = {code: name for name, code in KEYS.items()} | _MORE_KEYS
        if vendor in _BY_PLACE:
            self._buttons |= {KEYS["WEST"]: "NORTH", KEYS["NORTH"]: "WEST"}
        self._ranges = ranges
        self._keys: set[int] = set()
        self._axes: dict[int, int] = {}

    def start(self, keys: Iterable[int], axes: dict[int, int]) -> None:
        """Begin with the keys that are held and the axes' values."""
        self._keys = set(keys)
        self._axes = dict(axes)

    def take(self, type_: int, code: int, value: int) -> None:
        """Take an event."""
        if type_ == _EV_KEY:
            (self._keys.add if value else self._keys.discard)(code)
        elif type_ == _EV_ABS:
            self._axes[code] = value

    def state(self) -> PadState:
        """Return the pad's state."""
        pressed = {self._buttons[code] for code in self._keys if code in self._buttons}
        sticks = {"left": [0, 0], "right": [0, 0]}
        for code in self._axes:
            place = self._place(code)
            if code in _STICKS:
                side, axis = _STICKS[code]
                sticks[side][axis] = round((2 * place - 1) * STICK_MAX)
            elif code in _TRIGGERS and place > 0.5:
                pressed.add(_TRIGGERS[code])
            elif code in _HATS and self._axes[code]:
                pressed.add(_HATS[code][self._axes[code] > 0])
        left, right = ((x, y) for x, y in sticks.values())
        return PadState(frozenset(pressed), left, right)

    def _place(self, code: int) -> float:
        """Return where an axis is between its ends, 0 to 1."""
        least, largest = self._ranges.get(code, (0, 1))
        return min(1.0, max(0.0, (self._axes[code] - least) / max(1, largest - least)))


class LinuxPad:
    """A real pad.

    Args:
        device: evdev's `InputDevice`.
        say: called with a sentence that the player should see.
    """

    def __init__(self, device: Any, say: Callable[[str], None]) -> None:  # noqa: ANN401 - untyped
        self._device = device
        self._say = say
        self._is_gone = False
        axes = device.capabilities().get(_EV_ABS, ())
        self._axes = {code: (axis.min, axis.max) for code, axis in axes}
        self._reading = PadReading(device.info.vendor, self._axes)
        device.grab()
        self._start()

    def read(self) -> PadState:
        """Return the pad's state now; that of one that was unplugged is nothing."""
        if self._is_gone:
            return NEUTRAL
        try:
            while select.select([self._device.fd], [], [], 0)[0]:
                for event in self._device.read():
                    if (event.type, event.code) == (_EV_SYN, _SYN_DROPPED):
                        self._start()  # The kernel has left out events.
                    self._reading.take(event.type, event.code, event.value)
        except OSError:
            self._is_gone = True
            self._say("the gamepad has been unplugged: the model plays on, and nobody can take over")
            return NEUTRAL
        return self._reading.state()

    def close(self) -> None:
        """Let games have the pad again."""
        self._device.close()

    def _start(self) -> None:
        axes = {code: self._device.absinfo(code).value for code in self._axes}
        self._reading.start(self._device.active_keys(), axes)


def open_linux_pad(say: Callable[[str], None]) -> LinuxPad:
    """Return the first real pad; call it before a virtual one is plugged in.

    Raises:
        MissingPackageError: evdev is not installed.
        DeviceError: there is no pad that may be read.
    """
    evdev = needed("evdev", "linux", "taking over with a gamepad")
    for path in sorted(evdev.list_devices()):
        device = evdev.InputDevice(path)
        try:
            has = device.capabilities(absinfo=False)
            if _BTN_SOUTH in has.get(_EV_KEY, ()) and _ABS_X in has.get(_EV_ABS, ()):
                pad = LinuxPad(device, say)
                say(f"taking over with {device.name!r}")
                return pad
        except OSError:
            pass  # Another program has it to itself.
        device.close()
    raise DeviceError(
        "there is no gamepad to take over with, or you may not read it: plug it in, and give yourself the "
        'right to read it (sudo usermod -aG input "$USER", then log in again), or use --takeover keys'
    )
