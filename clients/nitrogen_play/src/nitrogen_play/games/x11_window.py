"""A window on Linux with X11: python-xlib finds it, mss reads its part of the screen."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from nitrogen_play.errors import DeviceError, GameLostError, MissingPackageError
from nitrogen_play.games.windows_list import OpenWindow
from nitrogen_play.interfaces import Frame

_LEAST_SIDE = 16


class X11Windows:
    """The windows of an X11 display.

    Raises:
        MissingPackageError: python-xlib or mss is not installed.
        DeviceError: there is no display.
    """

    def __init__(self) -> None:
        try:
            import mss  # noqa: PLC0415 - an extra
            import Xlib.display  # noqa: PLC0415
            import Xlib.error  # noqa: PLC0415
        except ImportError as error:
            raise MissingPackageError(error.name or "mss", "linux", "a window") from error
        if not os.environ.get("DISPLAY"):
            hint = (
                " (only windows of X11 can be read, not Wayland's)" if "WAYLAND_DISPLAY" in os.environ else ""
            )
            raise DeviceError(f"there is no X11 display: the variable DISPLAY is not set{hint}")
        self._errors: Any = Xlib.error
        self._grab_error = mss.ScreenShotError
        try:
            self._display: Any = Xlib.display.Display()
            self._grabber: Any = mss.MSS()
        except (Xlib.error.DisplayError, mss.ScreenShotError) as error:
            raise DeviceError(f"the X11 display {os.environ['DISPLAY']} cannot be opened: {error}") from error
        self._root: Any = self._display.screen().root

    def listed(self) -> list[OpenWindow]:
        """Return the windows that are to be seen and have a title, the topmost first."""
        windows = []
        for window in self._candidates():
            try:
                title = self._title(window)
                is_shown = window.get_attributes().map_state == 2  # IsViewable
                geometry = window.get_geometry()
            except self._errors.XError:
                continue  # It has been closed meanwhile.
            if title and is_shown and min(geometry.width, geometry.height) >= _LEAST_SIDE:
                process_id = self._process_id(window)
                windows.append(OpenWindow(window.id, title, process_id, _process_name(process_id)))
        return windows

    def capture(self, handle: int) -> Frame:
        """Return what is on the screen where the window is, (H, W, 3) RGB.

        Raises:
            GameLostError: the window is gone, or nothing of it is on the screen.
        """
        try:
            window = self._display.create_resource_object("window", handle)
            size = window.get_geometry()
            corner = self._root.translate_coords(window, 0, 0)
            screen = self._root.get_geometry()
        except (self._errors.XError, self._errors.ConnectionClosedError) as error:
            raise GameLostError("the game's window is gone") from error
        left, top = max(0, corner.x), max(0, corner.y)
        right = min(screen.width, corner.x + size.width)
        bottom = min(screen.height, corner.y + size.height)
        if right <= left or bottom <= top:
            raise GameLostError("the game's window has been moved off the screen")
        try:
            shot = self._grabber.grab((left, top, right, bottom))
        except self._grab_error as error:
            raise GameLostError(f"the screen cannot be read: {error}") from error
        pixels = np.frombuffer(shot.bgra, np.uint8).reshape(shot.height, shot.width, 4)
        return np.ascontiguousarray(pixels[:, :, 2::-1])

    def close(self) -> None:
        """Close the connections to the display."""
        self._grabber.close()
        # A display that has ended cannot be closed any more.
        with suppress(self._errors.ConnectionClosedError):
            self._display.close()

    def _candidates(self) -> list[Any]:
        """Windows that the window manager knows; without one, all at the top level."""
        property_of = self._root.get_full_property(self._display.intern_atom("_NET_CLIENT_LIST_STACKING"), 0)
        if property_of is not None:
            handles = list(property_of.value)
            return [self._display.create_resource_object("window", handle) for handle in reversed(handles)]
        return list(reversed(self._root.query_tree().children))

    def _title(self, window: Any) -> str:  # noqa: ANN401 - untyped
        for name in ("_NET_WM_NAME", "WM_NAME"):
            found = window.get_full_property(self._display.intern_atom(name), 0)
            if found is not None:
                value = found.value
                return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        return ""

    def _process_id(self, window: Any) -> int:  # noqa: ANN401 - untyped
        found = window.get_full_property(self._display.intern_atom("_NET_WM_PID"), 0)
        return int(found.value[0]) if found is not None and len(found.value) else 0


class X11Screen:
    """One window as a game's screen."""

    def __init__(self, windows: X11Windows, window: OpenWindow) -> None:
        self._windows = windows
        self._handle = window.handle

    def capture(self) -> Frame:
        """Return what is on the screen where the window is."""
        return self._windows.capture(self._handle)


def _process_name(process_id: int) -> str:
    """The executable's name: of a Windows program under Wine that of the .exe."""
    try:
        words = Path(f"/proc/{process_id}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return words[0].decode(errors="replace").replace("\\", "/").rpartition("/")[2]
