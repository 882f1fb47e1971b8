"""`nitrogen-gateway check HOST`: speaks to a running gateway as each kind of client, and says what works."""

import argparse
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

from zmq.auth import load_certificate

from command_line.paths import local_path
from gateway.commands.check_services import check_http, check_triton
from gateway.commands.check_tcp import TcpAccess, check_tcp
from gateway.commands.check_zmq import CurveClient, check_zmq
from gateway.commands.probing import (
    PORT_NAMES,
    REQUESTS,
    Finding,
    ForeignError,
    Place,
    ProbeError,
    report,
)
from gateway.errors import StartError
from gateway.settings import OFF
from gateway.triton.key import TritonKey

# Each port's checks together may take as many timeouts, after which they are given up.
_PATIENCE = 30
_HTTP_PORT = 8080


class _ArgumentError(Exception):
    """A file that a flag names cannot be used; the message never shows what is in it."""


def main(words: Sequence[str]) -> int:
    """Run the command; return 0 when all works, 1 when something does not, 2 for a wrong flag."""
    parser = _parser()
    arguments = parser.parse_args(words)
    try:
        checks = _checks(arguments)
    except _ArgumentError as error:
        parser.error(str(error))
    sys.stdout.write(
        f"NitroGen gateway at {arguments.host}; latencies are medians of {REQUESTS} predicts, one at a time\n"
    )
    works = True
    speaks = {}
    for name, check in checks:
        findings = _patiently(name, check, _PATIENCE * arguments.timeout)
        sys.stdout.write(report(findings))
        sys.stdout.flush()
        works = works and all(one.state != "FAIL" for one in findings)
        speaks[name.split()[0]] = next((one.speaks for one in findings), "")
    for wanted, other in combinations(PORT_NAMES, 2):
        if (speaks.get(wanted), speaks.get(other)) == (other, wanted):
            sys.stdout.write(f"--{wanted}-port and --{other}-port are swapped\n")
    sys.stdout.write("all works\n" if works else "not all works: see FAIL above\n")
    return 0 if works else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nitrogen-gateway check",
        description="Speak to a running gateway on every port as each kind of client, and to Triton.",
    )
    parser.add_argument("host", help="name or address of the gateway")
    for name, port in (("zmq", 5555), ("tcp", 5556), ("http", _HTTP_PORT)):
        parser.add_argument(
            f"--{name}-port", type=_port, metavar="PORT", default=port, help="off leaves it out (%(default)s)"
        )
    parser.add_argument(
        "--triton",
        type=_endpoint,
        metavar="HOST:PORT",
        help="Triton's gRPC port (port 8001 of the gateway's host)",
    )
    parser.add_argument("--triton-key-file", type=local_path, help="file with the key that Triton asks for")
    parser.add_argument("--model", default="nitrogen", help="model that Triton is asked for (%(default)s)")
    parser.add_argument("--timeout", type=_seconds, default=10.0, help="seconds for each reply (%(default)s)")
    parser.add_argument("--no-pickle", action="store_true", help="the gateway runs with --no-pickle")
    parser.add_argument("--client-key", type=local_path, help="CURVE: file NAME.key_secret of this client")
    parser.add_argument("--server-key", type=local_path, help="CURVE: file server.key of the gateway")
    parser.add_argument("--tcp-token-file", type=local_path, help="file with the TCP port's token")
    parser.add_argument(
        "--tcp-tls-ca", type=local_path, help="PEM file with the TCP port's authority: speak TLS"
    )
    return parser


def _checks(arguments: argparse.Namespace) -> list[tuple[str, Callable[[], Iterator[Finding]]]]:
    """Return the checks that were asked for, each with its port's name."""

    def place(name: str) -> Place:
        port = getattr(arguments, f"{name}_port")
        return Place(arguments.host, port, arguments.timeout, f"--{name}-port")

    keys = _curve(arguments.client_key, arguments.server_key)
    access = _tcp_access(arguments.tcp_token_file, arguments.tcp_tls_ca)
    key = _triton_key(arguments.triton_key_file)
    host, port = arguments.triton or (arguments.host, 8001)
    triton = Place(host, port, arguments.timeout, "--triton")
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = []
    if arguments.zmq_port:
        checks.append(
            (
                f"zmq {arguments.zmq_port}",
                lambda: check_zmq(place("zmq"), keys, takes_pickle=not arguments.no_pickle),
            )
        )
    if arguments.tcp_port:
        checks.append((f"tcp {arguments.tcp_port}", lambda: check_tcp(place("tcp"), access)))
    if arguments.http_port:
        is_named = arguments.http_port != _HTTP_PORT
        checks.append((f"http {arguments.http_port}", lambda: check_http(place("http"), is_named=is_named)))
    checks.append(
        (
            f"triton {port}",
            lambda: check_triton(triton, arguments.model, key, is_named=arguments.triton is not None),
        )
    )
    return checks


def _patiently(name: str, check: Callable[[], Iterator[Finding]], limit_s: float) -> list[Finding]:
    """Return a check's findings; each wait in it is bounded, and so is their sum."""
    findings: list[Finding] = []
    done = threading.Event()

    def run() -> None:
        try:
            for one in check():
                findings.append(one)  # noqa: PERF402 - one by one, so that those before a halt are there
        except ProbeError as problem:
            speaks = problem.speaks if isinstance(problem, ForeignError) else ""
            findings.append(Finding(name, "connection", "FAIL", str(problem), speaks))
        done.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limit_s)
    found = list(findings)
    if thread.is_alive():
        found.append(Finding(name, "all", "FAIL", f"not done within {limit_s:g} s: given up"))
    elif not done.is_set():
        found.append(Finding(name, "all", "FAIL", "the check itself failed: see above, and report it"))
    return found


def _curve(client: Path | None, server: Path | None) -> CurveClient | None:
    if client is None and server is None:
        return None
    if client is None or server is None:
        raise _ArgumentError("--client-key and --server-key mean nothing without each other: give both")
    public, secret = _certificate("--client-key", client)
    if secret is None:
        raise _ArgumentError(
            f"--client-key is {str(client)!r}, which has no secret key: NAME.key_secret is needed"
        )
    return CurveClient(public, secret, _certificate("--server-key", server)[0])


def _certificate(flag: str, path: Path) -> tuple[bytes, bytes | None]:
    try:
        return load_certificate(path)
    except (OSError, ValueError):
        raise _ArgumentError(
            f"{flag} is {str(path)!r}, which is no file of CURVE keys that can be read"
        ) from None


def _triton_key(path: Path | None) -> TritonKey | None:
    try:
        return None if path is None else TritonKey(path)
    except StartError as error:
        raise _ArgumentError(str(error)) from None


def _tcp_access(token_file: Path | None, authority: Path | None) -> TcpAccess:
    token = None
    if token_file is not None:
        try:
            token = token_file.read_text().strip()
        except (OSError, ValueError):
            token = ""
        if not token:
            raise _ArgumentError(f"--tcp-token-file is {str(token_file)!r}, which is no file with a token")
    if authority is None:
        return TcpAccess(token)
    try:
        return TcpAccess(token, ssl.create_default_context(cafile=str(authority)))
    except (OSError, ValueError):
        raise _ArgumentError(
            f"--tcp-tls-ca is {str(authority)!r}, which is not a readable PEM file"
        ) from None


def _port(text: str) -> int:
    if text.lower() == OFF:
        return 0
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a port nor the word {OFF}")
    return int(text)


def _endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds
