"""Checking port 8080's pages."""

import argparse
import http
import ipaddress
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial

from prometheus_client.parser import text_string_to_metric_families

from gateway.commands.http_get import get
from gateway.commands.probing import (
    Finding,
    ForeignError,
    Place,
    ProbeError,
    connect,
    finding,
    foreign,
    shown,
)
from gateway.settings import GatewaySettings

_MAX_PAGE_BYTES = 4 * 2**20
_PREFIX = "nitrogen_gateway_"


def add_flags(_: argparse.ArgumentParser) -> None:
    """Add nothing: everyone who reaches the port may read its pages."""


def prepare(arguments: argparse.Namespace) -> Callable[[Place], Iterator[Finding]]:
    """Return the check of an HTTP port."""
    usual = GatewaySettings.model_fields["http_port"].default
    return partial(_check, is_named=arguments.http_port != usual)


def _check(place: Place, *, is_named: bool) -> Iterator[Finding]:
    """Yield what works on the HTTP port and what does not.

    Args:
        place: the gateway's HTTP port.
        is_named: whether the caller named the port; else another machine's need not be reachable.

    Raises:
        ProbeError: there is no connection, or another program listens there.
    """
    where = f"http {place.port}"
    try:
        connect(place).close()
    except ProbeError:
        if is_named or _is_this_machine(place.host):
            raise
        hint = f"not reachable at {place}, as is usual from another machine; --http-port PORT names another"
        yield Finding(where, "connection", "note", hint)
        return
    yield finding(where, "/healthz", lambda: _plain_page(place, "/healthz"))
    yield finding(where, "/readyz", lambda: _plain_page(place, "/readyz"))
    yield finding(where, "/metrics", lambda: _metrics(place))


def _is_this_machine(host: str) -> bool:
    """Return whether a name has this machine's loopback addresses, or none."""
    try:
        found = socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return True
    return all(ipaddress.ip_address(str(address[0])).is_loopback for *_, address in found)


def _page(place: Place, path: str) -> tuple[int, str]:
    """Return a page's status and text."""
    deadline = time.monotonic() + place.timeout_s
    with connect(place) as connection:
        try:
            status, page = get(connection, path, str(place), deadline, _MAX_PAGE_BYTES)
        except TimeoutError:
            raise ForeignError(
                f"no page within {place.timeout_s:g} s: the gateway is stuck, or it is another program"
            ) from None
        except OSError as error:
            raise ForeignError(
                f"the connection broke ({error.strerror or error}): does another program listen on {place}?"
            ) from None
    if status is None:
        raise foreign(place, page, "http")
    return status, page.decode(errors="replace")


def _plain_page(place: Place, path: str) -> str:
    status, text = _page(place, path)
    if status == http.HTTPStatus.SERVICE_UNAVAILABLE:
        raise ProbeError(f"503: {shown(text.strip())}")
    if status != http.HTTPStatus.OK:
        raise ForeignError(f"status {status}: does another program's HTTP server listen on {place}?")
    return shown(text.strip())


def _metrics(place: Place) -> str:
    status, text = _page(place, "/metrics")
    if status != http.HTTPStatus.OK or _PREFIX not in text:
        raise ProbeError(f"status {status}, and no metrics of a NitroGen gateway: is it another program?")
    try:
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    except ValueError as error:
        raise ProbeError(f"the page is not a Prometheus text ({shown(str(error))})") from None
    versions = {s.labels["version"] for s in samples if s.name == f"{_PREFIX}build_info"}
    players = sum(s.value for s in samples if s.name == f"{_PREFIX}players")
    parts = [f"version {', '.join(sorted(versions)) or 'unknown'}", f"{players:.0f} players"]
    down = {s.labels["address"] for s in samples if s.name == f"{_PREFIX}triton_up" and not s.value}
    if down:
        parts.append(f"the gateway cannot use Triton at {', '.join(sorted(down))}")
    return shown("; ".join(parts))
