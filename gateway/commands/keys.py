"""`nitrogen-gateway keys DIR`: makes the keys by which ZeroMQ clients and the gateway know each other."""

import argparse
import errno
import os
import re
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from zmq.auth import create_certificates

from command_line.paths import local_path
from gateway.ports.zmq.keys import CLIENTS, PUBLIC_SUFFIX, SECRET_SUFFIX, SECRETS, SERVER

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class _KeysError(Exception):
    """The keys were not made; the message says why and what to do."""


def main(words: list[str]) -> int:
    """Make the gateway's pair, if there is none, and a client's pair, if asked to.

    Returns 0, 1 when the files cannot be made; wrong arguments end in argparse's own way, with 2.
    """
    parser = argparse.ArgumentParser(
        prog="nitrogen-gateway keys",
        description="Make CURVE keys for --curve-keys. No file is overwritten, and no secret is printed.",
    )
    parser.add_argument(
        "folder", type=local_path, metavar="DIR", help="folder for the keys; made if it is missing"
    )
    parser.add_argument("--client", metavar="NAME", help="also make a pair of keys for this client")
    arguments = parser.parse_args(words)
    try:
        lines = _make(arguments.folder, arguments.client)
    except (OSError, _KeysError) as error:
        sys.stderr.write(f"nitrogen-gateway keys: {error}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def _make(folder: Path, client: str | None) -> list[str]:
    """Make what is missing; return what to say about it."""
    if client is not None and not _NAME.fullmatch(client):
        raise _KeysError(
            f"--client is {client[:80]!r}: use up to 64 letters, digits, dots, hyphens and underscores"
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for inner in (folder / CLIENTS, folder / SECRETS):
        inner.mkdir(mode=0o700, exist_ok=True)
    public, secret = folder / f"{SERVER}{PUBLIC_SUFFIX}", folder / f"{SERVER}{SECRET_SUFFIX}"
    lines = []
    if not public.exists() and not secret.exists():
        _make_pair(SERVER, public, secret)
        lines += [f"The gateway's keys are made: start it with --curve-keys {folder}"]
    elif not (public.exists() and secret.exists()):
        missing = public if secret.exists() else secret
        raise _KeysError(
            f"{missing} is missing, but its other half exists: put it back, or move the other away, too, "
            "and give all clients the new server.key"
        )
    else:
        lines += [f"The gateway's keys already exist in {folder}"]
    if client is not None:
        lines += _make_client(folder, client, public)
    return lines


def _make_client(folder: Path, name: str, server: Path) -> list[str]:
    public = folder / CLIENTS / f"{name}{PUBLIC_SUFFIX}"
    secret = folder / SECRETS / f"{name}{SECRET_SUFFIX}"
    for path in (public, secret):
        if path.exists():
            raise _KeysError(f"{path} already exists and is not overwritten: choose another name")
    _make_pair(name, public, secret)
    return [
        f"{name} may now connect, by its public key {public}; remove that file to lock it out.",
        f"Move these two files to {name}'s machine; only {name} should have the first:",
        f"  {secret}",
        f"  {server}",
        "A Python client then needs, before it sends:",
        f'  socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate("{secret.name}")',
        f'  socket.curve_serverkey, _ = zmq.auth.load_certificate("{server.name}")',
        '  socket.connect("tcp://GATEWAY:5555")',
    ]


def _make_pair(name: str, public: Path, secret: Path) -> None:
    """Make a pair of keys, the secret one for its owner only; each file appears whole or not at all."""
    with tempfile.TemporaryDirectory(dir=secret.parent, prefix=".new-") as temporary:
        made_public, made_secret = (Path(path) for path in create_certificates(temporary, name))
        for made, mode in ((made_secret, 0o600), (made_public, 0o644)):
            with suppress(PermissionError):  # where modes come from the mount, which may have done it
                made.chmod(mode)
        if made_secret.stat().st_mode & 0o077:
            raise _KeysError(
                f"{secret.parent} is on a file system without permissions, such as exFAT, FAT and most CIFS "
                "mounts, so every user of this machine could read the secret keys: choose another folder, or "
                "mount it for one user (the option umask=077; file_mode=0600 for CIFS)"
            )
        _place(made_secret, secret)
        _place(made_public, public)


def _place(made: Path, target: Path) -> None:
    """Move a file to its place, without replacing another one."""
    try:
        os.link(made, target)  # unlike a move
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        target.touch(exist_ok=False)
        made.replace(target)
