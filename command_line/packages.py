"""One sentence instead of a traceback for a Python that cannot run this project, an old one included.

The Makefile runs `python -m command_line.packages` before it installs anything.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

OLDEST = (3, 11)
# The Triton wheel's Python backend is compiled for each Python, up to this one.
NEWEST_STANDALONE = (3, 13)

_OWN = ("command_line", "contract", "export", "gateway", "standalone", "model_repository")


@contextmanager
def required_packages(extra: str) -> Iterator[None]:
    """End the process with one sentence if this Python has the wrong version or lacks a package.

    Args:
        extra: the program, and the extra in pyproject.toml that has its packages.
    """
    require_python(extra)
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in _OWN:
            raise
        sys.exit(
            f"{_this()} has no package {package!r}: in the project's folder, run make .venv, and then "
            f".venv/bin/python -m {extra}; or install into this Python: "
            f"{sys.executable} -m pip install '.[{extra}]'"
        )


def require_python(extra: str) -> None:
    """End the process with one sentence if a program cannot run with this Python's version."""
    this = tuple(sys.version_info[:2])
    if extra == "standalone":
        pythons = [(3, minor) for minor in range(OLDEST[1], NEWEST_STANDALONE[1] + 1)]
        if this not in pythons:
            newest = _text(pythons[-1])
            sys.exit(
                f"{_this()} has no Triton wheel: {either(pythons)} is needed (make PYTHON=python{newest})"
            )
    elif this < OLDEST:
        sys.exit(f"{_this()} is too old: Python {_text(OLDEST)} or newer is needed")


def either(pythons: list[tuple[int, int]]) -> str:
    """Return versions of Python as a choice: `Python 3.11, 3.12 or 3.13`."""
    *others, last = [_text(python) for python in sorted(pythons)]
    return f"Python {', '.join(others)} or {last}" if others else f"Python {last}"


def _this() -> str:
    return f"{sys.executable} (Python {platform.python_version()})"


def _text(python: tuple[int, int]) -> str:
    return ".".join(map(str, python))


if __name__ == "__main__":
    require_python("standalone")
