"""The key that a Triton with restricted protocols asks for, from a file that holds it as Triton's flag does.

Triton is started with `--grpc-restricted-protocol=PROTOCOLS:NAME=VALUE`, and then answers calls of these
protocols only when their metadata hold `triton-grpc-protocol-NAME: VALUE`.
"""

import logging
import re
from pathlib import Path

from gateway.errors import StartError
from gateway.triton.tracing import Metadata

logger = logging.getLogger(__name__)

_PREFIX = "triton-grpc-protocol-"
# How Triton refuses a call without the right key, with the status UNAVAILABLE.
_REFUSAL = re.compile(rf"This protocol is restricted, expecting header '{_PREFIX}(.*)'")
_NEEDED = "one line NAME=VALUE is needed, the same as in Triton's --grpc-restricted-protocol"
# What gRPC lets through in metadata, whose names are lower-case.
_NAME = re.compile(r"[a-z0-9_.-]{1,200}")
_VALUE = re.compile(r"[!-~]{1,4000}")
# What ends so is base64 to gRPC.
_BINARY = "-bin"
_MOST_BYTES = 5000


class TritonKey:
    """The key in a file. The file is read again when Triton refuses the key, for it may have been changed.

    Raises:
        StartError: the file cannot be read, or holds no key; the message never shows what is in it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name, self._value = self._read()
        self._problem = ""

    @property
    def metadata(self) -> Metadata:
        """The metadata of a call that shows the key."""
        return ((f"{_PREFIX}{self.name}", self._value),)

    def read_again(self) -> None:
        """Take the key that the file holds by now; what cannot be used leaves the old one."""
        try:
            found = self._read()
        except StartError as error:
            if str(error) != self._problem:
                logger.warning("%s", error)
            self._problem = str(error)
            return
        self._problem = ""
        if found != (self.name, self._value):
            self.name, self._value = found
            logger.info("--triton-key-file %s holds another key by now: it is used from now on", self._path)

    def _read(self) -> tuple[str, str]:
        try:
            with self._path.open("rb") as file:
                content = file.read(_MOST_BYTES)
        except OSError as error:
            raise self._unusable(f"it cannot be read ({error.strerror})") from None
        try:
            text = content.decode("ascii").removesuffix("\n")
        except UnicodeDecodeError:
            raise self._unusable("it holds more than ASCII") from None
        if not text:
            raise self._unusable("it is empty")
        if "\n" in text:
            raise self._unusable("it holds more than one line")
        name, sign, value = text.partition("=")
        if not sign:
            raise self._unusable("there is no = in it")
        if not _NAME.fullmatch(name) or name.endswith(_BINARY):
            raise self._unusable(
                "its NAME is not made of up to 200 lower-case letters, digits, hyphens, dots and "
                f"underscores, without {_BINARY} at its end"
            )
        if not _VALUE.fullmatch(value):
            raise self._unusable(
                "its VALUE is not made of up to 4000 ASCII characters without blanks and control characters"
            )
        return name, value

    def _unusable(self, problem: str) -> StartError:
        return StartError(f"--triton-key-file is {str(self._path)!r}, and {problem}: {_NEEDED}")


def refused_key(detail: str, key: TritonKey | None, *, is_shown: bool = True) -> str | None:
    """Return what to do about a call that Triton refused for its key; None when that was not the cause.

    `detail`: Triton's own words. `key`: what there is to show. `is_shown`: whether such calls show it.
    """
    refusal = _REFUSAL.search(detail)
    if refusal is None:
        return None
    name = refusal[1]
    if not is_shown:
        return "it restricts inference, for which no key is sent: take that out of --grpc-restricted-protocol"
    if key is None:
        return f"it wants a key named {name!r}, and there is none: name the file with it as --triton-key-file"
    if key.name != name:
        return f"it wants a key named {name!r}, and the one in --triton-key-file is named {key.name!r}"
    return f"the key {name!r} in --triton-key-file is not the one that it wants: put that into the file"
