"""Windows of an X11 display, XWayland's among them: python-xlib finds them and reads what they show."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from nitrogen_play.errors import DeviceError, GameLostError
from nitrogen_play.games.windows_list import OpenWindow
from nitrogen_play.games.x11_keys import X11Keys
from nitrogen_play.interfaces import Picture
from nitrogen_play.packages import needed

_MIN_SIDE = 16
_IS_VIEWABLE = 2
# A window manager's frame has the program's window in it, or one level further down.
_MAX_LEVELS = 4
# A pixel of these has 32 bits: blue, green, red, and a byte that is unused or alpha.
_DEPTHS = (24, 32)
_ALL_PLANES = 0xFFFFFFFF
# python-xlib joins what it receives piece by piece, which takes long for a whole screen at once.
_BAND_BYTES = 1 << 19


class X11Windows:
    """The windows of an X11 display.

    Raises:
        MissingPackageError: python-xlib is not installed.
        DeviceError: there is no display.
    """

    def __init__(self) -> None:
        display, errors = (
            needed(f"Xlib.{name}", "linux", "a window", package="python-xlib")
            for name in ("display", "error")
        )
        if not os.environ.get("DISPLAY"):
            hint = (
                "; this is a Wayland session without XWayland: install it, or log in to an X11 session"
                if "WAYLAND_DISPLAY" in os.environ
                else ""
            )
            raise DeviceError(f"there is no X11 display: the variable DISPLAY is not set{hint}")
        self.errors = (errors.XError, errors.ConnectionClosedError)
        try:
            self._display: Any = display.Display()
        except errors.DisplayError as error:
            raise DeviceError(f"the X11 display {os.environ['DISPLAY']} cannot be opened: {error}") from error
        # Errors of requests without a reply: the next one with a reply tells what is wrong.
        self._display.set_error_handler(lambda *_: None)
        self._root: Any = self._display.screen().root
        self.is_wayland = "WAYLAND_DISPLAY" in os.environ or self._display.has_extension("XWAYLAND")

    def listed(self) -> list[OpenWindow]:
        """Return the windows that are to be seen and have a title, the topmost first."""
        windows: dict[int, OpenWindow] = {}
        for window in self._candidates():
            if window.id in windows:
                continue
            try:
                title = self._title(window)
                is_shown = window.get_attributes().map_state == _IS_VIEWABLE
                geometry = window.get_geometry()
                process_id = self._process_id(window)
            except self.errors:
                continue  # It has been closed meanwhile.
            if title and is_shown and min(geometry.width, geometry.height) >= _MIN_SIDE:
                windows[window.id] = OpenWindow(window.id, title, process_id, _process_name(process_id))
        return list(windows.values())

    def screen(self, window: OpenWindow) -> "X11Screen":
        """Return a window as a game's screen."""
        return X11Screen(self._display, self._display.create_resource_object("window", window.handle), self)

    def keys(self, window: OpenWindow) -> X11Keys:
        """Return the keyboard, for what is typed in a window."""
        return X11Keys(
            self._display, self._display.create_resource_object("window", window.handle), self.errors
        )

    def close(self) -> None:
        """Close the connection to the display."""
        # A display that has ended cannot be closed any more.
        with suppress(*self.errors):
            self._display.close()

    def _candidates(self) -> Iterator[Any]:
        """Yield the windows that the window manager lists, then those at the top level, without frames."""
        for name in ("_NET_CLIENT_LIST_STACKING", "_NET_CLIENT_LIST"):
            found = self._root.get_full_property(self._display.intern_atom(name), 0)
            if found is not None:
                for handle in reversed(found.value):
                    yield self._display.create_resource_object("window", handle)
        state = self._display.intern_atom("WM_STATE")
        for window in reversed(self._root.query_tree().children):
            yield self._framed(window, state)

    def _framed(self, window: Any, state: int) -> Any:  # noqa: ANN401 - untyped
        """Return the program's window in a frame, which has the property WM_STATE; without one, itself."""
        level = [window]
        with suppress(*self.errors):  # It has been closed meanwhile.
            for _ in range(_MAX_LEVELS):
                for one in level:
                    if one.get_full_property(state, 0) is not None:
                        return one
                level = [child for one in level for child in one.query_tree().children]
        return window

    def _title(self, window: Any) -> str:  # noqa: ANN401 - untyped
        for name, encoding in (("_NET_WM_NAME", "utf-8"), ("WM_NAME", "latin-1")):
            found = window.get_full_property(self._display.intern_atom(name), 0)
            if found is not None and isinstance(found.value, bytes):
                return found.value.decode(encoding, errors="replace")
        return ""

    def _process_id(self, window: Any) -> int:  # noqa: ANN401 - untyped
        found = window.get_full_property(self._display.intern_atom("_NET_WM_PID"), 0)
        return int(found.value[0]) if found is not None and len(found.value) else 0


class X11Screen:
    """One window as a game's screen.

    The server is told to keep all that the window shows, so that what covers it is not read, and what is
    off the screen is read. Each picture is copied in the server first, so that it is one moment's.
    """

    def __init__(self, display: Any, window: Any, windows: X11Windows) -> None:  # noqa: ANN401 - untyped
        self._window = window
        self._errors = windows.errors
        self._copy: Any = None
        self._context: Any = None
        self._shape = (0, 0, 0)
        if display.has_extension("Composite"):
            from Xlib.ext.composite import RedirectAutomatic  # noqa: PLC0415 - an extra

            window.composite_redirect_window(RedirectAutomatic)

    def capture(self) -> Picture:
        """Return what the window shows, (H, W, 3) RGB.

        Raises:
            GameLostError: the window is gone or hidden.
            DeviceError: it has other colours than red, green and blue of 8 bits.
        """
        try:
            if self._window.get_attributes().map_state != _IS_VIEWABLE:
                raise GameLostError("the game's window is minimised, or on another workspace")
            size = self._window.get_geometry()
            self._fit(size.width, size.height, size.depth)
            self._copy.copy_area(self._context, self._window, 0, 0, size.width, size.height, 0, 0)
            return self._pixels(size.width, size.height)
        except self._errors as error:
            raise GameLostError("the game's window is gone") from error

    def _fit(self, width: int, height: int, depth: int) -> None:
        """Make a copy of another size, if the window has one now."""
        if self._shape == (width, height, depth):
            return
        if depth not in _DEPTHS:
            raise DeviceError(f"the game's window has {depth} bits of colour; 24 or 32 can be read")
        from Xlib import X  # noqa: PLC0415 - an extra

        if self._copy is not None:
            self._context.free()
            self._copy.free()
        self._copy = self._window.create_pixmap(width, height, depth)
        self._context = self._copy.create_gc(subwindow_mode=X.IncludeInferiors, graphics_exposures=False)
        self._shape = (width, height, depth)

    def _pixels(self, width: int, height: int) -> Picture:
        from Xlib import X  # noqa: PLC0415 - an extra

        picture = np.empty((height, width, 3), np.uint8)
        rows = max(1, _BAND_BYTES // (4 * width))
        for top in range(0, height, rows):
            count = min(rows, height - top)
            image = self._copy.get_image(0, top, width, count, X.ZPixmap, _ALL_PLANES)
            pixels = np.frombuffer(image.data, np.uint8).reshape(count, width, 4)
            picture[top : top + count] = pixels[:, :, 2::-1]
        return picture


def _process_name(process_id: int) -> str:
    """Return the executable's name: of a Windows program under Wine that of the .exe."""
    try:
        words = Path(f"/proc/{process_id}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return words[0].decode(errors="replace").replace("\\", "/").rpartition("/")[2]
