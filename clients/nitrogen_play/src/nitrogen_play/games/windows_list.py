"""The search for the game's window among the open ones."""

from collections.abc import Sequence
from dataclasses import dataclass

from nitrogen_play.errors import GameNotFoundError

# Windows that games and their helpers open beside the one with the game in it.
_HELPERS = ("d3dproxywindow", "proxy", "helper", "overlay")


@dataclass(frozen=True)
class OpenWindow:
    """A visible window: its handle and title, its process id (0 if unknown) and executable's name."""

    handle: int
    title: str
    process_id: int
    process: str


def choose_window(windows: Sequence[OpenWindow], process: str | None, title: str | None) -> OpenWindow:
    """Return the window of a process, or the one whose title contains a text; case does not matter.

    If there are several, it is the first that is not named like a helper's.

    Raises:
        GameNotFoundError: none is; the message lists the windows that are open.
    """
    found = [
        window
        for window in windows
        if (process is None or window.process.casefold() == process.casefold())
        and (title is None or title.casefold() in window.title.casefold())
    ]
    if not found:
        wanted = " and ".join(
            part
            for part in (
                f"of a process named {process!r}" if process is not None else "",
                f"with {title!r} in its title" if title is not None else "",
            )
            if part
        )
        raise GameNotFoundError(f"no window {wanted} is open; {_listed(windows)}")
    return min(found, key=_is_helper)


def _is_helper(window: OpenWindow) -> bool:
    return any(word in window.title.casefold() for word in _HELPERS)


def _listed(windows: Sequence[OpenWindow]) -> str:
    if not windows:
        return "no window is"
    lines = sorted({f"  {window.process or '(unknown process)'}: {window.title!r}" for window in windows})
    return "\n".join(["these are (process: title):", *lines])
