"""Phrases to avoid, and where a text has them."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

# Sentences run over comment markers at the start of a line, and over the quotes between a string's pieces.
_MARKER = re.compile(r"^[ \t]*(?:#+|//+|--|\*|>)(?=[ \t])", re.MULTILINE)
_BREAK = re.compile(r"""(["'])[ \t]*[+\\]?[ \t]*\n[ \t]*[rfbu]{0,2}\1(?!["'])""")


# Characters of a text that are shown, from the phrase on.
_EXCERPT = 60


@dataclass(frozen=True)
class Phrase:
    """One kind of phrase: what finds it, what to say instead, and examples for the test.

    Attributes:
        pattern: a regular expression in which a space is any gap between two words; without
            capitals it matches them, too.
        use: what to say instead.
        finds: texts in which it must be found.
        passes: texts in which it must not be found.
        exempt: files that may have it, because they name what others say.
    """

    pattern: str
    use: str
    finds: tuple[str, ...]
    passes: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ()

    @property
    def expression(self) -> re.Pattern[str]:
        """Return the compiled pattern."""
        flags = re.NOFLAG if re.search("[A-Z]", re.sub(r"\\.", "", self.pattern)) else re.IGNORECASE
        return re.compile(self.pattern.replace(" ", "[ \n]"), flags | re.MULTILINE)


@dataclass(frozen=True)
class Phrases:
    """The whole list, and the paths that are not read."""

    phrase: tuple[Phrase, ...]
    skip: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """A phrase at a line of a file."""

    path: Path
    line: int
    text: str
    use: str

    def __str__(self) -> str:
        return f'{self.path}:{self.line}: "{self.text}": {self.use}'


def read_phrases(path: Path) -> Phrases:
    """Return the list that a TOML file holds."""
    return TypeAdapter(Phrases).validate_python(tomllib.loads(path.read_text()))


def findings_in(path: Path, phrases: Phrases) -> list[Finding]:
    """Return what is found in a file, in the order of its lines; nothing in a file that is not text."""
    try:
        text = running_text(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        return []
    found = [
        Finding(
            path,
            text.count("\n", 0, match.start()) + 1,
            " ".join(text[match.start() : match.start() + _EXCERPT].split()),
            phrase.use,
        )
        for phrase in phrases.phrase
        if path.as_posix() not in phrase.exempt
        for match in phrase.expression.finditer(text)
    ]
    return sorted(found, key=lambda finding: finding.line)


def running_text(text: str) -> str:
    """Return a text with the same lines, a single space between words, and no marks that break a sentence."""
    unmarked = _MARKER.sub("", text)
    joined = _BREAK.sub("\n", unmarked)
    return re.sub(r" *\n *", "\n", re.sub(r"[ \t]+", " ", joined))
