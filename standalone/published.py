"""From the wanted model to a published version: `standalone.exporter` finds or makes it.

It runs in a separate process, because it needs torch and the weights in memory, and serving needs neither.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from export.checkpoint.folder import CHECKPOINT_NAME
from export.checkpoint.source import DEFAULT_CHECKPOINT
from export.errors import ExportError
from export.flags import PREFIX
from export.repository.versions import Version, all_versions, find_version
from gateway.settings import GatewaySettings
from standalone.errors import StandaloneError
from standalone.keeper import die_with_parent

logger = logging.getLogger(__name__)

_INTERRUPT_S = 3.0


@dataclass(frozen=True)
class Wanted:
    """The model that an operator wants served.

    Attributes:
        checkpoint: a file, a folder, a Hugging Face id or "demo".
        flags: those of `nitrogen-export` that say which model of it, and what `--reuse` does not compare.
    """

    checkpoint: str
    models_dir: Path
    flags: tuple[str, ...] = ()


async def publish(wanted: Wanted, repository: Path, gateway: GatewaySettings) -> Version:
    """Make the wanted model the version that Triton loads next.

    Args:
        wanted: the checkpoint and its settings.
        repository: the model repository.
        gateway: its settings; the export's lines are part of its log.

    Returns:
        The version that Triton is to load.

    Raises:
        StandaloneError: when there is no such checkpoint, or it cannot be exported.
    """
    _tell_what_is_missing(wanted)
    code, said = await _run(
        *(gateway.log_level, gateway.log_format, wanted.checkpoint, *wanted.flags),
        *(f"--models-dir={wanted.models_dir}", f"--repository={repository}", "--reuse"),
    )
    if code != 0:
        raise StandaloneError(said or f"{wanted.checkpoint} cannot be exported: see the lines above")
    _, name, number = said.rsplit("/", 2)
    try:
        return find_version(repository, name, int(number))
    except ExportError as error:
        raise StandaloneError(str(error)) from error


def _tell_what_is_missing(wanted: Wanted) -> None:
    """Log that the default checkpoint must be downloaded; asking the hub may take long."""
    kept = wanted.models_dir / wanted.checkpoint / CHECKPOINT_NAME
    if wanted.checkpoint == DEFAULT_CHECKPOINT and not kept.exists() and not Path(wanted.checkpoint).exists():
        logger.info(
            "%s needs a download of 2 GB from the Hugging Face hub, because %s is missing; --demo serves an "
            "untrained model, and needs no network",
            wanted.checkpoint,
            kept,
        )


def published_models(repository: Path, first: str, others: Sequence[str]) -> list[str]:
    """Return the names of the models to load, `first` before the others; "*" means all published ones.

    Raises:
        StandaloneError: when one of the others is not in the repository.
    """
    present = list(dict.fromkeys(version.model_name for version in all_versions(repository)))
    for name in others:
        if name not in (*present, "*"):
            raise StandaloneError(
                f"--load {name}: {repository} has no such model; its models: {', '.join(present)}"
            )
    return list(dict.fromkeys([first, *(present if "*" in others else others)]))


async def _run(*words: str) -> tuple[int, str]:
    """Run the exporter to its end, and end it with this process; return its exit code and output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "standalone.exporter", *words),
        stdout=asyncio.subprocess.PIPE,
        # Only its arguments count: a variable that has no flag here must not change the export.
        env={name: text for name, text in os.environ.items() if not name.startswith(PREFIX)},
        preexec_fn=die_with_parent,
    )
    try:
        said, _ = await process.communicate()
    except asyncio.CancelledError:
        if process.returncode is None:
            # An interrupted export removes what it has written so far.
            process.send_signal(signal.SIGINT)
            try:
                async with asyncio.timeout(_INTERRUPT_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        raise
    assert process.returncode is not None  # noqa: S101 - it has ended
    return process.returncode, os.fsdecode(said).strip()
