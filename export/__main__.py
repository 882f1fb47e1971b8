"""The command line `python -m export`, also installed as `nitrogen-export`.

`nitrogen-export [CHECKPOINT] --repository DIR` publishes; `list`, `activate` and `rollback` look after what
is published.
"""

import argparse
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from command_line.output import print_every_text
from command_line.packages import required_packages
from command_line.paths import local_path

with required_packages("export"):
    from export.commands.export import run_export
    from export.errors import ExportError
    from export.flags import add_repository, endpoint, parse, positive, taken_from_environment
    from export.repository.listing import describe_versions
    from export.repository.live import activate, rollback
    from export.repository.triton_key import TritonKey, read_triton_key
    from export.writable import unreadable

DEFAULT_TRITON = "127.0.0.1:8001"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code is 0, or 1 after one sentence on stderr."""
    print_every_text()
    words = sys.argv[1:] if arguments is None else arguments
    run, words = (_COMMANDS[words[0]], words[1:]) if words and words[0] in _COMMANDS else (run_export, words)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        run(words)
    except ExportError as error:
        sys.stderr.write(f"nitrogen-export: {error}\n")
        return 1
    except PermissionError as error:
        sys.stderr.write(f"nitrogen-export: {unreadable(error, 'a file')}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("nitrogen-export: interrupted\n")
        return 130
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt once: what then removes the unfinished version must not be interrupted.

    Under `nitrogen-serve` a Ctrl-C arrives twice: from the terminal and from the parent process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _list(words: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="nitrogen-export list", description="Show the models and versions of a repository."
    )
    add_repository(parser)
    parser.add_argument("--json", action="store_true", help="all facts, for other programs")
    options = parser.parse_args(words)
    sys.stdout.write(describe_versions(options.repository, as_json=options.json))


def _activate(words: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="nitrogen-export activate",
        description="Make a running Triton serve a published version; requests in flight are not lost.",
    )
    parser.add_argument("name", metavar="NAME", help="name of the Triton model")
    parser.add_argument("version", metavar="VERSION", type=positive)
    add_repository(parser)
    _add_triton(parser)
    values = parse(parser, words).values
    name, number, triton = values["name"], values["version"], values["triton"]
    activate(values["repository"], name, number, triton, key=_key(values["triton_key_file"]))
    _say_served(name, number, triton)


def _rollback(words: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="nitrogen-export rollback",
        description="Serve the version that was served before.",
    )
    parser.add_argument("name", metavar="NAME", help="name of the Triton model")
    add_repository(parser)
    _add_triton(parser)
    values = parse(parser, words).values
    name, triton = values["name"], values["triton"]
    number = rollback(values["repository"], name, triton, key=_key(values["triton_key_file"]))
    _say_served(name, number, triton)


_COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "list": _list,
    "activate": _activate,
    "rollback": _rollback,
}


def _say_served(name: str, number: int, triton: str | None) -> None:
    where = "the next start of Triton loads" if triton is None else f"Triton at {triton} serves"
    sys.stdout.write(f"{where} {name}, version {number}\n")


def _key(path: Path | None) -> TritonKey | None:
    return None if path is None else read_triton_key(path)


def _add_triton(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--triton",
        metavar="HOST:PORT",
        type=endpoint,
        default=DEFAULT_TRITON,
        help="Triton's gRPC address; all Tritons of a name with several addresses; none: change only what "
        f"the next start loads ({DEFAULT_TRITON})",
    )
    key_file = parser.add_argument(
        "--triton-key-file", metavar="FILE", type=local_path, help="key of Triton's restricted protocols"
    )
    taken_from_environment([key_file])


if __name__ == "__main__":
    sys.exit(main())
