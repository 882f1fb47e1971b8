"""From what an operator wants to a published version: found in the repository, or exported into it.

Making the demo checkpoint and exporting run as processes of their own: they need torch and the weights in
memory, the serving process neither.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from export.checkpoint.digest import adapter_sha256
from export.checkpoint.folder import CHECKPOINT_NAME
from export.checkpoint.source import DEFAULT_CHECKPOINT, DEMO, find_checkpoint
from export.errors import ExportError
from export.flags import PREFIX
from export.repository.reuse import Settings, find_published, serve_again
from export.repository.triton_config import Format
from export.repository.versions import Version, all_versions
from standalone.errors import StandaloneError
from standalone.keeper import die_with_parent

logger = logging.getLogger(__name__)

T = TypeVar("T")

_INTERRUPT_S = 3.0
DEMO_FOLDER = Path("var", "demo")


@dataclass(frozen=True)
class Wanted:
    """What an operator wants served.

    `checkpoint`: a file, a folder, a Hugging Face id or "demo". `steps`, `context`: None for the
    checkpoint's own. `precision`: None for what is published, else export's "auto". `weights`: key of the
    checkpoint's table of weights, None for the usual one. `adapter`: folder of a LoRA adapter. `form`:
    "torchscript" or "onnx".
    """

    checkpoint: str = DEFAULT_CHECKPOINT
    models_dir: Path = Path("models")
    steps: int | None = None
    context: int | None = None
    cfg_scale: float = 1.0
    precision: str | None = None
    weights: str | None = None
    adapter: Path | None = None
    form: Format = "torchscript"

    @property
    def settings(self) -> Settings:
        """What a published version is recognised by, beside its checkpoint and adapter."""
        return Settings(
            self.form, self.steps, self.context, self.cfg_scale, self.precision, weights=self.weights
        )

    def export_arguments(self) -> list[str]:
        """The same for the command line of `python -m export`."""
        flags = {
            "--models-dir": self.models_dir,
            "--steps": self.steps,
            "--context": self.context,
            "--cfg-scale": self.cfg_scale,
            "--precision": self.precision,
            "--weights": self.weights,
            "--lora": self.adapter,
            "--format": self.form,
        }
        given = [part for flag, value in flags.items() if value is not None for part in (flag, str(value))]
        return [self.checkpoint, *given]


async def publish(wanted: Wanted, repository: Path) -> Version:
    """Make the repository hold what is wanted, and serve it.

    Returns:
        The version that Triton is to load.

    Raises:
        StandaloneError: when there is no such checkpoint, or it cannot be exported.
    """
    if wanted.checkpoint == DEMO:
        if await _run("export.checkpoint.demo", str(DEMO_FOLDER)) != 0:
            raise StandaloneError(f"the demo checkpoint cannot be written into {DEMO_FOLDER}: see above")
        wanted = replace(wanted, checkpoint=str(DEMO_FOLDER / "ng.pt"))
    _tell_what_is_missing(wanted)
    try:
        source = await _in_daemon_thread(lambda: find_checkpoint(wanted.checkpoint, wanted.models_dir))
        adapter = "" if wanted.adapter is None else adapter_sha256(wanted.adapter)
        version = find_published(repository, source.sha256, adapter, wanted.settings)
        if version is None:
            logger.info("exporting %s into %s", source.path, repository)
            if await _run("export", *wanted.export_arguments(), "--repository", str(repository)) != 0:
                raise StandaloneError(f"{source.path} cannot be exported: see the line above")
            version = find_published(repository, source.sha256, adapter, wanted.settings)
        if version is None:
            raise StandaloneError(f"{source.path} changed while it was exported: start again")
        serve_again(repository, version)
    except ExportError as error:
        raise StandaloneError(str(error)) from error
    return version


def _tell_what_is_missing(wanted: Wanted) -> None:
    """Before the network is asked, which may take its time to say that there is none."""
    kept = wanted.models_dir / wanted.checkpoint / CHECKPOINT_NAME
    if wanted.checkpoint == DEFAULT_CHECKPOINT and not kept.exists() and not Path(wanted.checkpoint).exists():
        logger.info(
            "%s is wanted, 2 GB from the Hugging Face hub, and %s is not there yet; --demo serves an "
            "untrained model, and needs no network",
            wanted.checkpoint,
            kept,
        )


def published_models(repository: Path, first: str, others: Sequence[str]) -> list[str]:
    """Names of the models to load, `first` before the others; "*" stands for all that are published.

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


async def _in_daemon_thread(work: Callable[[], T]) -> T:
    """What `work` returns; when this is cancelled, nobody waits for a download to end (it is continued)."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(set_outcome: Callable[[Any], None], outcome: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(lambda: None if future.done() else set_outcome(outcome))

    def run() -> None:
        try:
            settle(future.set_result, work())
        except Exception as error:
            settle(future.set_exception, error)

    threading.Thread(target=run, daemon=True).start()
    return await future


async def _run(module: str, *arguments: str) -> int:
    """Run `python -m module` to its end, and end it with this process; its exit code."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdout=asyncio.subprocess.DEVNULL,
        # Its arguments say it all: a variable that has no flag here must not change what is exported.
        env={name: text for name, text in os.environ.items() if not name.startswith(PREFIX)},
        preexec_fn=die_with_parent,
    )
    try:
        return await process.wait()
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
