"""The servers that a score compares, as the command line names them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

RANDOM, NOTHING = "random", "nothing"
_DEFAULT_PORT = 5555


@dataclass(frozen=True)
class ServerName:
    """A server, or one of its models.

    Attributes:
        name: what the table calls it.
        model: None for the server's default.
    """

    name: str
    host: str
    port: int
    model: str | None

    @property
    def address(self) -> str:
        """HOST:PORT[/MODEL]."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" + (f"/{self.model}" if self.model is not None else "")


def server_name(text: str) -> ServerName:
    """Return what [NAME=]HOST[:PORT][/MODEL] names; the port is 5555 where it is left out.

    Raises:
        ValueError: it names nothing; the message says why.
    """
    name, is_named, rest = text.rpartition("=")
    address, has_model, model = rest.partition("/")
    host, has_port, port = address.rpartition(":")
    if not has_port or address.endswith("]"):
        host, port = address, str(_DEFAULT_PORT)
    host = host.removeprefix("[").removesuffix("]")
    if not host or (has_model and not model) or (is_named and not name):
        raise ValueError(f"{text!r} is not a server: give [NAME=]HOST:PORT[/MODEL]")
    if not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError(f"{port!r} in {text!r} is not a port (1 to 65535)")
    return ServerName(name or model or address, host, int(port), model or None)


def name_clash(servers: Sequence[ServerName]) -> str | None:
    """Return a sentence if two players would have one name in the table."""
    counts = Counter([RANDOM, NOTHING, *(server.name for server in servers)])
    name, count = counts.most_common(1)[0]
    if count == 1:
        return None
    return f"two players are called {name!r}: give one another name, --server NAME=HOST:PORT[/MODEL]"
