"""The flags of `activate` and `rollback` about the Triton that is to serve another version."""

import argparse
import sys
from pathlib import Path

from contract.triton_key import KeyFileError, TritonKey, read_triton_key
from export.errors import OptionError
from export.flags import add_repository, add_triton_key_file, endpoint, taken_from_environment

DEFAULT_TRITON = "127.0.0.1:8001"


def serving_parser(command: str, description: str) -> argparse.ArgumentParser:
    """Return a command's parser: the model's name, its repository, Triton's address and key."""
    parser = argparse.ArgumentParser(prog=f"nitrogen-export {command}", description=description)
    parser.add_argument("name", metavar="NAME", help="name of the Triton model")
    add_repository(parser)
    parser.add_argument(
        "--triton",
        metavar="HOST:PORT",
        type=endpoint,
        default=DEFAULT_TRITON,
        help="Triton's gRPC address, or all of them if HOST has several; none: change only what Triton loads "
        f"at its next start ({DEFAULT_TRITON})",
    )
    taken_from_environment([add_triton_key_file(parser)])
    return parser


def key_of(path: Path | None) -> TritonKey | None:
    """Return the key in a file, if there is one.

    Raises:
        OptionError: when it cannot be read, or holds no key; the message does not show its content.
    """
    try:
        return None if path is None else read_triton_key(path)
    except OSError as error:
        raise OptionError(
            f"the key file {path} cannot be read ({error.strerror}): give the file with Triton's key "
            "(--triton-key-file)"
        ) from error
    except KeyFileError as error:
        raise OptionError(
            f"the key file {path} does not hold one line NAME=VALUE, as in Triton's flag "
            f"(--grpc-restricted-protocol=PROTOCOLS:NAME=VALUE): {error}"
        ) from error


def tell_served(name: str, number: int, triton: str | None) -> None:
    """Say on stdout which version is served now."""
    where = "the next start of Triton loads" if triton is None else f"Triton at {triton} serves"
    sys.stdout.write(f"{where} {name}, version {number}\n")
