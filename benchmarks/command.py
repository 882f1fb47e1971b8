"""The common parts of the measurements' command lines: options, cores, signals, errors as one sentence."""

import argparse
import os
import signal
import statistics
import sys
from collections.abc import Callable, Sequence

from benchmarks.gateway.ways import LoadError
from standalone.errors import StandaloneError


def run_command(command: Callable[[], int]) -> None:
    """Exit with the command's result, or with a sentence on what went wrong."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        sys.exit(command())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except (LoadError, StandaloneError) as error:
        sys.exit(str(error))


def measurement_options(
    description: str | None, *, seconds: float | None = None, rounds: int | None = None
) -> argparse.ArgumentParser:
    """Return a parser of the options that measurements share; `None`: without that one."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if seconds is not None:
        parser.add_argument("--seconds", type=float, default=seconds, help="length of one measurement")
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds, help="measurements of each kind")
    parser.add_argument("--cores", type=int, default=2, help="cores for everything together")
    return parser


def use_cores(count: int) -> int:
    """Limit this process, and all that it starts, to `count` cores; return how many it has then."""
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[:count])
    return len(os.sched_getaffinity(0))


def progress(words: str) -> None:
    """Say on stderr what is being measured."""
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


def spread(values: Sequence[float]) -> float:
    """Return the distance from the least to the greatest value, relative to their median."""
    return (max(values) - min(values)) / statistics.median(values)
