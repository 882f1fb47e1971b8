"""The gateway's command line, read into settings; a mistake in it becomes one sentence."""

import os
import re
import resource
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic_settings import CliApp, SettingsError

from command_line.paths import PathError
from gateway.errors import StartError
from gateway.ports.all_ports import PORTS
from gateway.settings import ENV_PREFIX, ExistingFile, GatewaySettings, Needs, Takes

_Marker = TypeVar("_Marker")


def allow_many_connections() -> None:
    """Raise this process's limit of open files: the usual one is below `--max-clients`."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def parse_settings(arguments: Sequence[str]) -> GatewaySettings:
    """Return the settings of a command line (without the program's name) and the environment.

    Raises:
        StartError: one sentence that names the flag or variable, its value and what is allowed.
        SystemExit: after printing the help that `-h` asks for.
    """
    for word in arguments:
        if word == "" or (word.startswith("--") and word.endswith("=")):
            raise StartError(f"{word or 'an argument'} is empty: give a value, or leave the flag out")
    try:
        settings = CliApp.run(GatewaySettings, cli_args=list(arguments))
    except ValidationError as error:
        raise StartError(_sentence(error.errors()[0], arguments)) from None
    except SettingsError as error:
        problem = re.sub(r"^error parsing CLI: ", "", str(error))
        raise StartError(f"{problem} (see -h for the flags)") from None
    _require_companions(settings)
    return settings


def _require_companions(settings: GatewaySettings) -> None:
    """Raise StartError if a setting lacks another that it needs, or a file does not exist."""
    for field, needs in _marked(Needs):
        if getattr(settings, field) and not getattr(settings, needs.field):
            raise StartError(
                f"{flag_of(field)} has no effect without {flag_of(needs.field)}: give both, or neither"
            )
    if all(port.number(settings) is None for port in PORTS):
        *others, last = (port.flag for port in PORTS)
        all_of = "both" if len(PORTS) == 2 else "all"
        raise StartError(
            f"{', '.join(others)} and {last} are {all_of} off, so nobody could play: leave one of them on"
        )
    for field, _ in _marked(ExistingFile):
        path = getattr(settings, field)
        if path is not None and not path.is_file():
            raise StartError(f"{flag_of(field)} is {str(path)!r}, but that file does not exist")


def _marked(kind: type[_Marker]) -> Iterator[tuple[str, _Marker]]:
    """Yield the settings that have a marker of one kind, with the marker."""
    for field, info in GatewaySettings.model_fields.items():
        for marker in info.metadata:
            if isinstance(marker, kind):
                yield field, marker


def flag_of(field: str) -> str:
    """Return a setting's flag."""
    return f"--{field.replace('_', '-')}"


def _sentence(problem: Any, arguments: Sequence[str]) -> str:  # noqa: ANN401 - pydantic's own error record
    """Return a sentence for one of pydantic's errors: where the value came from, and what is allowed."""
    field = str(problem["loc"][0])
    flag = flag_of(field)
    variable = f"{ENV_PREFIX}{field.upper()}"
    from_flag = any(word == flag or word.startswith(f"{flag}=") for word in arguments)
    named = variable if not from_flag and _in_environment(variable) else flag
    if isinstance(error := problem.get("ctx", {}).get("error"), PathError):
        return f"{named}: {error}"
    return f"{named} is {str(problem['input'])[:100]!r}, but {allowed(field)}"


def _in_environment(variable: str) -> bool:
    return any(name.upper() == variable for name in os.environ)


def allowed(field: str) -> str:
    """Return what a field takes, in words; by default from its type's limits."""
    info = GatewaySettings.model_fields[field]
    if field in (told := dict(_marked(Takes))):
        return told[field].words
    if info.annotation in (bool, bool | None):
        return "true or false is needed"
    if get_origin(info.annotation) is Literal:
        return f"one of {', '.join(get_args(info.annotation))} is needed"
    if info.annotation is str or info.annotation == str | None:
        return "a name without blanks and slashes is needed"
    limits = {
        name: getattr(part, name)
        for part in info.metadata
        for name in ("ge", "gt", "le")
        if hasattr(part, name)
    }
    kind = "a whole number" if info.annotation is int else "a number"
    low = f"from {limits['ge']}" if "ge" in limits else f"above {limits['gt']}"
    return f"{kind} {low} up to {limits['le']} is needed"
