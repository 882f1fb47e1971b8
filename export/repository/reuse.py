"""Finding a published version that has the wanted settings, so that it need not be exported again.

Free of torch.
"""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from export.formats.format import Format
from export.repository.manifest import Manifest
from export.repository.served import serve_version, served_number
from export.repository.versions import Version, all_versions
from export.settings import DEFAULT_NAME, SETTINGS, ExportOptions, ModelSettings

# The settings in which a version may differ from the wanted ones; `name` is its model's.
DIFFERENCES = ("name", *(name for name in SETTINGS if name not in {"formats", "adapter"}))


def find_published(
    options: ExportOptions,
    form: Format,
    checkpoint_sha256: str,
    adapter_sha256: str,
    *,
    but_for: Collection[str] = (),
) -> Version | None:
    """Return the newest whole version that was made from a checkpoint with some settings.

    Args:
        options: the wanted settings, and the repository.
        form: the format to look for.
        checkpoint_sha256: of the checkpoint's file.
        adapter_sha256: of the LoRA adapter, "" without one.
        but_for: those of `DIFFERENCES` that do not matter; if the name does not, the usual one comes first.
    """
    usual_name = form.model_name(replace(options, name=DEFAULT_NAME))
    fitting = [
        version
        for version in all_versions(options.repository)
        if ("name" in but_for or version.model_name == form.model_name(options))
        and version.facts.checkpoint_sha256 == checkpoint_sha256
        and version.facts.adapter_sha256 == adapter_sha256
        and version.manifest.made.formats == (form.name,)
        and _is_met_by(options.settings, version.manifest, but_for)
        and version.is_whole
    ]
    return max(
        fitting,
        key=lambda version: (version.model_name == usual_name, version.number),
        default=None,
    )


def _is_met_by(settings: ModelSettings, manifest: Manifest, but_for: Collection[str]) -> bool:
    """Return whether a version was made with each of these settings, or was asked for with them.

    An "auto" that became fp32 meets both fp32 and "auto".
    """
    wanted = replace(
        settings,
        steps=manifest.own_steps if settings.steps is None else settings.steps,
        context_length=(
            manifest.own_context_length if settings.context_length is None else settings.context_length
        ),
    )
    return all(
        getattr(wanted, name) in (getattr(manifest.made, name), getattr(manifest.requested, name))
        for name in DIFFERENCES
        if name != "name" and name not in but_for
    )


def serve_again(repository: Path, version: Version) -> None:
    """Make a published version the one that Triton loads next; nothing is written when it is.

    Raises:
        RepositoryError: as `serve_version`.
    """
    if served_number(repository, version.model_name) != version.number:
        serve_version(repository, version.model_name, version.number)
