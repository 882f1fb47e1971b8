"""How a check gets into a port that needs a token or TLS."""

import argparse
import ssl
from dataclasses import dataclass
from pathlib import Path

from command_line.paths import local_path
from gateway.commands.probing import PORT_NAMES, FlagError, ProbeError


@dataclass(frozen=True, slots=True, repr=False)
class Access:
    """The port's token, if it has one, and its TLS settings, if it uses TLS."""

    token: str | None = None
    tls: ssl.SSLContext | None = None


def add_access_flags(port: str, parser: argparse.ArgumentParser) -> None:
    """Add the flags for the token and the TLS of the port with this name."""
    name = PORT_NAMES[port]
    parser.add_argument(f"--{port}-token-file", type=local_path, help=f"file with the {name} port's token")
    parser.add_argument(
        f"--{port}-tls-ca", type=local_path, help=f"PEM file with the {name} port's authority: use TLS"
    )


def read_access(port: str, arguments: argparse.Namespace) -> Access:
    """Return those flags' values.

    Raises:
        FlagError: a flag's file has the wrong content.
    """
    token_file: Path | None = getattr(arguments, f"{port}_token_file")
    authority: Path | None = getattr(arguments, f"{port}_tls_ca")
    token = None
    if token_file is not None:
        try:
            token = token_file.read_text().strip()
        except (OSError, ValueError):
            token = ""
        if not token:
            raise FlagError(f"--{port}-token-file is {str(token_file)!r}, which is not a file with a token")
    if authority is None:
        return Access(token)
    try:
        return Access(token, ssl.create_default_context(cafile=str(authority)))
    except (OSError, ValueError):
        raise FlagError(f"--{port}-tls-ca is {str(authority)!r}, which is not a readable PEM file") from None


def untrusted(port: str, why: object) -> ProbeError:
    """Return the error for a port whose certificate is not trusted."""
    return ProbeError(
        f"its certificate is not trusted ({why}): check --{port}-tls-ca, and that the certificate names the "
        "host as you gave it"
    )
