"""How an export command ends: its exit code, and the sentence that says why it failed."""

import signal
from collections.abc import Callable
from types import FrameType

from export.errors import ExportError
from export.writable import unreadable


def run_to_its_end(run: Callable[[list[str]], None], words: list[str]) -> tuple[int, str]:
    """Run a command of this process's main thread.

    Returns:
        The exit code, and the sentence to tell unless that is 0.
    """
    signal.signal(signal.SIGINT, _interrupt)
    try:
        run(words)
    except ExportError as error:
        return 1, str(error)
    except PermissionError as error:
        return 1, unreadable(error, "a file")
    except KeyboardInterrupt:
        return 130, "interrupted"
    return 0, ""


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt once: a second one must not interrupt the removal of the unfinished version.

    Under `nitrogen-serve` a Ctrl-C arrives twice: from the terminal and from the parent process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
