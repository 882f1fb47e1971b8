"""The command line `python -m export`, also installed as `nitrogen-export`.

`nitrogen-export [CHECKPOINT] --repository DIR` publishes (`commands.export`); `list`, `activate` and
`rollback` manage the published versions.
"""

import importlib
import logging
import sys

from command_line.output import print_every_text
from command_line.packages import required_packages
from export.commands.ending import run_to_its_end

_COMMANDS = ("list", "activate", "rollback")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code is 0, or 1 after one sentence on stderr."""
    print_every_text()
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words.pop(0) if words and words[0] in _COMMANDS else "export"
    with required_packages("export"):
        command = importlib.import_module(f"export.commands.{name}")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    code, sentence = run_to_its_end(command.run, words)
    if sentence:
        sys.stderr.write(f"nitrogen-export: {sentence}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
