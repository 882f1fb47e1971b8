"""The keys that stand for a pad, and the one that takes over and gives back."""

from collections.abc import Callable, Set

TAKE_OVER = "Tab"
# By the keys' labels, under X11's names; the play page has the same table.
BUTTONS_OF_KEYS = {
    "Up": "DPAD_UP",
    "Down": "DPAD_DOWN",
    "Left": "DPAD_LEFT",
    "Right": "DPAD_RIGHT",
    "w": "DPAD_UP",
    "s": "DPAD_DOWN",
    "a": "DPAD_LEFT",
    "d": "DPAD_RIGHT",
    "space": "SOUTH",
    "k": "SOUTH",
    "j": "WEST",
    "l": "EAST",
    "i": "NORTH",
    "q": "LEFT_SHOULDER",
    "e": "RIGHT_SHOULDER",
    "Return": "START",
    "BackSpace": "BACK",
}
HeldKeys = Callable[[], Set[str]]
