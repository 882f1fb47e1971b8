"""The packages that only some kinds of game need, imported where they are used."""

import importlib
from typing import Any

from nitrogen_play.errors import MissingPackageError


def needed(module: str, extra: str, purpose: str, *, package: str | None = None) -> Any:  # noqa: ANN401 - untyped
    """Return a module that an extra of nitrogen-play brings.

    Args:
        module: the name to import.
        extra: the name of the extra.
        purpose: what needs it, for the error.
        package: what pip calls it, if that is another name.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(package or module, extra, purpose) from error
