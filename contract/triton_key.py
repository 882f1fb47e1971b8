"""The key of a Triton with restricted protocols, and the file that holds it: one line, NAME=VALUE.

A Triton that is started with `--grpc-restricted-protocol=PROTOCOLS:NAME=VALUE` answers calls of these
protocols only if their metadata hold `triton-grpc-protocol-NAME: VALUE`. gRPC's metadata names are
lower-case: with capitals in NAME, Triton would refuse everyone, so the file may not have any.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

_PREFIX = "triton-grpc-protocol-"
# Triton's words, with the status UNAVAILABLE, for a call without the right key.
_REFUSAL = re.compile(rf"This protocol is restricted, expecting header '{_PREFIX}(.*)'")
# The characters that gRPC lets through in metadata.
_NAME = re.compile(r"[a-z0-9_.-]{1,200}")
_VALUE = re.compile(r"[!-~]{1,4000}")
# gRPC reads values under names with this ending as base64.
_BINARY = "-bin"
_MAX_BYTES = 5000


class KeyFileError(ValueError):
    """A file does not hold a key; the message is a clause that does not show the file's content."""


@dataclass(frozen=True)
class TritonKey:
    """A key, and the file that it comes from."""

    name: str
    value: str = field(repr=False)
    path: Path

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata that each gRPC call needs."""
        return ((f"{_PREFIX}{self.name}", self.value),)


def read_triton_key(path: Path) -> TritonKey:
    """Return the key in a file.

    Raises:
        OSError: the file cannot be read.
        KeyFileError: it is not one line NAME=VALUE.
    """
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES)
    try:
        text = content.decode("ascii").removesuffix("\n")
    except UnicodeDecodeError:
        raise KeyFileError("it holds more than ASCII") from None
    if not text:
        raise KeyFileError("it is empty")
    if "\n" in text:
        raise KeyFileError("it holds more than one line")
    name, sign, value = text.partition("=")
    if not sign:
        raise KeyFileError("there is no = in it")
    if not _NAME.fullmatch(name) or name.endswith(_BINARY):
        raise KeyFileError(
            "its NAME must have at most 200 lower-case letters, digits, hyphens, dots and underscores, and "
            f"not end with {_BINARY}"
        )
    if not _VALUE.fullmatch(value):
        raise KeyFileError(
            "its VALUE must have at most 4000 ASCII characters, without blanks and control characters"
        )
    return TritonKey(name, value, path)


def wanted_key(detail: str) -> str | None:
    """Return the name of the key that Triton asked for; None if it refused a call for another reason.

    Args:
        detail: Triton's own words.
    """
    refusal = _REFUSAL.search(detail)
    return None if refusal is None else refusal[1]
