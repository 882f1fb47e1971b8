"""The folder of CURVE keys: the gateway's own pair, and a public key for each client that may connect.

`nitrogen-gateway keys` makes it; the files are pyzmq's certificates:

    server.key           the gateway's public key; its clients need it
    server.key_secret    the gateway's secret key
    clients/NAME.key     a client's public key: whoever has its secret half may connect
    secrets/NAME.key_secret    a client's secret key: move it to the client's machine
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import zmq
from zmq.auth import load_certificate
from zmq.utils import z85

from gateway.errors import StartError
from gateway.protocol.zmq.zmtp.stream import Mechanism

logger = logging.getLogger(__name__)

SERVER = "server"
CLIENTS = "clients"
SECRETS = "secrets"
PUBLIC_SUFFIX = ".key"
SECRET_SUFFIX = ".key_secret"  # noqa: S105 - the end of a file's name

# A handshake reads the clients' keys again, but not more often than this, so that handshakes stay cheap.
_FRESH_S = 1.0
_KEY_CHARACTERS = 40


class CurveKeys:
    """The keys in a folder. Clients' keys can be added and removed without a restart.

    Args:
        folder: made by `nitrogen-gateway keys`.
        clock: monotonic seconds.

    Raises:
        StartError: the folder, or the gateway's own pair in it, is missing or cannot be used.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        # libsodium is loaded only where keys are used.
        from gateway.protocol.zmq.zmtp.curve import CurveMechanism  # noqa: PLC0415

        self._curve = CurveMechanism
        self._clients = folder / CLIENTS
        self._clock = clock
        self._secret = z85.decode(_server_secret(folder))
        self._known: frozenset[bytes] = frozenset()
        self._changed = -1
        self._read_at = 0.0
        try:
            self._read()
        except OSError as error:
            raise StartError(_cannot_use(folder, error)) from error
        if not self._known:
            logger.warning(
                "no client has a key in %s yet: nitrogen-gateway keys %s --client NAME makes one",
                self._clients,
                folder,
            )

    def mechanism(self) -> Mechanism:
        """Return a handshake with one client by these keys."""
        return self._curve(self._secret, self.knows)

    def knows(self, key: bytes) -> bool:
        """Return whether the client with this public key, 32 bytes, may connect."""
        try:
            if self._clock() - self._read_at >= _FRESH_S or self._clients.stat().st_mtime_ns != self._changed:
                self._read()
        except OSError as error:
            logger.error("the clients' keys cannot be read, so no client may connect: %s", error)
            return False
        return key in self._known

    def _read(self) -> None:
        # Read the time first, so that a key added meanwhile makes the folder newer.
        self._changed = self._clients.stat().st_mtime_ns
        self._read_at = self._clock()
        known = set()
        for path in sorted(self._clients.iterdir()):
            if path.suffix == PUBLIC_SUFFIX:
                try:
                    public, secret = load_certificate(path)
                    _check_key(public)
                except (OSError, ValueError) as error:
                    logger.warning("the client's key %s is ignored: %s", path, error)
                    continue
                if secret is not None:
                    logger.warning("%s holds a secret key, which belongs on its client's machine", path)
                known.add(z85.decode(public))
        self._known = frozenset(known)


def _server_secret(folder: Path) -> bytes:
    path = folder / f"{SERVER}{SECRET_SUFFIX}"
    try:
        public, secret = load_certificate(path)
        if secret is None:
            raise ValueError(f"there is no secret key in {path}")
        _check_key(public)
        _check_key(secret)
        if zmq.curve_public(secret) != public:
            raise ValueError(f"the two keys in {path} do not belong together")
    except (OSError, ValueError) as error:
        raise StartError(_cannot_use(folder, error)) from error
    return secret


def _closed_to_us(folder: Path) -> Path | None:
    """Return the folder or file that this user may not read on the way to the gateway's keys, or None."""
    secret = folder / f"{SERVER}{SECRET_SUFFIX}"
    for inner in (*reversed(secret.parents), folder / CLIENTS, secret):
        if not inner.exists():
            return None
        if not os.access(inner, os.R_OK if inner == secret else os.X_OK):
            return inner
    return None


def _check_key(key: bytes) -> None:
    """Raise ValueError for a text that is not a key in Z85; the message does not show it."""
    if len(key) != _KEY_CHARACTERS:
        raise ValueError(f"a key has {_KEY_CHARACTERS} characters, not {len(key)}")
    try:
        z85.decode(key)
    except (KeyError, ValueError) as error:
        raise ValueError("a key has characters that are not Z85") from error


def _cannot_use(folder: Path, error: Exception) -> str:
    closed = _closed_to_us(folder)
    if closed is not None:
        return (
            f"--curve-keys {folder} cannot be used: the gateway's user {os.geteuid()} cannot read {closed}, "
            f"which belongs to user {closed.stat().st_uid}: chown the whole folder to user {os.geteuid()}"
        )
    return (
        f"--curve-keys {folder} cannot be used ({error}): "
        f"`nitrogen-gateway keys {folder}` makes what is missing"
    )
