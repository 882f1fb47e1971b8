"""`python -m standalone.exporter LEVEL FORMAT WORDS...`: an export whose log is the standalone's.

Started by `published` only. LEVEL and FORMAT are those of the gateway's log, WORDS the arguments of
`nitrogen-export`. Its standard output is that command's, or when it fails, the sentence that says why.
"""

import signal
import sys

from command_line.output import print_every_text
from gateway.telemetry.logs import configure_logging


def main() -> int:
    """Run the export; its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the export begins, there is nothing to remove
    print_every_text()
    level, log_format, *words = sys.argv[1:]
    configure_logging(level, "json" if log_format == "json" else "human")
    # Only here, because it takes a while, and an interrupt meanwhile would print a traceback.
    from export.commands.ending import run_to_its_end  # noqa: PLC0415
    from export.commands.export import run  # noqa: PLC0415

    code, sentence = run_to_its_end(run, words)
    sys.stdout.write(sentence)
    return code


if __name__ == "__main__":
    sys.exit(main())
