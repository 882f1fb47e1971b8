"""The keys of a terminal, which tells when a key is pressed or repeats, but not when it is let go."""

import os
import re
import select
import time
from collections.abc import Callable, Iterator, Set
from contextlib import suppress
from functools import partial

from nitrogen_play.errors import DeviceError

_HELD_S = 0.25
_MAX_BYTES = 1024
# A control sequence, such as an arrow's with or without Ctrl, or a character.
_PRESS = re.compile(rb"\x1b(?:\[[0-9;]*|O)([A-Za-z~])|([\x20-\x7e\t\r\n\x08\x7f])")
_ARROWS = {b"A": "Up", b"B": "Down", b"C": "Right", b"D": "Left"}
_NAMES = {"\t": "Tab", " ": "space", "\r": "Return", "\n": "Return", "\x7f": "BackSpace", "\x08": "BackSpace"}


def pressed_keys(data: bytes) -> Iterator[str]:
    """Yield the names of the keys in what a terminal sends; leave out keys that have none here."""
    for found in _PRESS.finditer(data):
        final, character = found.groups()
        if final in _ARROWS:
            yield _ARROWS[final]
        elif character:
            text = character.decode("ascii")
            yield _NAMES.get(text, text.lower())


class TerminalKeys:
    """The keys of this process' terminal: each is held for a quarter of a second, and while it repeats.

    Args:
        file: the terminal's descriptor, which gives single keys without showing them until `close`.
        clock: seconds.

    Raises:
        DeviceError: it is not a terminal, or another program has it.
    """

    def __init__(self, file: int, clock: Callable[[], float] = time.monotonic) -> None:
        try:
            import termios  # noqa: PLC0415 - not on Windows
            import tty  # noqa: PLC0415 - as above
        except ImportError:
            raise DeviceError(
                "a terminal's keys can be read on Linux and macOS only: use --takeover pad"
            ) from None
        if not _is_ours(file):
            raise DeviceError(
                "--takeover keys reads the terminal's keys, but standard input is not a terminal, or this "
                "program runs in its background: start it in a terminal's foreground, or use --takeover pad"
            )
        self._file = file
        self._clock = clock
        self._until: dict[str, float] = {}
        self._restore = partial(termios.tcsetattr, file, termios.TCSADRAIN, termios.tcgetattr(file))
        self._gone = (OSError, termios.error)
        tty.setcbreak(file)

    def held(self) -> Set[str]:
        """Return the names of the keys that are held now; none once the terminal has been closed."""
        now = self._clock()
        with suppress(*self._gone):
            if select.select([self._file], [], [], 0)[0]:
                for key in pressed_keys(os.read(self._file, _MAX_BYTES)):
                    self._until[key] = now + _HELD_S
        if self._until:
            self._until = {key: until for key, until in self._until.items() if until > now}
        return self._until.keys()

    def close(self) -> None:
        """Give the terminal back as it was, if it is still there."""
        with suppress(*self._gone):
            self._restore()


def _is_ours(file: int) -> bool:
    """Return whether this runs in the terminal's foreground; the system stops others that change it."""
    try:
        return os.tcgetpgrp(file) == os.getpgrp()
    except OSError:
        return False  # Not a terminal, or not this session's.
