"""The blocks of code in the documentation, and which of them run here.

A block's first line says what it is: its language, and behind that words for the tests. A `sh` block without
a word is run, and a `text` block right behind it is what it prints. `python NAME` is saved under that name.
`python -m tests.docs.blocks` counts the blocks.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from tests.paths import ROOT

# Words behind `sh`: why a block is not run as it stands.
NOT_RUN = {
    "serves": "goes on until it is stopped: `make demo` is started, other flags are read by `settings`",
    "network": "downloads packages or weights",
    "docker": "needs a Docker Engine",
    "kubernetes": "needs a cluster",
    "gpu": "is about a GPU",
    "desktop": "needs a game's window, or a gamepad",
    "machine": "changes the machine, or needs other programs' accounts",
    "long": "takes minutes",
}
_BLOCK = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]+)\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """One block of a page; `output` is the text that follows a `sh` block, empty where none does."""

    page: Path
    line: int
    language: str
    words: tuple[str, ...]
    text: str
    output: str = ""

    @property
    def place(self) -> str:
        """PAGE:LINE, from the repository's folder."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def runs(self) -> bool:
        """Whether it is a command that is run as it stands."""
        return self.language == "sh" and not self.words


def pages() -> list[Path]:
    """Return every page that users read."""
    found = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "clients").rglob("*.md"),
    ]
    return sorted(page for page in found if "node_modules" not in page.parts)


def blocks(page: Path) -> Iterator[Block]:
    """Yield the page's blocks that say what they are."""
    text = page.read_text(encoding="utf-8")
    found = list(_BLOCK.finditer(text))
    for match, following in zip_longest(found, found[1:]):
        language, *words = match["info"].split()
        output = ""
        if following is not None and following["info"] == "text":
            between = text[match.end() : following.start()]
            output = following["text"] if language == "sh" and between.isspace() else ""
        line = text.count("\n", 0, match.start()) + 1
        yield Block(page, line, language, tuple(words), match["text"], output)


if __name__ == "__main__":
    every = [block for page in pages() for block in blocks(page) if block.language == "sh"]
    counts = Counter(block.words[0] if block.words else "run" for block in every)
    for word, count in counts.most_common():
        sys.stdout.write(f"{count:3} {word}: {NOT_RUN.get(word, 'by a test, as it stands')}\n")
