"""Where a checkpoint comes from: a file, a folder, a Hugging Face id or the word "demo". Free of torch."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export.checkpoint.digest import file_sha256
from export.checkpoint.file_kinds import is_archive
from export.checkpoint.folder import CHECKPOINT_NAME, checkpoint_in, missing_beside, refuse_dead_link
from export.checkpoint.hub import DEFAULT_REVISION, is_repository_id
from export.checkpoint.kept_file import KeptFile, kept_file
from export.errors import CheckpointError, DownloadError
from export.writable import unreadable

logger = logging.getLogger(__name__)

DEFAULT_CHECKPOINT = "nvidia/NitroGen"
DEMO = "demo"  # not a path: a file or folder of this name is ./demo
DEMO_NOTICE = (
    "*** DEMO: this model is UNTRAINED. It shows that the chain works; its actions mean nothing. ***"
)

_MAX_CHARACTERS = 4000  # of a path, on Linux
_REVISION = re.compile(r"[\w.-]+(/[\w.-]+)*", re.ASCII)


def public_path(source: KeptFile) -> str:
    """Return the path to tell clients; "demo" for the demo, whose path is temporary."""
    return DEMO if source.origin == DEMO else str(source.path)


@contextmanager
def opened_checkpoint(wanted: str, models_dir: Path) -> Iterator[KeptFile]:
    """Yield what `find_checkpoint` finds, or for "demo" the demo checkpoint, which is deleted afterwards.

    Raises:
        CheckpointError: as `find_checkpoint`, or when the demo checkpoint cannot be written.
    """
    if wanted != DEMO:
        yield find_checkpoint(wanted, models_dir)
        return
    # Only here, because torch takes seconds to import.
    from export.checkpoint.demo import demo_checkpoint  # noqa: PLC0415

    with demo_checkpoint() as path:
        yield KeptFile(path, file_sha256(path), DEMO)


def find_checkpoint(wanted: str, models_dir: Path) -> KeptFile:
    """Return the checkpoint's file on this machine, downloaded if necessary.

    Args:
        wanted: a file; a folder with an `ng.pt` or just one other `*.pt` in it; or `owner/name` or
            `owner/name@revision` on the Hugging Face hub. A relative path is also looked for in `models_dir`.
        models_dir: where downloads are kept, as `owner/name/ng.pt` or `owner/name@revision/ng.pt`; one
            that is there needs no network.

    Raises:
        CheckpointError: when it is none of the three, cannot be read, or is a folder of several candidates.
        DownloadError: when the hub cannot give it.
    """
    try:
        return _find(wanted, models_dir)
    except OSError as error:
        raise CheckpointError(unreadable(error, wanted)) from error


def _find(wanted: str, models_dir: Path) -> KeptFile:
    if len(wanted) > _MAX_CHARACTERS:
        raise CheckpointError(f"a checkpoint's name of {len(wanted)} characters is too long")
    path = in_models_dir(Path(wanted), models_dir)
    repository, at, revision = wanted.partition("@")
    is_id = (
        repository.count("/") == 1
        and is_repository_id(repository)
        and not repository.endswith(".pt")  # a file that is missing
        and (not at or (_REVISION.fullmatch(revision) is not None and ".." not in revision))
    )
    if wanted and path.is_file():
        return _local(path)
    # With the current folder as models_dir, the id is also the path of its own download, whole or not.
    if wanted and path.is_dir() and not (is_id and path.resolve() == (models_dir / wanted).resolve()):
        return _local(checkpoint_in(path))
    if wanted:
        refuse_dead_link(path)
    missing = missing_beside(path)
    if not is_id:
        why = f" ({missing})" if missing else ""
        raise CheckpointError(
            f"no checkpoint {wanted!r}{why}: give the path of a file, of a folder with an {CHECKPOINT_NAME} "
            f"in it (both are also looked for in {models_dir}), or a Hugging Face id "
            f"(owner/name or owner/name@revision, such as {DEFAULT_CHECKPOINT})"
        )
    target = models_dir / wanted / CHECKPOINT_NAME
    refuse_dead_link(target)
    if missing and not target.is_file():
        logger.warning("%s: taking %s for a Hugging Face id", missing, wanted)
    try:
        return kept_file(target, repository, revision or DEFAULT_REVISION, is_archive)
    except DownloadError as error:
        if missing is None:
            raise
        raise DownloadError(f"{missing}, and as a Hugging Face id: {error}") from error


def in_models_dir(path: Path, models_dir: Path) -> Path:
    """Return the path itself, or the one of this name in `models_dir` when only that one is there."""
    kept = models_dir / path
    return kept if path.name and not path.exists() and kept.exists() else path


def _local(path: Path) -> KeptFile:
    return KeptFile(path, file_sha256(path), str(path))
