"""Start a desktop and a game on it; print as JSON what nitrogen-play finds and sees. Runs in a container."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from nitrogen_play.errors import DeviceError, PlayError
from nitrogen_play.games.windows_list import OpenWindow
from nitrogen_play.games.x11_window import X11Windows
from nitrogen_play.interfaces import Picture
from Xlib import XK, X
from Xlib.display import Display
from Xlib.ext.xtest import fake_input

Seen = TypeVar("Seen")
WITHIN_S = 20
XVFB = ("Xvfb", ":0", "-screen", "0", "800x600x24", "-nolisten", "tcp")
DESKTOPS = {
    "none": (XVFB,),
    "twm": (XVFB, ("env", "LC_ALL=C", "twm", "-f", "/desktops/twmrc")),
    "wayland": (("cage", "--", "sleep", "infinity"),),
}
PAINT = ("/usr/bin/python3", str(Path(__file__).with_name("paint.py")))


@contextmanager
def running(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def soon(look: Callable[[], Seen | None], what: str) -> Seen:
    """Return what `look` returns as soon as that is not None."""
    deadline = time.monotonic() + WITHIN_S
    while (seen := look()) is None:
        assert time.monotonic() < deadline, f"{what} not within {WITHIN_S} s"
        time.sleep(0.05)
    return seen


def display() -> X11Windows | None:
    try:
        return X11Windows()
    except DeviceError:
        return None


def titled(windows: X11Windows, title: str) -> OpenWindow | None:
    return next((window for window in windows.listed() if window.title == title), None)


def colours(picture: Picture) -> list[str]:
    """The colours in the middles of both halves."""
    height, width, _ = picture.shape
    middles = (picture[height // 2, width // 4], picture[height // 2, 3 * width // 4])
    return ["#{:02x}{:02x}{:02x}".format(*pixel.tolist()) for pixel in middles]


def held_keys(windows: X11Windows, game: OpenWindow) -> list[list[str]]:
    """Show the keys that count as held while Tab and A are down: with no window in front, then the game's."""
    keyboard = Display()
    codes = [keyboard.keysym_to_keycode(XK.string_to_keysym(name)) for name in ("Tab", "a")]
    window = keyboard.create_resource_object("window", game.handle)
    held = []
    for code in codes:
        fake_input(keyboard, X.KeyPress, code)
    for focus in (X.NONE, window):
        keyboard.set_input_focus(focus, X.RevertToNone, X.CurrentTime)
        keyboard.sync()
        held.append(sorted(windows.keys(game).held()))
    for code in codes:
        fake_input(keyboard, X.KeyRelease, code)
    keyboard.sync()
    return [*held, sorted(windows.keys(game).held())]


def main(desktop: str) -> None:
    with ExitStack() as stack:
        for command in DESKTOPS[desktop]:
            stack.enter_context(running(*command))
            windows = soon(display, "a display")
        with running(*PAINT):
            game = soon(lambda: titled(windows, "Caf\xe9 Game"), "the game's window")
            screen = windows.screen(game)
            seen: dict[str, object] = {"size": screen.capture().shape}
            # The half that the game paints itself comes a moment after the window.
            soon(lambda: "#33aa55" in colours(screen.capture()) or None, "what the game paints")
            seen["shown"] = colours(screen.capture())
            if desktop != "wayland":  # whose keyboard XTEST does not press
                seen["keys"] = held_keys(windows, game)
            stack.enter_context(running(*PAINT, "cover"))
            soon(lambda: titled(windows, "Cover"), "the window over it")
            seen["covered"] = colours(screen.capture())
        seen["listed"] = [window.title for window in windows.listed()]
        try:
            screen.capture()
        except PlayError as error:
            seen["closed"] = str(error)
    sys.stdout.write(json.dumps(seen))


main(sys.argv[1])
