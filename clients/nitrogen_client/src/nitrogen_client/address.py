"""Where a server is, and the CURVE keys to it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Union

import zmq.auth

from nitrogen_client.errors import ArgumentError, KeyFileError
from nitrogen_client.options import is_integer

KeyFile = Union[str, "Path"]


@dataclass(frozen=True, repr=False)
class Keys:
    """A client's pair of CURVE keys and the server's public one, in Z85."""

    public: bytes
    secret: bytes
    server: bytes


def read_keys(client_key: KeyFile | None, server_key: KeyFile | None) -> Keys | None:
    """Return the keys in the files that `nitrogen-gateway keys` makes; None when there are no files.

    Args:
        client_key: NAME.key_secret.
        server_key: server.key.

    Raises:
        KeyFileError: one of the files is missing, or holds no key; the message does not show it.
    """
    if client_key is None and server_key is None:
        return None
    if client_key is None or server_key is None:
        missing = "client_key (NAME.key_secret)" if client_key is None else "server_key (server.key)"
        raise KeyFileError(f"{missing} is missing: CURVE needs both files that 'nitrogen-gateway keys' made")
    public, secret = _certificate(client_key)
    server, _ = _certificate(server_key)
    if secret is None:
        raise KeyFileError(f"{client_key} has no secret key: give the file NAME.key_secret as client_key")
    return Keys(public, secret, server)


def _certificate(path: KeyFile) -> tuple[bytes, bytes | None]:
    try:
        public, secret = zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it has no public key"
        raise KeyFileError(f"the key file {path} cannot be used: {reason}") from None
    for key in (public, secret):
        if key is not None and len(key) != 40:
            raise KeyFileError(f"the key file {path} cannot be used: a key has 40 characters, not {len(key)}")
    return public, secret


@dataclass(frozen=True)
class Address:
    """Where a server is, and the keys to it."""

    host: str
    port: int
    keys: Keys | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check the host and the port.

        Raises:
            ArgumentError: one of them is invalid.
        """
        if not isinstance(self.host, str) or not self.host or any(c in self.host for c in "/ \t\r\n\0"):
            raise ArgumentError(f"host must be a name or an address, without tcp://; it is {self.host!r}")
        if self.is_ipv6 and not _is_ipv6(self.host):
            raise ArgumentError(f"host {self.host!r} is not an IPv6 address; give the port as port")
        if not is_integer(self.port) or not 0 < self.port < 65536:
            raise ArgumentError(f"port must be a number from 1 to 65535; it is {self.port!r}")

    @property
    def is_ipv6(self) -> bool:
        """Whether the host is an IPv6 address."""
        return ":" in self.host

    def __str__(self) -> str:
        return f"[{self.host.strip('[]')}]:{self.port}" if self.is_ipv6 else f"{self.host}:{self.port}"


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).version == 6
    except ValueError:
        return False
