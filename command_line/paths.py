"""Paths as users give them: `~` and `file://` are understood, and paths of other machines are refused."""

import argparse
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

# One slash is enough, as in `C:/x`; a folder of this name can be given as `./s3:/`.
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?P<rest>[/\\].*)", re.DOTALL)
_VARIABLE = re.compile(r"\$\{?[A-Za-z_]|%[A-Za-z_]+%")
_OWN_ENDPOINT = re.compile(r"//(?P<endpoint>https?://[^/]+)/(?P<rest>.+)")


class PathError(argparse.ArgumentTypeError, ValueError):
    """A text is not a path of this machine; the message begins with the text and says what to do."""


def local_path(text: str) -> Path:
    """Return a path of this machine; usable as an argument's type.

    Raises:
        PathError: it is on another machine, or a shell should have replaced a part of it.
    """
    if not text:
        raise PathError("'' is not a path: give one, '.' for the current folder")
    if found := _ADDRESS.match(text):
        return _of_address(text, found["scheme"].lower(), found["rest"])
    if text.startswith("\\\\"):
        raise PathError(f"{text!r} is a Windows path: mount the share, and give the path where it is mounted")
    if _VARIABLE.match(text):
        raise PathError(f"{text!r} has a variable that the shell did not replace: give the path itself")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise PathError(f"{text!r} names a home folder that does not exist: give the path itself") from error


def repository_path(text: str) -> Path:
    """Return the folder of a model repository; usable as an argument's type.

    Raises:
        PathError: as for `local_path`; for an object store it says how to get a repository there.
    """
    found = _ADDRESS.match(text)
    copy = None if found is None else copy_command(found["scheme"].lower(), found["rest"], "DIR", text)
    if copy is None:
        return local_path(text)
    raise PathError(
        f"{text!r} is in an object store, which cannot rename a folder in one step: export into a folder DIR "
        f"of this machine, copy it ({copy}), and start Triton with --model-repository={text}"
    )


def copy_command(scheme: str, rest: str, folder: str, address: str) -> str | None:
    """Return the vendor's command that copies a folder into an object store; None for an unknown scheme."""
    match scheme:
        case "s3":
            if own := _OWN_ENDPOINT.fullmatch(rest):
                return f"aws s3 sync {folder} s3://{own['rest']} --endpoint-url {own['endpoint']}"
            return f"aws s3 sync {folder} {address}"
        case "gs":
            return f"gcloud storage rsync --recursive {folder} {address}"
        case "as":
            account, _, path = rest.lstrip("/").partition("/")
            return f"azcopy sync {folder} https://{account}.blob.core.windows.net/{path}"
        case _:
            return None


def _of_address(text: str, scheme: str, rest: str) -> Path:
    """Return the path of a `file:` address.

    Raises:
        PathError: for every other address.
    """
    if scheme == "file":
        address = urlsplit(text)
        if address.netloc.lower() in {"", "localhost"}:
            return Path(unquote(address.path))
        raise PathError(f"{text!r} is a file of another machine: file:///FOLDER/NAME is one of this machine")
    if len(scheme) == 1:
        raise PathError(f"{text!r} is a Windows path: WSL has that drive as /mnt/{scheme}")
    if copy := copy_command(scheme, rest, "DIR", text):
        raise PathError(
            f"{text!r} is in an object store, but a path of this machine is needed: copy with the store's "
            f"own tool (there: {copy})"
        )
    raise PathError(f"{text!r} is an address, but a path of this machine is needed")
