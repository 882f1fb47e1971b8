"""A client's settings, checked once; both clients have the same."""

from __future__ import annotations

from dataclasses import dataclass

from nitrogen_client.connection import Address, KeyFile, read_keys
from nitrogen_client.errors import ArgumentError
from nitrogen_client.exchange import Peer
from nitrogen_client.formats import PROTOCOLS
from nitrogen_client.options import GivenGame, Options, checked_timeout, is_integer

DEFAULT_RETRIES = 10


@dataclass(frozen=True)
class ClientSettings:
    """What a client was made with. `options`: the defaults of its predicts."""

    address: Address
    timeout_s: float
    retries: int
    protocol: str
    options: Options

    def peer(self) -> Peer:
        """Return a server of which nothing is known yet."""
        return Peer(str(self.address), self.protocol)

    def options_of(self, type_: str) -> Options:
        """Return the defaults that matter to a reset or an info."""
        return Options(model=self.options.model if type_ == "info" else None)


def client_settings(
    host: str,
    port: int,
    timeout_s: float,
    retries: int,
    protocol: str,
    seed: int | None,
    game: GivenGame,
    model: str | None,
    timing: bool,
    client_key: KeyFile | None,
    server_key: KeyFile | None,
) -> ClientSettings:
    """Check what a client is made with.

    Raises:
        ArgumentError: a value that cannot be meant.
        KeyFileError: a key file cannot be used.
    """
    if not is_integer(retries) or retries < 0:
        raise ArgumentError(f"retries must be a whole number of 0 or more; it is {retries!r}")
    if protocol not in PROTOCOLS:
        raise ArgumentError(f"protocol must be one of {', '.join(PROTOCOLS)}; it is {protocol!r}")
    return ClientSettings(
        Address(host, int(port) if is_integer(port) else port, read_keys(client_key, server_key)),
        checked_timeout(timeout_s),
        int(retries),
        protocol,
        Options(seed, game, model, timing),
    )
