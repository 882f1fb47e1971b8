"""The key of a Triton's restricted protocols (`--grpc-restricted-protocol=PROTOCOLS:NAME=VALUE`).

Its file holds one line, `NAME=VALUE`, as the flag has it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from export.errors import OptionError

_LINE = re.compile(r"([A-Za-z0-9_.-]+)=([!-~]+)")
_MAX_BYTES = 4096


@dataclass(frozen=True)
class TritonKey:
    """A key, and the file that it came from."""

    name: str
    value: str
    path: Path

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What has to go with each gRPC call."""
        return ((f"triton-grpc-protocol-{self.name.lower()}", self.value),)


def read_triton_key(path: Path) -> TritonKey:
    """Read a key's file.

    Raises:
        OptionError: when it cannot be read, or is not one line NAME=VALUE; the message does not show it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise OptionError(
            f"the key file {path} cannot be read ({error.strerror}): give the file with Triton's key "
            "(--triton-key-file)"
        ) from error
    found = _LINE.fullmatch(content.decode("ascii", "replace").strip())
    if found is None or len(content) > _MAX_BYTES:
        raise OptionError(
            f"the key file {path} ({len(content)} bytes) does not hold one line NAME=VALUE, as Triton's flag "
            "has it: --grpc-restricted-protocol=PROTOCOLS:NAME=VALUE"
        )
    return TritonKey(found[1], found[2], path)
