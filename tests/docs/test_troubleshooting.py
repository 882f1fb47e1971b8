"""The troubleshooting page quotes messages that the programs really have."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.paths import ROOT

PAGE = ROOT / "docs" / "how-to" / "troubleshooting.md"
PROGRAMS = ("clients", "command_line", "contract", "deploy", "export", "gateway", "standalone")
# In bold, within quotes; over the ends of lines, too.
QUOTED = re.findall(r'\*\*"([^*]+?)"\*\*', re.sub(r"\s+", " ", PAGE.read_text(encoding="utf-8")))


def _texts() -> Iterator[str]:
    """Yield every text in the programs' code; `...` stands for a value that a text takes in."""
    for folder in PROGRAMS:
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                match node:
                    case ast.Constant(value=str() as text):
                        yield re.sub(r"%(?:[.\d]*[a-z]|\(\w+\)s)", "...", text)
                    case ast.JoinedStr(values=parts):
                        yield "".join(
                            part.value
                            if isinstance(part, ast.Constant) and isinstance(part.value, str)
                            else "..."
                            for part in parts
                        )


TEXTS = "\n".join(text.replace("\n", " ") for text in _texts())


def test_the_page_quotes_messages() -> None:
    assert len(QUOTED) > 30


@pytest.mark.parametrize("message", QUOTED)
def test_a_quoted_message_stands_in_the_code(message: str) -> None:
    parts = [re.escape(part.strip()) for part in message.split("...") if part.strip()]
    assert re.search(".*".join(parts), TEXTS), message
