"""A window as a game: the parts that this system has, put together."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from nitrogen_play.clocks import RealTimeClock, StoppingClock
from nitrogen_play.errors import DeviceError, GameNotFoundError
from nitrogen_play.games.uinput_gamepad import NoGamepad, open_uinput_pad
from nitrogen_play.games.watched_screen import WatchedScreen
from nitrogen_play.games.windows_list import choose_window
from nitrogen_play.interfaces import Clock, Game, Gamepad
from nitrogen_play.pad import PadState

_PRESS_S = 0.1
_BETWEEN_S = 0.3
# Games that take a new gamepad only in a menu: what is pressed there, as the reference's play.py does.
_MENU_PRESSES = dict.fromkeys(("isaac-ng.exe", "cuphead.exe"), ("SOUTH", *(["EAST"] * 5)))
_BLIND_ON_WINDOWS = (
    "if the game does show something, run it in a window or borderless instead of in full screen, and on the "
    "first screen"
)
_BLIND_ON_LINUX = (
    "if the game does show something, X11 does not get it. Under Wayland, log in to an X11 session, or start "
    "the game as an X11 program (SDL_VIDEODRIVER=x11, and without PROTON_ENABLE_WAYLAND)"
)
_NOT_FOUND_ON_WAYLAND = (
    "This is a Wayland session, in which only the windows of X11 programs can be found and read. Start the "
    "game as one (SDL_VIDEODRIVER=x11, and without PROTON_ENABLE_WAYLAND), or log in to an X11 session"
)


@dataclass(frozen=True)
class WindowOptions:
    """Which window, and how it is played.

    Attributes:
        process: name of the process, in any case; None for any.
        title: a part of the window's title, in any case; None for any.
        ticks_per_s: ticks in a second.
        pauses: whether the game is stopped while the model thinks; Linux has nothing that could.
        has_gamepad: False presses nothing.
    """

    process: str | None
    title: str | None
    ticks_per_s: float
    pauses: bool
    has_gamepad: bool


def open_window(options: WindowOptions, say: Callable[[str], None]) -> Game:
    """Find a window and plug in a gamepad.

    Args:
        options: the flags about the window.
        say: called with a sentence that the player should see.

    Raises:
        GameNotFoundError: there is no such window; the message lists those that there are.
        MissingPackageError: a package is not installed.
        DeviceError: a part of it cannot be used.
    """
    if sys.platform == "win32":
        return _open_on_windows(options, say)
    if sys.platform == "linux":
        return _open_on_linux(options, say)
    raise DeviceError(
        f"windows can be played on Windows and Linux, not on {sys.platform}; --retro plays anywhere"
    )


def wake(
    gamepad: Gamepad, process: str, say: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
) -> None:
    """Press what makes a game notice its new gamepad: for most a stick, for some a way through a menu."""
    presses: Sequence[str] = ("LEFT_THUMB",)
    if process.casefold() in _MENU_PRESSES:
        say(f"{process} takes a gamepad in its menu only: it should be open now")
        presses = _MENU_PRESSES[process.casefold()]
    for name in presses:
        gamepad.apply(PadState(frozenset({name}), (0, 0), (0, 0)))
        sleep(_PRESS_S)
        gamepad.release()
        sleep(_BETWEEN_S)


def _open_on_windows(options: WindowOptions, say: Callable[[str], None]) -> Game:
    from nitrogen_play.games.windows_keys import open_windows_keys  # noqa: PLC0415
    from nitrogen_play.games.windows_process import DxcamScreen, WindowsDesktop, open_camera  # noqa: PLC0415
    from nitrogen_play.games.xbox_pad import open_xbox_pad  # noqa: PLC0415

    desktop = WindowsDesktop()
    window = choose_window(desktop.listed(), options.process, options.title)
    say(f"playing {window.title!r} (process {window.process}, id {window.process_id})")
    screen = DxcamScreen(desktop, window, open_camera())
    gamepad: Gamepad = open_xbox_pad() if options.has_gamepad else NoGamepad()
    clock: Clock = RealTimeClock(options.ticks_per_s)
    with ExitStack() as stack:
        stack.callback(gamepad.release)
        if options.pauses:
            import psutil  # noqa: PLC0415 - as above

            from nitrogen_play.games.speed import open_speed  # noqa: PLC0415

            set_speed = open_speed(window.process_id, Path(psutil.Process(window.process_id).exe()))
            stack.callback(set_speed, 1.0)
            clock = StoppingClock(options.ticks_per_s, set_speed)
        close = stack.pop_all().close

    def wake_game() -> None:
        desktop.activate(window)
        wake(gamepad, window.process, say)

    return Game(
        window.title,
        WatchedScreen(screen, say, _BLIND_ON_WINDOWS),
        gamepad,
        clock,
        "stretch",
        can_wait=True,
        wake=wake_game,
        close=close,
        held_keys=open_windows_keys(window.handle).held,
    )


def _open_on_linux(options: WindowOptions, say: Callable[[str], None]) -> Game:
    from nitrogen_play.games.x11_window import X11Windows  # noqa: PLC0415

    with ExitStack() as stack:
        windows = X11Windows()
        stack.callback(windows.close)
        try:
            window = choose_window(windows.listed(), options.process, options.title)
        except GameNotFoundError as error:
            raise (
                GameNotFoundError(f"{error}\n{_NOT_FOUND_ON_WAYLAND}") if windows.is_wayland else error
            ) from None
        say(f"playing {window.title!r} (process {window.process or 'unknown'}, id {window.process_id})")
        gamepad: Gamepad = NoGamepad()
        if options.has_gamepad:
            gamepad = pad = open_uinput_pad()
            stack.callback(pad.close)
        close = stack.pop_all().close
    return Game(
        window.title,
        WatchedScreen(windows.screen(window), say, _BLIND_ON_LINUX),
        gamepad,
        RealTimeClock(options.ticks_per_s),
        "stretch",
        can_wait=False,
        wake=lambda: wake(gamepad, window.process, say),
        close=close,
        held_keys=windows.keys(window).held,
    )
