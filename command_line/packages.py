"""A Python that cannot run this project: one sentence instead of a traceback, under older ones, too."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

OLDEST = (3, 11)
_OWN = ("command_line", "contract", "export", "gateway", "standalone", "model_repository")


@contextmanager
def required_packages(extra: str) -> Iterator[None]:
    """End the process with one sentence when an import inside finds no such package.

    `extra`: name of the program, and of the extra in pyproject.toml that brings its packages.
    """
    this = f"{sys.executable} (Python {platform.python_version()})"
    if sys.version_info < OLDEST:
        sys.exit(f"{this} is too old: Python {'.'.join(map(str, OLDEST))} or newer is needed")
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in _OWN:
            raise
        sys.exit(
            f"{this} has no package {package!r}: in the project's folder, run make .venv, and then "
            f".venv/bin/python -m {extra}; or install into this Python: "
            f"{sys.executable} -m pip install '.[{extra}]'"
        )
