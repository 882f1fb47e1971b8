"""A game's window on Windows: pywin32 and psutil find it, dxcam reads its part of the screen."""

from typing import Any

import numpy as np

from nitrogen_play.errors import DeviceError, GameLostError
from nitrogen_play.games.windows_list import OpenWindow
from nitrogen_play.interfaces import Picture
from nitrogen_play.packages import needed

Region = tuple[int, int, int, int]


class WindowsDesktop:
    """The windows of the desktop.

    Raises:
        MissingPackageError: pywin32 or psutil is not installed.
    """

    def __init__(self) -> None:
        self._psutil, self._gui, self._process = (
            needed(name, "windows", "a Windows game") for name in ("psutil", "win32gui", "win32process")
        )
        _see_real_pixels()

    def listed(self) -> list[OpenWindow]:
        """Return the windows that are to be seen and have a title, the topmost first."""
        windows: list[OpenWindow] = []

        def note(handle: int, _: object) -> bool:
            title = self._gui.GetWindowText(handle)
            if title and self._gui.IsWindowVisible(handle):
                _, process_id = self._process.GetWindowThreadProcessId(handle)
                windows.append(OpenWindow(handle, title, process_id, self._process_name(process_id)))
            return True

        self._gui.EnumWindows(note, None)
        return windows

    def activate(self, window: OpenWindow) -> None:
        """Bring a window to the front, as far as Windows lets us."""
        try:
            self._gui.SetForegroundWindow(window.handle)
        except self._gui.error:
            return  # Windows refuses this to programs in the background; the player can click on it.

    def region(self, window: OpenWindow) -> Region:
        """Return where a window's inside is on the screen: left, top, right, bottom.

        Raises:
            GameLostError: the window is gone.
        """
        try:
            _, _, width, height = self._gui.GetClientRect(window.handle)
            left, top = self._gui.ClientToScreen(window.handle, (0, 0))
        except self._gui.error as error:
            raise GameLostError("the game's window is gone") from error
        return left, top, left + width, top + height

    def _process_name(self, process_id: int) -> str:
        try:
            return str(self._psutil.Process(process_id).name())
        except self._psutil.Error:
            return ""


class DxcamScreen:
    """One window as a game's screen.

    Args:
        camera: dxcam's, with RGB output; `grab` returns None while nothing on the screen has changed.
    """

    def __init__(self, desktop: WindowsDesktop, window: OpenWindow, camera: Any) -> None:  # noqa: ANN401 - untyped
        self._desktop = desktop
        self._window = window
        self._camera = camera
        self._last: Picture | None = None

    def capture(self) -> Picture:
        """Return what is on the screen where the window is.

        Raises:
            GameLostError: the window is gone, is minimised or has left the screen.
        """
        region = visible_part(self._desktop.region(self._window), self._camera.width, self._camera.height)
        if region is None:
            raise GameLostError("the game's window is minimised, or not on the first screen")
        picture = self._camera.grab(region=region)
        if picture is not None:
            self._last = np.ascontiguousarray(picture)
        if self._last is None:
            # Nothing has changed since the camera was made, so there is no picture yet.
            left, top, right, bottom = region
            return np.zeros((bottom - top, right - left, 3), np.uint8)
        return self._last


def visible_part(region: Region, width: int, height: int) -> Region | None:
    """Return the part of a region on a screen of a size, None without one. dxcam refuses all else."""
    left, top = max(0, region[0]), max(0, region[1])
    right, bottom = min(width, region[2]), min(height, region[3])
    return (left, top, right, bottom) if left < right and top < bottom else None


def open_camera() -> Any:  # noqa: ANN401 - untyped
    """Return dxcam's camera of the first screen.

    Raises:
        MissingPackageError: dxcam is not installed.
        DeviceError: it sees no screen.
    """
    camera = needed("dxcam", "windows", "a Windows game's screen").create(output_color="RGB")
    if camera is None:
        raise DeviceError("dxcam sees no screen; it needs one that is on, and no remote desktop session")
    return camera


def _see_real_pixels() -> None:
    """Tell Windows that we count in real pixels, as dxcam does, whatever the desktop's scaling."""
    import ctypes  # noqa: PLC0415 - its windll is there on Windows only

    windll: Any = getattr(ctypes, "windll", None)
    if windll is not None:
        windll.user32.SetProcessDPIAware()
