"""Whether a folder can be written, and messages for one that cannot be written or read. Free of torch."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def require_writable(folder: Path) -> None:
    """Check before long work that a folder, or the one that it will be made in, can be written.

    Raises:
        OSError: when it cannot.
    """
    existing = _existing(folder)
    if not existing.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(existing))
    if os.statvfs(existing).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(existing))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(existing))


def _existing(path: Path) -> Path:
    """Return a path, or the nearest folder above it that is there."""
    for existing in (path, *path.parents):
        with suppress(PermissionError):  # it may be there, but cannot be seen
            if existing.exists():
                return existing
    return path


def _is_write_protected(path: Path) -> bool:
    """Return whether a path belongs to this user, but is not writable."""
    with suppress(OSError):
        status = path.stat()
        return status.st_uid == os.geteuid() and not status.st_mode & stat.S_IWUSR
    return False


def unreadable(error: OSError, path: str | Path) -> str:
    """Return why a file or folder cannot be read; `path` is its name where the error has none."""
    sentence = f"{error.filename or path} cannot be read: {error.strerror}"
    if error.errno not in (errno.EACCES, errno.EPERM):
        return sentence
    return (
        f"{sentence}; this process runs as user {os.geteuid()}: let it read there (chmod -R o+rX, "
        "for a mounted folder on the host)"
    )


def advice(error: OSError, other: str) -> str:
    """Return what to do about a folder or file that cannot be written; `other` says how to choose another."""
    path = _existing(Path(error.filename)) if error.filename else None
    where = "" if path is None else f" {path}"
    match error.errno:
        case errno.EACCES | errno.EPERM:
            user, group = os.geteuid(), os.getegid()
            if path is not None and _is_write_protected(path):
                return f"it is write-protected: chmod -R u+w {path}, or {other}"
            return (
                f"this process runs as user {user}: let it write there (chown -R {user}:{group}{where}, "
                f"for a mounted folder on the host), or {other}"
            )
        case errno.EROFS:
            return f"it is mounted read-only: mount it writable, or {other}"
        case number if number in NO_SPACE:
            return f"make room and start again, or {other}"
        case _:
            return other
