"""The settings of each program, one a row."""

import argparse
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

from export.flags import variable_of
from gateway.command_line import allowed, flag_of
from gateway.settings import ENV_PREFIX, GatewaySettings

# How the help text of a flag names its variable.
_VARIABLE = re.compile(r" \[(NITROGEN_\w+)\]")
_SECTION = re.compile(r"# --- (?P<title>.+?)\.? -+")
_EXAMPLE = re.compile(r"#(?P<name>[A-Z]\w*)=(?P<default>.*)")
# More choices than these are said in the meaning.
_MAX_CHOICES = 5


@dataclass(frozen=True)
class Row:
    """One setting.

    Attributes:
        name: the flag with the word for its value, the positional or the variable.
        variable: the variable that stands for it, if any.
        takes: its values, empty for a switch and where the name or the meaning says them.
        default: its default as it would be typed, empty without one.
        meaning: a phrase or sentences.
    """

    name: str
    variable: str
    takes: str
    default: str
    meaning: str


class _ParserFoundError(Exception):
    """Carries the parser that a program was about to use."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def parser_of(main: Callable[[list[str]], object], words: list[str]) -> argparse.ArgumentParser:
    """Return the parser that a program makes for its command line; the program gets no further."""

    def stop(parser: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        raise _ParserFoundError(parser)

    with patch.object(argparse.ArgumentParser, "parse_args", stop):
        try:
            main(words)
        except _ParserFoundError as found:
            return found.parser
    raise AssertionError(f"{main.__module__} parses no command line")


def parser_rows(parser: argparse.ArgumentParser) -> Iterator[Row]:
    """Yield the flags of a parser in its order, `-h` and `--version` left out."""
    for action in parser._actions:
        if isinstance(action, (argparse._HelpAction, argparse._VersionAction)):
            continue
        text = action.help or ""
        variable = match[1] if (match := _VARIABLE.search(text)) else ""
        assert not variable or variable == variable_of(action)  # noqa: S101 - both are said by export.flags
        yield Row(
            name=_name(action),
            variable=variable,
            takes="",
            default=_text(action.default),
            meaning=_meaning(action),
        )


def gateway_rows() -> Iterator[Row]:
    """Yield the gateway's settings in their order."""
    for field, info in GatewaySettings.model_fields.items():
        flag = flag_of(field)
        is_switch = info.annotation in (bool, bool | None)
        is_said = is_switch or "Path" in str(info.annotation)  # each description says file or folder
        takes = "" if is_said else re.sub(r",? (is|are) needed\b", "", allowed(field))
        yield Row(
            name=f"{flag}, --no-{flag[2:]}" if is_switch else flag,
            variable=f"{ENV_PREFIX}{field.upper()}",
            takes=takes,
            default=json.dumps(info.default) if isinstance(info.default, bool) else _text(info.default),
            meaning=" ".join((info.description or "").split()),
        )


def example_rows(example: Path) -> Iterator[tuple[str, list[Row]]]:
    """Yield the sections of `.env.example`, each with its title and its variables.

    A comment is about the variable that follows it.
    """
    title, rows, comment = "", list[Row](), list[str]()
    for line in example.read_text(encoding="utf-8").splitlines():
        if section := _SECTION.fullmatch(line):
            if rows:
                yield title, rows
            title, rows, comment = section["title"], [], []
        elif variable := _EXAMPLE.fullmatch(line):
            rows.append(Row(variable["name"], "", "", variable["default"], " ".join(comment)))
            comment = []
        else:
            comment = [*comment, line[2:]] if line.startswith("# ") else []
    yield title, rows


def _name(action: argparse.Action) -> str:
    """Return a flag as it is typed, with its choices or the word for its value."""
    if not action.option_strings:
        return str(action.metavar or action.dest)
    flags = ", ".join(action.option_strings)
    if action.nargs == 0:
        return flags
    choices = list(action.choices or ())
    if 0 < len(choices) <= _MAX_CHOICES:
        return f"{flags} {'|'.join(map(str, choices))}"
    return f"{flags} {action.metavar or action.dest.upper()}"


def _meaning(action: argparse.Action) -> str:
    """Return the help text without the variable and the default, which have places of their own."""
    default = _text(action.default)
    text = _VARIABLE.sub("", action.help or "").replace("%(default)s", default)
    return text.removesuffix(f" ({default})").removesuffix(f" ({default.removesuffix('.0')})")


def _text(default: Any) -> str:  # noqa: ANN401 - whatever a flag has
    """Return a default as it would be typed."""
    if default is None or default is argparse.SUPPRESS or isinstance(default, bool) or default == []:
        return ""
    return str(default)
