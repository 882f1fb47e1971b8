"""A human's keys and pad, and when the model plays."""

import ctypes
import os
import struct
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from evdev import AbsInfo, InputEvent, ecodes
from hypothesis import given
from hypothesis import strategies as st
from nitrogen_play.errors import DeviceError
from nitrogen_play.games.uinput_gamepad import KEYS, axes, events
from nitrogen_play.games.windows_keys import WindowsKeys
from nitrogen_play.pad import NEUTRAL, PadState
from nitrogen_play.takeover.keyboard_hand import KeyboardHand
from nitrogen_play.takeover.linux_pad import LinuxPad, PadReading
from nitrogen_play.takeover.pad_hand import PadHand
from nitrogen_play.takeover.terminal_keys import TerminalKeys, pressed_keys
from nitrogen_play.takeover.windows_pad import XInputPad, XInputState

SOUTH = PadState(frozenset({"SOUTH"}), (0, 0), (0, 0))
STICK = (-32_768, 32_767)
XBOX_RANGES = dict.fromkeys((0, 1, 3, 4), STICK) | {2: (0, 255), 5: (0, 255), 16: (-1, 1), 17: (-1, 1)}
AXIS = st.integers(-32_767, 32_767)
# States of an Xbox pad: its cross holds at most one of two opposite directions.
XBOX_STATES = st.builds(
    lambda names, across, along, left, right: PadState(frozenset({*names, *across, *along}), left, right),
    st.frozensets(st.sampled_from([*KEYS, "LEFT_TRIGGER", "RIGHT_TRIGGER"])),
    st.sampled_from([(), ("DPAD_LEFT",), ("DPAD_RIGHT",)]),
    st.sampled_from([(), ("DPAD_UP",), ("DPAD_DOWN",)]),
    st.tuples(AXIS, AXIS),
    st.tuples(AXIS, AXIS),
)


def test_tab_takes_over_and_gives_back_once_each_time_it_is_pressed() -> None:
    held: set[str] = set()
    hand = KeyboardHand(lambda: held)
    seen = []
    for keys in ({"space"}, {"Tab"}, {"Tab"}, {"space", "Left"}, set(), {"Tab"}, {"space"}):
        held = keys
        state = hand.holds()
        seen.append(None if state is None else state.pressed)
    assert seen == [None, set(), set(), {"SOUTH", "DPAD_LEFT"}, set(), None, None]


def test_a_terminals_keys_have_their_names() -> None:
    data = b"\x1b[AwW \t\r\x7f\x1bOC\x1b[15~\xc3\xa9\x1b[1;5D\x1b[Zs"
    names = list(pressed_keys(data))
    assert names == ["Up", "w", "w", "space", "Tab", "Return", "BackSpace", "Right", "Left", "s"]


@given(st.binary(max_size=50))
def test_whatever_a_terminal_sends_is_names_of_keys(data: bytes) -> None:
    assert all(name.isprintable() for name in pressed_keys(data))


def test_what_is_not_this_programs_terminal_is_refused() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(DeviceError, match="--takeover pad"):
            TerminalKeys(reading)
    finally:
        os.close(reading)
        os.close(writing)


def test_touching_a_pad_takes_over_and_letting_go_for_two_seconds_gives_back() -> None:
    now = 0.0
    state = NEUTRAL
    hand = PadHand(lambda: state, lambda: now)
    assert hand.holds() is None
    state = SOUTH
    assert hand.holds() == SOUTH
    state = NEUTRAL
    now = 1.9
    assert hand.holds() == NEUTRAL
    now = 2.0
    assert hand.holds() is None


def test_a_stick_that_rests_beside_its_middle_takes_nothing_over() -> None:
    state = PadState(frozenset(), (5_000, -4_000), (0, 0))
    assert PadHand(lambda: state).holds() is None
    state = PadState(frozenset(), (20_000, 0), (3_000, 0))
    assert PadHand(lambda: state).holds() == PadState(frozenset(), (20_000, 0), (0, 0))


@given(st.lists(XBOX_STATES, max_size=4))
def test_a_pads_events_are_read_as_what_is_held(states: list[PadState]) -> None:
    reading = PadReading(0x045E, XBOX_RANGES)
    reading.start((), axes(NEUTRAL))
    before = NEUTRAL
    for state in states:
        for event in events(before, state):
            reading.take(*event)
        before = state
        read = reading.state()
        assert read.pressed == state.pressed
        assert read.left == pytest.approx(state.left, abs=2)
        assert read.right == pytest.approx(state.right, abs=2)


@pytest.mark.parametrize(("vendor", "top"), [(0x045E, "WEST"), (0x054C, "NORTH"), (0x057E, "NORTH")])
def test_the_button_at_the_top_is_where_its_driver_says(vendor: int, top: str) -> None:
    reading = PadReading(vendor, {})
    reading.take(ecodes.EV_KEY, ecodes.BTN_NORTH, 1)
    assert reading.state().pressed == {top}


def test_a_pads_own_ranges_count() -> None:
    reading = PadReading(0x054C, {0: (0, 255), 1: (0, 255), 5: (0, 1023)})
    reading.start((ecodes.BTN_DPAD_UP,), {0: 255, 1: 0, 5: 900})
    assert reading.state() == PadState(frozenset({"DPAD_UP", "RIGHT_TRIGGER"}), (32_767, -32_767), (0, 0))


class PipedDevice:
    """An evdev device whose events, as the kernel lays them out, come through a pipe."""

    info = SimpleNamespace(vendor=0x045E)
    _EVENT = struct.Struct("llHHi")

    def __init__(self) -> None:
        self.fd, self._writing = os.pipe()
        self.is_grabbed = False
        self.keys: list[int] = []

    def press(self, *pressed: tuple[int, int, int]) -> None:
        os.write(self._writing, b"".join(self._EVENT.pack(0, 0, *event) for event in pressed))

    def unplug(self) -> None:
        os.close(self._writing)

    def grab(self) -> None:
        self.is_grabbed = True

    def capabilities(self) -> dict[int, Any]:
        return {ecodes.EV_ABS: [(0, AbsInfo(0, *STICK, 0, 0, 0)), (1, AbsInfo(0, *STICK, 0, 0, 0))]}

    def absinfo(self, _: int) -> AbsInfo:
        return AbsInfo(0, *STICK, 0, 0, 0)

    def active_keys(self) -> list[int]:
        return self.keys

    def read(self) -> Iterator[InputEvent]:
        data = os.read(self.fd, 64 * self._EVENT.size)
        if not data:
            raise OSError(19, "No such device")
        return (InputEvent(*fields) for fields in self._EVENT.iter_unpack(data))

    def close(self) -> None:
        os.close(self.fd)


def test_a_pad_is_read_until_it_is_unplugged() -> None:
    device, said = PipedDevice(), list[str]()
    pad = LinuxPad(device, said.append)
    assert device.is_grabbed
    assert pad.read() == NEUTRAL
    device.press((ecodes.EV_KEY, ecodes.BTN_SOUTH, 1), (ecodes.EV_ABS, ecodes.ABS_X, 32_767), (0, 0, 0))
    assert pad.read() == PadState(frozenset({"SOUTH"}), (32_767, 0), (0, 0))
    device.unplug()
    assert [pad.read(), pad.read()] == [NEUTRAL, NEUTRAL]
    assert said == ["the gamepad has been unplugged: the model plays on, and nobody can take over"]
    pad.close()


def test_where_the_kernel_left_out_events_the_pad_is_asked() -> None:
    device = PipedDevice()
    pad = LinuxPad(device, pytest.fail)
    device.press((ecodes.EV_KEY, ecodes.BTN_EAST, 1))
    device.keys = [ecodes.BTN_SOUTH]
    device.press((ecodes.EV_SYN, ecodes.SYN_DROPPED, 0))
    assert pad.read().pressed == {"SOUTH"}
    device.unplug()
    pad.close()


def test_windows_keys_are_held_while_the_game_is_in_front() -> None:
    down, is_in_front = {0x09, ord("W"), 0x20}, True
    user32 = SimpleNamespace(GetAsyncKeyState=lambda code: -32_768 if code in down else 1)
    keys = WindowsKeys(user32, lambda: is_in_front)
    assert keys.held() == {"Tab", "w", "space"}
    is_in_front = False
    assert keys.held() == set()


def test_windows_pad_is_read_with_sticks_that_point_down_and_until_it_is_unplugged() -> None:
    given_state = XInputState(1, 0x1001, 255, 10, 32_767, 32_767, -32_768, -32_768)
    answer, said = 0, list[str]()

    def get_state(number: int, place: Any) -> int:  # noqa: ANN401 - a ctypes pointer
        assert number == 2
        ctypes.memmove(place, ctypes.byref(given_state), ctypes.sizeof(given_state))
        return answer

    pad = XInputPad(get_state, 2, said.append)
    pressed = frozenset({"SOUTH", "DPAD_UP", "LEFT_TRIGGER"})
    assert ctypes.sizeof(XInputState) == 16
    assert pad.read() == PadState(pressed, (32_767, -32_767), (-32_767, 32_767))
    answer = 1167
    assert [pad.read(), pad.read()] == [NEUTRAL, NEUTRAL]
    assert len(said) == 1
