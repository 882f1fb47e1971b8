"""Flags of the command lines of export and of the standalone, and the variables that stand for them.

Every flag that is passed to `taken_from_environment` can be given as a `NITROGEN_*` variable instead: a flag
wins over its variable, a variable over the default, and an empty variable counts as not set. Free of torch.
"""

import argparse
import math
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from command_line.paths import PathError, local_path, repository_path
from contract.endpoint import parse_endpoints
from export.errors import OptionError

PREFIX = "NITROGEN_"
MAX_INSTANCES = 16  # each has the whole model in memory
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_OWN_NAMES = {"--name": f"{PREFIX}MODEL"}  # as the gateway calls it


@dataclass(frozen=True)
class _Variable:
    """A variable's text as a flag's default, parsed only if the flag is not given."""

    name: str
    text: str
    flag: argparse.Action

    def __str__(self) -> str:
        return self.text

    def value(self) -> Any:  # noqa: ANN401 - whatever the flag's type makes of it
        try:
            value = self.flag.type(self.text) if callable(self.flag.type) else self.text
        except PathError as error:
            raise OptionError(f"{self.name}: {error}") from error
        except (ValueError, argparse.ArgumentTypeError):
            value = None
        choices = self.flag.choices
        if value is None or (choices is not None and value not in choices):
            allowed = (
                f"one of {', '.join(map(str, choices))}"
                if choices is not None
                else _ALLOWED.get(self.flag.type, "another value")
            )
            raise OptionError(f"{self.name} is {self.text[:200]!r}, but {allowed} is needed")
        return value


@dataclass(frozen=True)
class Given:
    """A parsed command line.

    Attributes:
        values: by name.
        variables: those that stood in for flags, with their texts.
    """

    values: dict[str, Any]
    variables: dict[str, str]

    def __str__(self) -> str:
        return ", ".join(f"{name}={text}" for name, text in self.variables.items())


def taken_from_environment(
    flags: Iterable[argparse.Action], environment: Mapping[str, str] = os.environ
) -> None:
    """Let flags, and optional positionals, default to their variable's value."""
    for flag in flags:
        name = variable_of(flag)
        flag.help = f"{flag.help} [{name}]"
        if text := environment.get(name):
            flag.default = _Variable(name, text, flag)


def variable_of(flag: argparse.Action) -> str:
    """Return the name of a flag's variable: NITROGEN_MAX_BATCH_SIZE for --max-batch-size."""
    word = flag.option_strings[-1] if flag.option_strings else flag.dest
    return _OWN_NAMES.get(word, PREFIX + word.lstrip("-").replace("-", "_").upper())


def parse(parser: argparse.ArgumentParser, words: list[str] | None) -> Given:
    """Parse a command line with the variables of its flags.

    Raises:
        OptionError: when a variable has a wrong value; it names the variable and the allowed values.
        SystemExit: as argparse, for a wrong flag or `-h`.
    """
    values = vars(parser.parse_args(words))
    variables = {value.name: value.text for value in values.values() if isinstance(value, _Variable)}
    return Given(
        {name: value.value() if isinstance(value, _Variable) else value for name, value in values.items()},
        variables,
    )


def words_of(flags: Iterable[argparse.Action], values: Mapping[str, Any]) -> list[str]:
    """Return the flags that have a value as words for another program's command line."""
    return [
        f"{flag.option_strings[0]}={values[flag.dest]}" for flag in flags if values.get(flag.dest) is not None
    ]


def add_models_dir(parser: argparse.ArgumentParser) -> argparse.Action:
    """Add `--models-dir`."""
    return parser.add_argument(
        "--models-dir",
        metavar="DIR",
        type=model_path,
        default=Path("models"),
        help="where downloads are kept",
    )


def add_triton_key_file(parser: argparse.ArgumentParser) -> argparse.Action:
    """Add `--triton-key-file`."""
    return parser.add_argument(
        "--triton-key-file",
        metavar="FILE",
        type=local_path,
        help="file with Triton's restricted-protocol key",
    )


def opened_by_torch(path: Path) -> Path:
    """Return a path that C++ libraries, which take UTF-8, open as Python does.

    Raises:
        PathError: when those libraries would open another file, or none.
    """
    if os.fsencode(path) == str(path).encode("utf-8", "replace"):
        return path
    encoding = sys.getfilesystemencoding()
    todo = "rename it" if encoding == "utf-8" else f"file names are {encoding} here; set PYTHONUTF8=1"
    raise PathError(f"{str(path)!r} is not UTF-8, and PyTorch cannot open it: {todo}")


def model_path(text: str) -> Path:
    """Return a path that PyTorch reads or writes, as an argument's type.

    Raises:
        PathError: when it is not of this machine, or not UTF-8.
    """
    return opened_by_torch(local_path(text))


def add_repository(parser: argparse.ArgumentParser, default: Path | None = None) -> None:
    """Add `--repository`, which is required unless it has a default."""
    parser.add_argument(
        "--repository",
        metavar="DIR",
        type=lambda text: opened_by_torch(repository_path(text)),
        default=default,
        required=default is None,
        help="Triton's model repository",
    )


def checkpoint_name(text: str) -> str:
    """Return a checkpoint as `find_checkpoint` takes it, as an argument's type.

    Raises:
        PathError: when it is a path that is not of this machine.
    """
    if text.startswith(("http://", "https://")):
        return text  # `find_checkpoint` refuses it
    path = local_path(text)
    return text if opened_by_torch(path) == Path(text) else str(path)  # "./demo" is not the word "demo"


def positive(text: str) -> int:
    """Return a whole number above 0, as an argument's type.

    Raises:
        argparse.ArgumentTypeError: when it is not one.
    """
    number = whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return number


def whole(text: str) -> int:
    """Return a whole number, 0 or more, as an argument's type.

    Raises:
        argparse.ArgumentTypeError: when it is not one.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number below 1,000,000,000")
    return int(text)


def triton_instances(text: str) -> int:
    """Return how many instances of a model Triton is to run on a device, as an argument's type.

    Raises:
        argparse.ArgumentTypeError: when it is not a number in this range.
    """
    number = positive(text)
    if number > MAX_INSTANCES:
        raise argparse.ArgumentTypeError(f"{text} is more than {MAX_INSTANCES}, the most instances")
    return number


def finite(text: str) -> float:
    """Return a finite number, as an argument's type.

    Raises:
        argparse.ArgumentTypeError: when it is not one.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number")
    return value


def is_model_name(text: str) -> bool:
    """Return whether a text can name a model's folder."""
    return _MODEL_NAME.fullmatch(text) is not None


def model_name(text: str) -> str:
    """Return a model's name, as an argument's type.

    Raises:
        argparse.ArgumentTypeError: when it is not one.
    """
    if not is_model_name(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a model name: {_ALLOWED[model_name]} is needed")
    return text


def endpoint(text: str) -> str | None:
    """Return Triton's address, or None for the word "none", as an argument's type.

    Raises:
        argparse.ArgumentTypeError: when it is neither.
    """
    if text == "none":
        return None
    try:
        parse_endpoints(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:8001") from None
    return text


_ALLOWED: dict[Any, str] = {
    positive: "a whole number above 0",
    whole: "a whole number, 0 or more,",
    triton_instances: f"a whole number from 1 to {MAX_INSTANCES}",
    finite: "a finite number",
    model_name: "a name of letters, digits, '.', '_' and '-'",
}
