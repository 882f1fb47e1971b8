"""`nitrogen-gateway settings [FLAGS]`: whether a gateway could start with these flags and variables.

It reads the files that they name, but opens no port and writes nothing.
"""

import sys
from collections.abc import Sequence

from gateway.command_line import parse_settings
from gateway.errors import StartError
from gateway.server import Gateway


def main(words: Sequence[str]) -> int:
    """Return 0 if they are right, else 2 after one sentence on stderr."""
    try:
        settings = parse_settings(words)
        # Only the recorder would write.
        Gateway(settings.model_copy(update={"record": None}))
    except StartError as error:
        sys.stderr.write(f"nitrogen-gateway: {error}\n")
        return 2
    return 0
