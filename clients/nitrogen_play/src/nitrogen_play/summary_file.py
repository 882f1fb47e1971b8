"""The figures of a game in a file, for programs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nitrogen_play.errors import RecordingError
from nitrogen_play.meter import Meter


@contextmanager
def summary_file(path: Path | None, meter: Meter) -> Iterator[None]:
    """Write a meter's figures as JSON when the game ends; None writes nothing.

    It makes the file at once, so that an error about the path comes before the game begins.

    Raises:
        RecordingError: it cannot be written.
    """
    if path is None:
        yield
        return
    _write(path, {})
    try:
        yield
    finally:
        _write(path, meter.figures())


def _write(path: Path, figures: dict[str, object]) -> None:
    try:
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise RecordingError(
            f"the summary {path} cannot be written: {error}; give another --summary"
        ) from error
