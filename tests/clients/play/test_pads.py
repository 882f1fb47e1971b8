"""From a reply to what is held: the pad's states, an Xbox pad on Linux and Windows, consoles."""

from types import SimpleNamespace

import numpy as np
import pytest
from evdev import ecodes
from nitrogen_play.consoles import retro_console, retro_systems
from nitrogen_play.games.open_window import wake
from nitrogen_play.games.uinput_gamepad import KEYS, UinputGamepad, axes, events
from nitrogen_play.games.xbox_pad import XboxGamepad, button_bits
from nitrogen_play.pad import BUTTONS, MENU_BUTTONS, NEUTRAL, PadState, pad_states
from numpy.typing import NDArray

ALL = PadState(frozenset(BUTTONS), (32_767, -32_767), (-5, 7))


def reply(steps: int = 2) -> dict[str, NDArray[np.float32]]:
    return {
        "buttons": np.ones((steps, 21), np.float32),
        "j_left": np.full((steps, 2), (1.0, -1.0), np.float32),
        "j_right": np.full((steps, 2), (0.5, -0.25), np.float32),
    }


def test_menu_buttons_are_off_unless_allowed() -> None:
    (first, _) = pad_states(reply(), allow_menu=False)
    assert first.pressed == set(BUTTONS) - {"START", "BACK", "GUIDE"}
    assert pad_states(reply(), allow_menu=True)[0].pressed == set(BUTTONS)


def test_sticks_are_cut_off_at_their_ends() -> None:
    (state,) = pad_states(reply(1) | {"j_left": np.array([[1.5, -7.0]], np.float32)}, allow_menu=False)
    assert state.left == (32_767, -32_767)
    assert state.right == (16_383, -8_191)


def test_codes_are_those_of_the_kernel() -> None:
    # By what is printed on an Xbox pad: X is on the left, Y at the top.
    assert KEYS["WEST"] == ecodes.BTN_X
    assert KEYS["NORTH"] == ecodes.BTN_Y
    names = {"SOUTH": "A", "EAST": "B", "LEFT_SHOULDER": "TL", "RIGHT_SHOULDER": "TR", "BACK": "SELECT"}
    names |= {"START": "START", "GUIDE": "MODE", "LEFT_THUMB": "THUMBL", "RIGHT_THUMB": "THUMBR"}
    for name, code in names.items():
        assert KEYS[name] == getattr(ecodes, f"BTN_{code}")


def test_axes_are_triggers_sticks_and_the_cross() -> None:
    up_and_trigger = PadState(frozenset({"DPAD_UP", "DPAD_RIGHT", "RIGHT_TRIGGER"}), (100, -200), (3, 4))
    values = axes(up_and_trigger)
    assert (values[ecodes.ABS_HAT0X], values[ecodes.ABS_HAT0Y]) == (1, -1)
    assert (values[ecodes.ABS_Z], values[ecodes.ABS_RZ]) == (0, 255)
    assert (values[ecodes.ABS_X], values[ecodes.ABS_Y]) == (100, -200)
    assert (values[ecodes.ABS_RX], values[ecodes.ABS_RY]) == (3, 4)


def test_events_are_only_of_what_changes() -> None:
    south = PadState(frozenset({"SOUTH"}), (0, 0), (0, 0))
    assert list(events(NEUTRAL, south)) == [(ecodes.EV_KEY, ecodes.BTN_SOUTH, 1)]
    assert list(events(south, south)) == []
    assert list(events(south, NEUTRAL)) == [(ecodes.EV_KEY, ecodes.BTN_SOUTH, 0)]


def test_events_to_nothing_undo_all() -> None:
    there = {(kind, code) for kind, code, _ in events(NEUTRAL, ALL)}
    back = {(kind, code): value for kind, code, value in events(ALL, NEUTRAL)}
    assert set(back) == there
    assert set(back.values()) == {0}


class StandInDevice:
    """Keeps the events that are sent, as /dev/uinput does; the third of a batch fails where wanted."""

    def __init__(self) -> None:
        self.held: dict[tuple[int, int], int] = {}
        self.is_broken = False
        self.is_open = True
        self._queued: list[tuple[int, int, int]] = []

    def write(self, etype: int, code: int, value: int) -> None:
        if self.is_broken and len(self._queued) == 2:
            self.syn()
            raise KeyboardInterrupt
        self._queued.append((etype, code, value))

    def syn(self) -> None:
        for etype, code, value in self._queued:
            self.held[etype, code] = value
        self._queued.clear()

    def close(self) -> None:
        self.is_open = False


def test_linux_pad_holds_a_state_and_unplugs_with_nothing_held() -> None:
    device = StandInDevice()
    gamepad = UinputGamepad(device)
    gamepad.apply(ALL)
    assert device.held[ecodes.EV_KEY, ecodes.BTN_SOUTH] == 1
    assert device.held[ecodes.EV_ABS, ecodes.ABS_Y] == -32_767
    gamepad.close()
    assert not device.is_open
    assert set(device.held.values()) == {0}


def test_linux_pad_lets_go_also_of_what_an_interrupted_step_has_pressed() -> None:
    device = StandInDevice()
    gamepad = UinputGamepad(device)
    device.is_broken = True
    with pytest.raises(KeyboardInterrupt):
        gamepad.apply(ALL)
    device.is_broken = False
    assert any(device.held.values())
    gamepad.release()
    assert set(device.held.values()) == {0}


class StandInPad:
    """Keeps what it is told, as vgamepad's pad does, and shows at `update` what the game would see."""

    values: dict[str, object]

    def __init__(self) -> None:
        self.seen: list[dict[str, object]] = []
        self.reset()

    def reset(self) -> None:
        self.report = SimpleNamespace(wButtons=0)
        self.values = {"left trigger": 0, "right trigger": 0, "left": (0, 0), "right": (0, 0)}

    def left_trigger(self, value: int) -> None:
        self.values["left trigger"] = value

    def right_trigger(self, value: int) -> None:
        self.values["right trigger"] = value

    def left_joystick(self, x_value: int, y_value: int) -> None:
        self.values["left"] = (x_value, y_value)

    def right_joystick(self, x_value: int, y_value: int) -> None:
        self.values["right"] = (x_value, y_value)

    def update(self) -> None:
        self.seen.append({"buttons": self.report.wButtons, **self.values})


def test_windows_pad_shows_a_state_and_then_nothing() -> None:
    pad = StandInPad()
    gamepad = XboxGamepad(pad)
    gamepad.apply(PadState(frozenset({"SOUTH", "DPAD_UP", "LEFT_TRIGGER", "RIGHT_UP"}), (9, 32_767), (0, 0)))
    gamepad.release()
    # XInput's sticks point up, the model's down.
    held = {"left trigger": 255, "right trigger": 0, "left": (9, -32_768), "right": (0, -1)}
    assert pad.seen[0] == {"buttons": 0x1001, **held}
    nothing = {"left trigger": 0, "right trigger": 0, "left": (0, 0), "right": (0, 0)}
    assert pad.seen[1] == {"buttons": 0, **nothing}


def test_windows_bits_are_those_of_xinput() -> None:
    # XINPUT_GAMEPAD: all bits but 0x0800, which has no button.
    assert button_bits(ALL) == 0xF7FF
    assert button_bits(PadState(frozenset({"WEST"}), (0, 0), (0, 0))) == 0x4000


def test_waking_a_game_ends_with_nothing_held() -> None:
    for process, presses in (("celeste.exe", 1), ("Cuphead.exe", 6)):
        pad = StandInPad()
        wake(XboxGamepad(pad), process, lambda _: None, lambda _: None)
        assert len(pad.seen) == 2 * presses
        assert [bool(seen["buttons"]) for seen in pad.seen] == [True, False] * presses


def test_sticks_and_cross_press_a_mega_drives_cross() -> None:
    console = retro_console("Genesis")
    assert console is not None
    assert console.pressed(PadState(frozenset({"DPAD_UP", "SOUTH"}), (-20_000, 0), (0, 0))) == {
        "UP",
        "LEFT",
        "B",
    }
    assert console.pressed(PadState(frozenset(), (-16_000, 16_000), (0, 0))) == frozenset()
    assert console.pressed(PadState(frozenset(), (32_767, 32_767), (0, 0))) == {"RIGHT", "DOWN"}


@pytest.mark.parametrize("system", retro_systems())
def test_a_consoles_menu_buttons_hang_on_the_pads_menu_buttons_alone(system: str) -> None:
    console = retro_console(system)
    assert console is not None
    playing = console.pressed(PadState(frozenset(BUTTONS) - MENU_BUTTONS, (0, 0), (0, 0)))
    assert not playing & {"START", "SELECT", "MODE"}
    assert "START" in console.pressed(ALL)


def test_a_console_that_is_not_listed_is_none() -> None:
    assert retro_console("Atari2600") is None
