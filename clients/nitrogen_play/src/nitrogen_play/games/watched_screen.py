"""A window's screen that says when there is nothing to be seen on it."""

import time
from collections.abc import Callable

from nitrogen_play.interfaces import Picture, Screen

_WARNED_AFTER_S = 5.0
# A few pixels tell whether a picture has something on it.
_STRIDE = 8


class WatchedScreen:
    """Says once when all pictures are of one colour for five seconds, and once when they no longer are.

    Args:
        say: called with a sentence that the player should see.
        advice: what may be wrong, as a sentence.
        clock: seconds.
    """

    def __init__(
        self,
        screen: Screen,
        say: Callable[[str], None],
        advice: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._screen = screen
        self._say = say
        self._advice = advice
        self._clock = clock
        self._flat_since: float | None = None
        self._is_warned = False

    def capture(self) -> Picture:
        """Return the present picture, as the screen gives it."""
        picture = self._screen.capture()
        if not _is_flat(picture):
            self._flat_since = None
            if self._is_warned:
                self._is_warned = False
                self._say("the pictures show something again")
            return picture
        now = self._clock()
        if self._flat_since is None:
            self._flat_since = now
        if not self._is_warned and now - self._flat_since >= _WARNED_AFTER_S:
            self._is_warned = True
            colour = "#{:02x}{:02x}{:02x}".format(*picture[0, 0].tolist())
            shown = "black" if not picture[0, 0].any() else f"of one colour ({colour})"
            self._say(
                f"all pictures have been {shown} for {_WARNED_AFTER_S:g} s, and the model plays blind: "
                + self._advice
            )
        return picture


def _is_flat(picture: Picture) -> bool:
    """Return whether all of a picture is of one colour."""
    first = picture[0, 0]
    return bool((picture[::_STRIDE, ::_STRIDE] == first).all() and (picture == first).all())
