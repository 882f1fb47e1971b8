"""The keyboard on Windows, while the game's window or the program's own console is in front."""

from collections.abc import Callable, Set
from typing import Any

from nitrogen_play.keyboard import BUTTONS_OF_KEYS, TAKE_OVER

# Windows' virtual key codes; letters have their capitals' character codes.
_CODES = {
    "Tab": 0x09,
    "BackSpace": 0x08,
    "Return": 0x0D,
    "space": 0x20,
    "Left": 0x25,
    "Up": 0x26,
    "Right": 0x27,
    "Down": 0x28,
}
_IS_DOWN = 0x8000


def virtual_key(key: str) -> int:
    """Return a key's code."""
    return _CODES.get(key) or ord(key.upper())


class WindowsKeys:
    """The keys that are held.

    Args:
        user32: the system's library.
        is_in_front: whether keys are meant for the game.
    """

    def __init__(self, user32: Any, is_in_front: Callable[[], bool]) -> None:  # noqa: ANN401 - untyped
        self._user32 = user32
        self._is_in_front = is_in_front
        self._codes = {key: virtual_key(key) for key in (TAKE_OVER, *BUTTONS_OF_KEYS)}

    def held(self) -> Set[str]:
        """Return the names of the keys that are held now."""
        if not self._is_in_front():
            return frozenset()
        return {key for key, code in self._codes.items() if self._user32.GetAsyncKeyState(code) & _IS_DOWN}


def open_windows_keys(window: int | None) -> WindowsKeys:
    """Return the keyboard.

    Args:
        window: handle of the game's, None for one without.
    """
    import ctypes  # noqa: PLC0415 - its windll is there on Windows only

    windll: Any = getattr(ctypes, "windll")  # noqa: B009 - mypy knows it on Windows only
    own = windll.kernel32.GetConsoleWindow()
    return WindowsKeys(windll.user32, lambda: windll.user32.GetForegroundWindow() in (window, own))
