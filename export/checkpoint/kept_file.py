"""A file of a Hugging Face repository, kept on disk: downloaded once, checked at each use.

A file in the Hugging Face cache (`HF_HUB_CACHE`, `HF_HOME`), which other programs share, is not downloaded.
"""

import fcntl
import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache
from huggingface_hub.file_download import repo_folder_name

from export.checkpoint.digest import file_sha256
from export.checkpoint.hub import describe_file, download, not_a_hub
from export.errors import DownloadError
from export.folder_lock import one_machine
from export.writable import NO_SPACE, advice

logger = logging.getLogger(__name__)

ATTEMPTS = 2
_CHUNK_BYTES = 1 << 22
_HASH = re.compile(r"(?:\{sha(?:1|256)\{)?([0-9a-f]{64}|[0-9a-f]{40})(?:\}\})?")  # Nexus writes {SHA1{...}}


@dataclass(frozen=True)
class KeptFile:
    """A whole file.

    Attributes:
        origin: `owner/name@commit`, its path when it was put there by hand, or "demo".
    """

    path: Path
    sha256: str
    origin: str


@dataclass(frozen=True)
class _Record:
    """The hub's description of a downloaded file, kept as JSON beside it."""

    repository: str
    commit: str
    size: int
    sha256: str

    @property
    def origin(self) -> str:
        return f"{self.repository}@{self.commit}"


class _DamagedError(Exception):
    """A file is not what it should be; the message says how it differs."""


def kept_file(
    path: Path,
    repository: str,
    revision: str,
    is_whole: Callable[[Path], bool],
    *,
    max_bytes: int | None = None,
) -> KeptFile:
    """Return the file at `path`, or in the Hugging Face cache, downloaded if it is in neither.

    A file that is there and right needs no network. One that differs from the hub's description is renamed to
    `*.damaged` and downloaded again; so is a damaged download, once. Several processes may ask for one file.

    Args:
        path: the file's path; `path.name` is its name in the repository.
        repository: `owner/name` on the hub.
        revision: a branch, a tag or a commit.
        is_whole: judges a file that was put there by hand, which has no description.
        max_bytes: the largest download; the hub must then tell the size.

    Raises:
        DownloadError: when it cannot be downloaded or kept.
    """
    try:
        with suppress(FileNotFoundError, _DamagedError):
            return _on_disk(path, is_whole)
        if not path.exists():
            cached = _in_cache(repository, revision, path.name, is_whole, max_bytes)
            if cached is not None:
                return cached
        path.parent.mkdir(parents=True, exist_ok=True)
        with _one_process(path):
            # Another process may have brought it meanwhile.
            try:
                return _on_disk(path, is_whole)
            except FileNotFoundError:
                pass
            except _DamagedError as damage:
                _record_path(path).unlink(missing_ok=True)
                _set_aside(path, path, damage)
            return _downloaded(path, repository, revision, is_whole, max_bytes)
    except OSError as error:
        where = error.filename or path
        if error.errno in NO_SPACE:
            message = f"no space left for {where}: make room and start again, and the download continues"
        else:
            other = "give a folder that can be written (--models-dir, NITROGEN_MODELS_DIR)"
            message = f"cannot use {where} ({error.strerror or error}): {advice(error, other)}"
        raise DownloadError(message) from error


def _on_disk(path: Path, is_whole: Callable[[Path], bool]) -> KeptFile:
    size = path.stat().st_size
    record = _read_record(path)
    if record is None:
        if not is_whole(path):
            raise _DamagedError("it is cut off, or no such file at all")
        return KeptFile(path, file_sha256(path), str(path))
    if size != record.size:
        raise _DamagedError(f"it has {size:,} bytes, but {record.size:,} in {record.origin}")
    sha256 = file_sha256(path)
    if sha256 != record.sha256:
        raise _DamagedError(f"its SHA-256 is {sha256}, but {record.sha256} in {record.origin}")
    return KeptFile(path, sha256, record.origin)


def _in_cache(
    repository: str, revision: str, name: str, is_whole: Callable[[Path], bool], max_bytes: int | None
) -> KeptFile | None:
    """Return the file that another program has downloaded, if it fits the hub's description."""
    try:
        found = try_to_load_from_cache(repository, name, revision=revision)
        if not isinstance(found, str):
            _warn_of_dead_links(repository, name)
            return None
        path = Path(found)
        if max_bytes is not None and path.stat().st_size > max_bytes:
            return None
        sha256 = file_sha256(path)
        # A snapshot's file is a link to one that is named by its ETag.
        if not _compare(path, path.resolve().name, sha256) and not is_whole(path):
            raise _DamagedError("it is cut off, or no such file at all")
    except (OSError, _DamagedError) as error:
        logger.warning("%s in the Hugging Face cache cannot be used: %s", name, error)
        return None
    logger.info("taking %s of %s from the Hugging Face cache: %s", name, repository, path)
    return KeptFile(path, sha256, f"{repository}@{path.parent.name}")


def _warn_of_dead_links(repository: str, name: str) -> None:
    folder = repo_folder_name(repo_id=repository, repo_type="model")
    # Not by glob(), which skips dead links.
    for snapshot in Path(constants.HF_HUB_CACHE, folder, "snapshots").glob("*"):
        link = snapshot / name
        if link.is_symlink() and not link.exists():
            logger.warning("%s is a broken link to %s: it is not used", link, link.readlink())


def _downloaded(
    path: Path, repository: str, revision: str, is_whole: Callable[[Path], bool], max_bytes: int | None
) -> KeptFile:
    file = describe_file(repository, revision, path)
    if max_bytes is not None and (file.size is None or file.size > max_bytes):
        raise DownloadError(
            f"{path.name} of {repository} has {file.size} bytes, but {max_bytes:,} are the most allowed"
        )
    partial = path.with_name(f"{path.name}.{hashlib.sha256(file.etag.encode()).hexdigest()[:16]}.incomplete")
    for other in path.parent.glob(f"{path.name}.*.incomplete"):
        if other != partial:  # of an older commit: nothing continues it
            other.unlink()
    for _ in range(ATTEMPTS):
        download(file, partial, path)
        sha256 = file_sha256(partial)
        try:
            if file.size not in (None, size := partial.stat().st_size):
                raise _DamagedError(f"it has {size:,} bytes, but {file.size:,} on the hub")
            if not _compare(partial, file.etag, sha256):
                if not is_whole(partial):
                    partial.unlink()
                    raise not_a_hub(path)
                logger.warning("the hub sent no hash with %s, so it was not verified", path.name)
        except _DamagedError as error:
            damage = error
            _set_aside(partial, path, damage)
            continue
        record = _Record(repository, file.commit, size, sha256)
        # Before the file: a record without a file is harmless.
        _record_path(path).write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
        return KeptFile(path, sha256, record.origin)
    raise DownloadError(
        f"{path.name} of {repository}@{file.commit} came damaged {ATTEMPTS} times ({damage}): try again "
        f"later, or put the file at {path}"
    )


def _compare(path: Path, etag: str, sha256: str) -> bool:
    """Compare a file with the hash in an ETag; return False when the ETag is another kind of text.

    The hub's is the SHA-256, or the SHA-1 of the git blob; mirrors have the SHA-1 of the bytes.

    Raises:
        _DamagedError: when they differ.
    """
    told = _HASH.fullmatch(etag.lower())
    if told is None:
        return False
    digest = told[1]
    if len(digest) == len(sha256):
        if digest != sha256:
            raise _DamagedError(f"its SHA-256 is {sha256}, but {digest} on the hub")
        return True
    blob = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    plain = hashlib.sha1(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            blob.update(chunk)
            plain.update(chunk)
    if digest not in (blob.hexdigest(), plain.hexdigest()):
        raise _DamagedError(
            f"its git blob is {blob.hexdigest()}, its SHA-1 {plain.hexdigest()}, but {digest} on the hub"
        )
    return True


def _set_aside(path: Path, target: Path, damage: _DamagedError) -> None:
    aside = target.with_name(f"{target.name}.damaged")
    path.replace(aside)
    logger.warning("%s is damaged: %s; set aside as %s", target, damage, aside)


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.hub.json")


def _read_record(path: Path) -> _Record | None:
    try:
        return _Record(**json.loads(_record_path(path).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, RecursionError) as error:
        logger.warning("%s is unreadable, and is ignored: %s", _record_path(path), error)
        return None


@contextmanager
def _one_process(path: Path) -> Iterator[None]:
    """Let one process at a time change `path`; the lock ends with its process."""
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("another process is downloading %s: waiting for it", path)
            fcntl.flock(lock, fcntl.LOCK_EX)
        with one_machine(path.with_name(f"{path.name}.pulse")):
            yield
