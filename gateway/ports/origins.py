"""Whose pages may use the gateway: a browser sends any page's requests, not only those of ours.

A page of another site that opens a WebSocket here is known by its origin. If that site's own name points at
this machine (DNS rebinding), the origin is that name, so names that anybody can own must be listed.
"""

import socket
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from gateway.safe_text import describe
from gateway.settings import parse_origin

# Nobody can register a public name below these.
_LOCAL_SUFFIXES = (".local", ".localhost", ".internal", ".lan", ".home.arpa")


class Origins:
    """The origins that may use a port.

    Args:
        listed: the operator's, from `parse_origin`.
    """

    def __init__(self, listed: Sequence[str]) -> None:
        self._listed = frozenset(listed)
        self._names = {urlsplit(origin).hostname for origin in listed} | {socket.gethostname().lower()}

    def host_problem(self, host: str) -> str | None:
        """Return why a page may not be opened under this `Host`, or None."""
        name = _name(host)
        if name is not None and (name in self._names or _is_local(name)):
            return None
        return (
            f"the page was opened under the name {describe(host)}, which could be anybody's: open it by the "
            "server's address, or have its operator add the page's address to --web-origins"
        )

    def origin_problem(self, origin: str, host: str) -> str | None:
        """Return why a page of this origin may not use the port, which it calls `host`; or None."""
        try:
            known = parse_origin(origin)
        except ValueError:
            known = ""
        if known in self._listed:
            return None
        if not known or not any(known == _origin(scheme, host) for scheme in ("http", "https")):
            return (
                f"a page of {describe(origin)} may not play here: open this server's own page, or have its "
                "operator add that origin to --web-origins"
            )
        return self.host_problem(host)


def _origin(scheme: str, host: str) -> str | None:
    try:
        return parse_origin(f"{scheme}://{host}")
    except ValueError:
        return None


def _name(host: str) -> str | None:
    """Return the name in a `Host`, without its port; None for other texts."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    return None if parts.path or parts.query or parts.username is not None else parts.hostname


def _is_local(name: str) -> bool:
    """Return whether a name is an address, or one that only exists on a machine or local network."""
    if "." not in name.rstrip(".") and ":" not in name:
        return True
    try:
        ip_address(name)
    except ValueError:
        return name.rstrip(".").endswith(_LOCAL_SUFFIXES)
    return True
