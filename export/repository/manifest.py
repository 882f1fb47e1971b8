"""`manifest.json`: what a published version was made from, with which software, and how well it came out.

Free of torch; the values come from `publish`.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from export.errors import RepositoryError

MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True)
class Source:
    """A file that a version was made from; `origin`: owner/name@commit on the hub, else its path."""

    origin: str
    sha256: str


@dataclass(frozen=True)
class GraphFile:
    """A file of the version's graph."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Requested:
    """What the export was asked for; None stands for the checkpoint's own value, or for the default.

    `max_batch_size`: also None in manifests that were written before it was noted.
    """

    steps: int | None
    context_length: int | None
    cfg_scale: float
    precision: str
    max_batch_size: int | None = None


@dataclass(frozen=True)
class Manifest:
    """One version's manifest.

    `created`: UTC, ISO 8601. `own_steps`, `own_context_length`: the checkpoint's. `self_check`:
    figures of `formats.accuracy`. `software`: package -> version, None for one that is not installed.
    `files`: by name. `max_queue_size`: 0 for none; versions from before it was noted all have 256. `weights`:
    the key of the checkpoint's table of weights that was asked for, None for the usual one.
    """

    created: str
    format: str
    checkpoint: Source
    adapter: Source | None
    requested: Requested
    own_steps: int
    own_context_length: int
    steps: int
    context_length: int
    cfg_scale: float
    precision: str
    max_batch_size: int
    device_kind: str
    self_check: dict[str, float]
    software: dict[str, str | None]
    files: dict[str, GraphFile]
    max_queue_size: int = 256
    weights: str | None = None


_MANIFESTS = TypeAdapter(Manifest)


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write a version's manifest into its folder.

    Raises:
        OSError: when it cannot be written.
    """
    text = json.dumps(asdict(manifest), indent=2)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        RepositoryError: when there is none, or it is none that this export has written.
    """
    try:
        return _MANIFESTS.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise RepositoryError(f"{path} is not a readable manifest: {reason}") from error
