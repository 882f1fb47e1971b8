"""The file with the key for a Triton with restricted protocols, and what Triton's refusal means."""

import logging
from pathlib import Path

from contract.triton_key import KeyFileError, TritonKey, read_triton_key, wanted_key
from gateway.errors import StartError

logger = logging.getLogger(__name__)

_NEEDED = "one line NAME=VALUE is needed, the same as in Triton's --grpc-restricted-protocol"


def read_key(path: Path) -> TritonKey:
    """Return the key in the file of --triton-key-file.

    Raises:
        StartError: the file cannot be read, or holds no key; the message never shows its content.
    """
    try:
        return read_triton_key(path)
    except OSError as error:
        problem = f"it cannot be read ({error.strerror})"
    except KeyFileError as error:
        problem = str(error)
    raise StartError(f"--triton-key-file is {str(path)!r}, and {problem}: {_NEEDED}")


class KeyFile:
    """The file's key. When Triton refuses it, the file is read again, because it may have changed.

    Raises:
        StartError: as for `read_key`.
    """

    def __init__(self, path: Path) -> None:
        self.key = read_key(path)
        self._problem = ""

    def read_again(self) -> None:
        """Take the key that the file holds now; keep the old one if it cannot be used."""
        path = self.key.path
        try:
            found = read_key(path)
        except StartError as error:
            if str(error) != self._problem:
                logger.warning("%s", error)
            self._problem = str(error)
            return
        self._problem = ""
        if found != self.key:
            self.key = found
            logger.info("--triton-key-file %s has a new key, which is used from now on", path)


def refused_key(detail: str, key: TritonKey | None, *, is_shown: bool = True) -> str | None:
    """Return what to do about a call that Triton refused for its key; None if it had another reason.

    Args:
        detail: Triton's own words.
        key: the gateway's.
        is_shown: whether calls of this kind send it.
    """
    name = wanted_key(detail)
    if name is None:
        return None
    if not is_shown:
        return "it restricts inference, for which no key is sent: take that out of --grpc-restricted-protocol"
    if name != name.lower():
        return (
            f"it wants a key named {name!r}, but no client can send a name with capitals: give it a "
            "lower-case name in --grpc-restricted-protocol"
        )
    if key is None:
        return f"it wants a key named {name!r}, but there is none: name the file with it as --triton-key-file"
    if key.name != name:
        return f"it wants a key named {name!r}, but the one in --triton-key-file is named {key.name!r}"
    return f"the key {name!r} in --triton-key-file is not the one that it wants: put that into the file"
