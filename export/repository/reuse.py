"""Finding a published version that is what is wanted, so that it need not be exported again.

Free of torch.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from export.repository.triton_config import SUFFIXES, Format
from export.repository.versions import Version, all_versions, serve_version, served_number

DEFAULT_NAME = "nitrogen"


@dataclass(frozen=True)
class Settings:
    """The settings of an export by which its version is recognised.

    `steps`, `context_length`: None for the checkpoint's own. `precision`, `max_batch_size`, `max_queue_size`,
    `device_kind`: None for whatever was published, "auto" for what was left to the export. `weights`: None
    for the checkpoint's usual table of weights.
    """

    form: Format = "torchscript"
    steps: int | None = None
    context_length: int | None = None
    cfg_scale: float = 1.0
    precision: str | None = None
    max_batch_size: int | Literal["auto"] | None = None
    max_queue_size: int | None = None
    device_kind: str | None = None
    weights: str | None = None

    def are_met_by(self, version: Version) -> bool:
        """Whether a version was made with these settings."""
        made = version.manifest
        steps = made.own_steps if self.steps is None else self.steps
        context_length = made.own_context_length if self.context_length is None else self.context_length
        asked_batch_size = made.requested.max_batch_size
        return (
            made.format == self.form
            and made.steps == steps
            and made.context_length == context_length
            and made.cfg_scale == self.cfg_scale
            and made.weights == self.weights
            # An "auto" that came to fp32 is not made again for fp32, nor for "auto".
            and self.precision in {None, made.precision, made.requested.precision}
            and (
                asked_batch_size is None
                if self.max_batch_size == "auto"
                else self.max_batch_size in {None, made.max_batch_size}
            )
            and self.max_queue_size in {None, made.max_queue_size}
            and self.device_kind in {None, made.device_kind}
        )


def find_published(
    repository: Path,
    checkpoint_sha256: str,
    adapter_sha256: str,
    settings: Settings,
    name: str | None = None,
) -> Version | None:
    """The newest whole version that was made from a checkpoint with some settings.

    Args:
        repository: the repository's folder.
        checkpoint_sha256: of the checkpoint's file.
        adapter_sha256: of the LoRA adapter, "" without one.
        settings: what else it has to be.
        name: as given to the export, without the form's suffix; None for any model, the usual name first.
    """
    suffix = SUFFIXES[settings.form]
    fitting = [
        version
        for version in all_versions(repository)
        if (name is None or version.model_name == name + suffix)
        and version.facts.checkpoint_sha256 == checkpoint_sha256
        and version.facts.adapter_sha256 == adapter_sha256
        and settings.are_met_by(version)
        and version.is_whole
    ]
    return max(
        fitting,
        key=lambda version: (version.model_name == DEFAULT_NAME + suffix, version.number),
        default=None,
    )


def serve_again(repository: Path, version: Version) -> None:
    """Make a published version the one that Triton loads next; nothing is written when it is.

    Raises:
        RepositoryError: as `serve_version`.
    """
    if served_number(repository, version.model_name) != version.number:
        serve_version(repository, version.model_name, version.number)
