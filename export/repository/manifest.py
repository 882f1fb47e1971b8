"""`manifest.json`: what a published version was made from, with which software, and how well it came out.

Free of torch; the values come from `publish`.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json

from export.errors import RepositoryError
from export.settings import SETTINGS, ModelSettings

MANIFEST_NAME = "manifest.json"

# The settings whose requested and resulting values the file has; for the others these are equal.
_RESOLVED = ("steps", "context_length", "cfg_scale", "precision", "max_batch_size")
_ALWAYS_TOLD = (*_RESOLVED, "device_kind")
_BEFORE_QUEUES = 256  # the bound of versions whose manifest has none


@dataclass(frozen=True)
class Source:
    """A file that a version was made from.

    Attributes:
        origin: owner/name@commit on the hub, else its path.
    """

    origin: str
    sha256: str


@dataclass(frozen=True)
class GraphFile:
    """A file of the version's graph."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """One version's manifest.

    Attributes:
        created: UTC, ISO 8601.
        requested: the settings that were asked for.
        made: the settings that it was made with, after the checkpoint, the device and the self-check decided.
        own_steps: the checkpoint's sampler steps.
        own_context_length: the checkpoint's context.
        self_check: figures of `Accuracy`.
        software: package -> version, None for one that is not installed.
        files: by name.
    """

    created: str
    checkpoint: Source
    adapter: Source | None
    requested: ModelSettings
    made: ModelSettings
    own_steps: int
    own_context_length: int
    self_check: dict[str, float]
    software: dict[str, str | None]
    files: dict[str, GraphFile]

    def content(self) -> dict[str, Any]:
        """Return the file's content, in its order."""
        requested, made = asdict(self.requested), asdict(self.made)
        del made["formats"], made["adapter"]  # the file has them as `format` and as a source
        return {
            "created": self.created,
            "format": self.made.formats[0],
            "checkpoint": asdict(self.checkpoint),
            "adapter": None if self.adapter is None else asdict(self.adapter),
            "requested": {name: requested[name] for name in _RESOLVED},
            "own_steps": self.own_steps,
            "own_context_length": self.own_context_length,
            **{name: made[name] for name in _ALWAYS_TOLD},
            "self_check": self.self_check,
            "software": self.software,
            "files": {name: asdict(file) for name, file in self.files.items()},
            **made,
        }


def _parts(content: Any) -> dict[str, Any]:  # noqa: ANN401 - anything that is JSON
    """Return the file's content as the fields of `Manifest`.

    Raises:
        ValueError: when it is not a manifest; its values are not checked.
    """
    told = {"format", "adapter", "requested", *_ALWAYS_TOLD}
    if (
        not isinstance(content, dict)
        or not told <= content.keys()
        or not isinstance(content["requested"], dict)
    ):
        raise ValueError("it lacks entries that every manifest has")
    adapter = content["adapter"]
    made = {
        "max_queue_size": _BEFORE_QUEUES,
        **{name: content[name] for name in SETTINGS if name in content},
        "formats": (content["format"],),
        "adapter": adapter.get("origin") if isinstance(adapter, dict) else None,
    }
    # Older manifests do not have the requested largest batch.
    requested = {**made, "max_batch_size": None, **content["requested"]}
    return {**content, "made": made, "requested": requested}


_MANIFESTS = TypeAdapter(Manifest)


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write a version's manifest into its folder.

    Raises:
        OSError: when it cannot be written.
    """
    text = json.dumps(manifest.content(), indent=2)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        RepositoryError: when there is none, or this export has not written it.
    """
    try:
        return _MANIFESTS.validate_python(_parts(from_json(path.read_bytes())))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise RepositoryError(f"{path} is not a readable manifest: {reason}") from error
