"""HOST:PORT, as in settings, flags and messages; the host is a name or an address, IPv6 in brackets."""

import re
from typing import NamedTuple

_MAX_PORT = 65535
_ENDPOINT = re.compile(r"(?:\[([0-9a-fA-F:.]+(?:%[^\s\[\],/]+)?)\]|([^\s:/\[\],]+)):([1-9][0-9]{0,4})")


class Endpoint(NamedTuple):
    """Where a service listens; `host` is without brackets. Its text is HOST:PORT."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """Return the endpoint that a text names.

    Raises:
        ValueError: the text is not HOST:PORT.
    """
    found = _ENDPOINT.fullmatch(text)
    if found is None or int(found[3]) > _MAX_PORT:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return Endpoint(found[1] or found[2], int(found[3]))


def parse_endpoints(text: str) -> tuple[Endpoint, ...]:
    """Return the endpoints of a text with commas between them.

    Raises:
        ValueError: one of them is not HOST:PORT.
    """
    return tuple(map(parse_endpoint, text.split(",")))
