"""The command line `python -m gateway`, also installed as `nitrogen-gateway`.

Without a command it serves (`commands.serve`); `check`, `dataset`, `keys`, `ready`, `render` and `settings`
are small programs beside it.
"""

import importlib
import sys
from collections.abc import Sequence

from command_line.output import print_every_text
from command_line.packages import required_packages

# Imported only when asked for: none needs all libraries, and a health check must be cheap.
_COMMANDS = ("check", "dataset", "keys", "ready", "render", "settings")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, or the gateway until SIGINT or SIGTERM.

    Returns 0, 1 when the gateway cannot start or a command fails, 2 for a wrong setting.
    """
    print_every_text()
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words.pop(0) if words and words[0] in _COMMANDS else "serve"
    with required_packages("gateway"):
        command = importlib.import_module(f"gateway.commands.{name}")
    return int(command.main(words))


if __name__ == "__main__":
    sys.exit(main())
