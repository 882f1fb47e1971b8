"""`nitrogen-gateway check HOST`: talks to a running gateway as each kind of client, and says what works."""

import argparse
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Protocol

from command_line.paths import local_path
from contract.endpoint import Endpoint, parse_endpoint
from contract.triton_key import TritonKey
from gateway.commands import check_http, check_tcp, check_web, check_zmq
from gateway.commands.check_triton import check_triton
from gateway.commands.probing import (
    PORT_NAMES,
    REQUESTS,
    Finding,
    FlagError,
    ForeignError,
    Place,
    ProbeError,
    report,
)
from gateway.errors import StartError
from gateway.settings import OFF, GatewaySettings
from gateway.triton.key import read_key

# All checks of a port together may take this many timeouts.
_PATIENCE = 30


class PortCheck(Protocol):
    """A module that checks one kind of port."""

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        """Add the flags that its clients need to get in."""

    def prepare(self, arguments: argparse.Namespace) -> Callable[[Place], Iterator[Finding]]:
        """Return the check itself.

        Raises:
            FlagError: a file that a flag names cannot be used.
        """


# By the names of the gateway's ports.
CHECKS: dict[str, PortCheck] = {"zmq": check_zmq, "tcp": check_tcp, "web": check_web, "http": check_http}


def main(words: Sequence[str]) -> int:
    """Run the command; return 0 if everything works, 1 if something does not, 2 for a wrong flag."""
    parser = _parser()
    arguments = parser.parse_args(words)
    try:
        checks = _checks(arguments)
    except FlagError as error:
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
    sys.stdout.write("everything works\n" if works else "something does not work: see FAIL above\n")
    return 0 if works else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nitrogen-gateway check",
        description="Talk to a running gateway on every port as each kind of client, and to Triton.",
    )
    parser.add_argument("host", help="name or address of the gateway")
    for name in CHECKS:
        number = GatewaySettings.model_fields[f"{name}_port"].default
        parser.add_argument(
            f"--{name}-port",
            type=_port,
            metavar="PORT",
            default=number,
            help="off leaves it out (%(default)s)",
        )
    parser.add_argument(
        "--triton",
        type=_endpoint,
        metavar="HOST:PORT",
        help="Triton's gRPC port (port 8001 of the gateway's host)",
    )
    parser.add_argument("--triton-key-file", type=local_path, help="file with the key that Triton asks for")
    parser.add_argument("--model", default="nitrogen", help="model that Triton should serve (%(default)s)")
    parser.add_argument("--timeout", type=_seconds, default=10.0, help="seconds for each reply (%(default)s)")
    for check in CHECKS.values():
        check.add_flags(parser)
    return parser


def _checks(arguments: argparse.Namespace) -> list[tuple[str, Callable[[], Iterator[Finding]]]]:
    """Return the checks that were asked for, each with its port's name."""
    prepared = {name: check.prepare(arguments) for name, check in CHECKS.items()}
    key = _triton_key(arguments.triton_key_file)
    host, port = arguments.triton or (arguments.host, 8001)
    triton = Place(host, port, arguments.timeout, "--triton")
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = []
    for name, check in prepared.items():
        number = getattr(arguments, f"{name}_port")
        if number:
            place = Place(arguments.host, number, arguments.timeout, f"--{name}-port")
            checks.append((f"{name} {number}", partial(check, place)))
    checks.append(
        (
            f"triton {port}",
            lambda: check_triton(triton, arguments.model, key, is_named=arguments.triton is not None),
        )
    )
    return checks


def _patiently(name: str, check: Callable[[], Iterator[Finding]], limit_s: float) -> list[Finding]:
    """Return a check's findings; each wait in it is bounded, and so are all together."""
    findings: list[Finding] = []
    done = threading.Event()

    def run() -> None:
        try:
            for one in check():
                findings.append(one)  # noqa: PERF402 - one by one, to keep those before a hang
        except ProbeError as problem:
            speaks = problem.speaks if isinstance(problem, ForeignError) else ""
            findings.append(Finding(name, "connection", "FAIL", str(problem), speaks))
        done.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limit_s)
    found = list(findings)
    if thread.is_alive():
        found.append(Finding(name, "all", "FAIL", f"not finished within {limit_s:g} s: gave up"))
    elif not done.is_set():
        found.append(Finding(name, "all", "FAIL", "the check itself failed: see above, and report it"))
    return found


def _triton_key(path: Path | None) -> TritonKey | None:
    try:
        return None if path is None else read_key(path)
    except StartError as error:
        raise FlagError(str(error)) from None


def _port(text: str) -> int:
    if text.lower() == OFF:
        return 0
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a port nor the word {OFF}")
    return int(text)


def _endpoint(text: str) -> Endpoint:
    try:
        return parse_endpoint(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds
