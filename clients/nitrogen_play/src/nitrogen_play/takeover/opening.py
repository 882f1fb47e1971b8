"""Who may take over, as `--takeover` says, on this system."""

import sys
from collections.abc import Callable
from contextlib import ExitStack

from nitrogen_play.errors import DeviceError
from nitrogen_play.interfaces import Game, Human
from nitrogen_play.keyboard import TAKE_OVER
from nitrogen_play.takeover.keyboard_hand import KeyboardHand
from nitrogen_play.takeover.linux_pad import open_linux_pad
from nitrogen_play.takeover.pad_hand import PadHand
from nitrogen_play.takeover.terminal_keys import TerminalKeys

_STANDARD_INPUT = 0  # where there is none, Python has no `sys.stdin`


def open_pad(stack: ExitStack, say: Callable[[str], None]) -> Human:
    """Return a human with a real pad, which `stack` gives back; call it before the game has a virtual one.

    Raises:
        MissingPackageError: a package is not installed.
        DeviceError: there is no pad that may be read.
    """
    if sys.platform == "win32":
        from nitrogen_play.takeover.windows_pad import open_windows_pad  # noqa: PLC0415

        return PadHand(open_windows_pad(say).read)
    if sys.platform != "linux":
        raise DeviceError(
            f"a gamepad can be read on Linux and Windows, not on {sys.platform}; use --takeover keys"
        )
    pad = open_linux_pad(say)
    stack.callback(pad.close)
    return PadHand(pad.read)


def open_keyboard(stack: ExitStack, game: Game, say: Callable[[str], None]) -> Human:
    """Return a human at the keyboard: that of the game's window, else the terminal's until `stack` ends.

    Raises:
        DeviceError: it cannot be read.
    """
    held, where = game.held_keys, "in the game's window"
    if held is None:
        where = "in this window"
        if sys.platform == "win32":
            from nitrogen_play.games.windows_keys import open_windows_keys  # noqa: PLC0415

            held = open_windows_keys(None).held
        else:
            keys = TerminalKeys(_STANDARD_INPUT)
            stack.callback(keys.close)
            held = keys.held
    say(f"{TAKE_OVER} {where} takes over from the model, and gives back")
    return KeyboardHand(held)
