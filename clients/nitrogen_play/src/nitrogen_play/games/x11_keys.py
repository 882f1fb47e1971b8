"""The keyboard of an X11 display, while the game's window has the focus."""

from collections.abc import Set
from typing import Any

from nitrogen_play.keyboard import BUTTONS_OF_KEYS, TAKE_OVER

# A window that has the focus is the game's own, or inside it.
_MAX_LEVELS = 4


class X11Keys:
    """The keys that are held.

    Args:
        display: python-xlib's.
        window: the game's.
        errors: what python-xlib raises when either is gone.
    """

    def __init__(self, display: Any, window: Any, errors: tuple[type[Exception], ...]) -> None:  # noqa: ANN401 - untyped
        from Xlib import XK  # noqa: PLC0415 - an extra

        self._display = display
        self._window = window
        self._errors = errors
        codes = {
            key: display.keysym_to_keycode(XK.string_to_keysym(key)) for key in (TAKE_OVER, *BUTTONS_OF_KEYS)
        }
        self._codes = {key: code for key, code in codes.items() if code}  # 0 where the keyboard lacks it

    def held(self) -> Set[str]:
        """Return the names of the keys that are held now."""
        try:
            down = self._display.query_keymap()
            held = {key for key, code in self._codes.items() if down[code // 8] >> code % 8 & 1}
            return held if held and self._has_focus() else frozenset()
        except self._errors:
            return frozenset()  # The screen tells that the window is gone.

    def _has_focus(self) -> bool:
        window = self._display.get_input_focus().focus
        for _ in range(_MAX_LEVELS):
            if isinstance(window, int) or not window:  # nobody's, or the root's
                return False
            if window.id == self._window.id:
                return True
            window = window.query_tree().parent
        return False
