"""The options of an export, as tests write them: settings and the rest in one row."""

from pathlib import Path
from typing import Any

from export.settings import SETTINGS, ExportOptions, ModelSettings


def options(checkpoint: Path, repository: Path, **changes: Any) -> ExportOptions:  # noqa: ANN401 - a field's value
    """Return what exports a checkpoint into a repository, with what differs from the defaults."""
    settings = ModelSettings(**{name: changes.pop(name) for name in SETTINGS if name in changes})
    return ExportOptions(checkpoint, repository, settings, **changes)
