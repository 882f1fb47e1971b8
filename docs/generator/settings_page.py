"""The page docs/reference/settings.md."""

import os
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from unittest.mock import patch

import nitrogen_play.commands

import export.__main__
import gateway.__main__
import standalone.__main__
from docs.generator.rows import Row, example_rows, gateway_rows, parser_of, parser_rows
from gateway.settings import ENV_PREFIX, GatewaySettings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "settings.md"

_BEGINNING = """\
# Settings

Every flag and environment variable. `make docs` writes this page from the programs' own help.

- A flag wins over its variable, a variable over the default. An empty variable counts as not set.
- A wrong value stops the program at its start, with a sentence that names it and says what it takes.
- A default that is not in brackets is in the text, or there is none.
"""

# The subcommands that read flags.
_EXPORT = ("list", "activate", "rollback")
_GATEWAY = ("check", "dataset", "keys", "render")
_PLAY = ("dataset", "replay", "score")

_OTHERS = {
    "HF_TOKEN, HF_TOKEN_PATH": "Token of the Hugging Face hub, or the file that holds it.",
    "HF_ENDPOINT": "Address of another hub, such as a mirror.",
    "HF_HUB_OFFLINE": "1: download nothing; take what is there.",
    "HF_HOME, HF_HUB_CACHE": "Hugging Face's cache, which is searched before anything is downloaded.",
    "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY": "The proxy for downloads, and the hosts that need none.",
    "SSL_CERT_FILE": "Certificate authorities for downloads, as a PEM file.",
    "CUDA_VISIBLE_DEVICES": "The GPUs that a program may see.",
    "NITROGEN_TRITONSERVER": "`nitrogen-serve`: another tritonserver binary than the wheel's.",
    "NITROGEN_CUDA_GRAPHS": "The graph engine in Triton: `auto`, or `off` for no CUDA graphs.",
}


def settings_page() -> str:
    """Return the page's text."""
    with patch.dict(os.environ, clear=True):  # a variable that is set here is not the default
        parts = [_BEGINNING, *_serve(), *_export(), *_gateway(), *_play(), *_compose(), *_others()]
    return "\n".join(parts)


def _serve() -> list[str]:
    return _program("nitrogen-serve", standalone.__main__.main)


def _export() -> list[str]:
    return _program("nitrogen-export", export.__main__.main, *_EXPORT)


def _gateway() -> list[str]:
    return [
        "## nitrogen-gateway\n",
        "`nitrogen-gateway settings` takes the same flags and says whether a gateway could start with them.\n"
        "`nitrogen-gateway ready [HOST:PORT]` has no flags; by default it asks the gateway of\n"
        "NITROGEN_HOST and NITROGEN_HTTP_PORT.\n",
        _list(gateway_rows()),
        *_commands("nitrogen-gateway", gateway.__main__.main, *_GATEWAY),
    ]


def _play() -> list[str]:
    return _program("nitrogen-play", nitrogen_play.commands.run, *_PLAY)


def _program(program: str, main: Callable[[list[str]], object], *commands: str) -> list[str]:
    """Return a program's own flags and those of its commands."""
    items = _list(parser_rows(parser_of(main, [])))
    return [f"## {program}\n", items, *_commands(program, main, *commands)]


def _commands(program: str, main: Callable[[list[str]], object], *commands: str) -> list[str]:
    parts = []
    for name in commands:
        parser = parser_of(main, [name])
        parts += [f"### {program} {name}\n", f"{_wrapped(parser.description)}\n", _list(parser_rows(parser))]
    return parts


def _wrapped(text: str | None, indent: str = "") -> str:
    return textwrap.fill(
        text or "", 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _compose() -> list[str]:
    flags = {f"{ENV_PREFIX}{field.upper()}" for field in GatewaySettings.model_fields}
    parts = [
        "## Docker Compose\n",
        "The variables of `.env`, in the order of `.env.example`. The gateway's variables are\n"
        "explained above; they are here only where the stack has more to say.\n",
    ]
    for title, rows in example_rows(ROOT / ".env.example"):
        heading, _, sentence = title.partition(". ")
        parts += [f"### {heading}\n", *([f"{sentence}.\n"] if sentence else [])]
        told = [row for row in rows if row.meaning]
        if silent := {row.name for row in rows} - {row.name for row in told} - flags:
            raise ValueError(f".env.example has no comment above {', '.join(sorted(silent))}")
        parts += [_list(told)] if told else []
    return parts


def _others() -> list[str]:
    return [
        "## Variables without a flag\n",
        _list(Row(names, "", "", "", text) for names, text in _OTHERS.items()),
    ]


def _list(rows: Iterable[Row]) -> str:
    return "".join(f"{_wrapped(_item(row), '  ')}\n" for row in rows)


def _item(row: Row) -> str:
    """Return a setting as an item: its name, variable and default, its meaning, the values that it takes."""
    names = ", ".join(f"`{name}`" for name in row.name.split(", "))
    facts = ", ".join(
        [
            *([f"`{row.variable}`"] if row.variable else []),
            *([f"default `{row.default}`"] if row.default else []),
        ]
    )
    head = f"- **{names}**" + (f" ({facts})" if facts else "")
    return f"{head}: {row.meaning}" + (f" Takes {row.takes}." if row.takes else "")
