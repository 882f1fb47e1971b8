"""From a checkpoint to a published version: found in the repository by its SHA-256, or exported into it.

Making the demo checkpoint and exporting run as processes of their own: they need torch and the weights in
memory, the serving process neither.
"""

import asyncio
import logging
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from export.checkpoint.digest import file_sha256
from export.errors import ExportError, IncompatibleVersionError
from export.repository.versions import Version, all_versions, serve_version
from standalone.errors import StandaloneError
from standalone.keeper import die_with_parent

logger = logging.getLogger(__name__)

_INTERRUPT_S = 3.0
MODEL_NAME = "nitrogen"
DEMO_FOLDER = Path("var", "demo")


@dataclass(frozen=True)
class Sampling:
    """What an operator wants of the export; None takes what is published, or the checkpoint's own."""

    steps: int | None = None
    context: int | None = None
    cfg_scale: float | None = None

    def fits(self, version: Version) -> bool:
        """Whether a published version was exported with these values."""
        facts = version.facts
        pairs = [
            (self.steps, facts.inference_steps),
            (self.context, facts.context_length),
            (self.cfg_scale, facts.cfg_scale),
        ]
        return all(wanted is None or wanted == have for wanted, have in pairs)

    def flags(self) -> list[str]:
        """The same for the command line of `python -m export`."""
        named = {"--steps": self.steps, "--context": self.context, "--cfg-scale": self.cfg_scale}
        return [part for flag, value in named.items() if value is not None for part in (flag, str(value))]


async def make_demo_checkpoint() -> Path:
    """Write the demo checkpoint into `DEMO_FOLDER`, the same bytes each time.

    Raises:
        StandaloneError: when it cannot be written.
    """
    if await _run("standalone.demo", str(DEMO_FOLDER)) != 0:
        raise StandaloneError(f"the demo checkpoint cannot be written into {DEMO_FOLDER}: see above")
    return DEMO_FOLDER / "ng.pt"


async def publish(checkpoint: Path, repository: Path, sampling: Sampling) -> Version:
    """Make the repository hold this checkpoint and serve it.

    Returns:
        The version that Triton is to load.

    Raises:
        StandaloneError: when there is no such checkpoint, or it cannot be exported.
    """
    try:
        sha256 = await asyncio.to_thread(file_sha256, checkpoint)
    except OSError as error:
        raise StandaloneError(
            f"no checkpoint can be read at {checkpoint} ({error.strerror}): give the path of an ng.pt file"
        ) from error
    try:
        version = _find(repository, sha256, sampling)
        if version is None:
            await _export(checkpoint, repository, MODEL_NAME, f"{MODEL_NAME}-{sha256[:8]}", sampling)
            version = _find(repository, sha256, sampling)
        if version is None:
            raise StandaloneError(f"{checkpoint} changed while it was exported: start again")
        serve_version(repository, version.model_name, version.number)
    except ExportError as error:
        raise StandaloneError(str(error)) from error
    return version


def _find(repository: Path, sha256: str, sampling: Sampling) -> Version | None:
    """The newest version made from a checkpoint; the model's usual name comes before others."""
    fitting = [
        version
        for version in all_versions(repository)
        if version.facts.checkpoint_sha256 == sha256 and sampling.fits(version)
    ]
    return max(fitting, key=lambda version: (version.model_name == MODEL_NAME, version.number), default=None)


async def _export(checkpoint: Path, repository: Path, name: str, other_name: str, sampling: Sampling) -> None:
    """Run export; under `other_name` when the versions of `name` are of another shape."""
    for chosen in (name, other_name):
        logger.info("exporting %s into %s as %s", checkpoint, repository, chosen)
        code = await _run(
            "export", str(checkpoint), "--repository", str(repository), "--name", chosen, *sampling.flags()
        )
        if code == 0:
            return
        if code != IncompatibleVersionError.exit_code:
            break
    raise StandaloneError(f"{checkpoint} cannot be exported: see the line above")


async def _run(module: str, *arguments: str) -> int:
    """Run `python -m module` to its end, and end it with this process; its exit code."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdout=asyncio.subprocess.DEVNULL,
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
