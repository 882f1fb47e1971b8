"""docs/explanation/security.md: every test that it names is there."""

import re
from collections.abc import Iterator

from tests.paths import ROOT

PAGE = (ROOT / "docs" / "explanation" / "security.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(?:(?P<file>tests/[\w/]+\.py)|(?P<test>test_\w+))`")


def named(text: str) -> Iterator[tuple[str, str]]:
    """Yield each test that a text names, with the file before it."""
    file = ""
    for match in NAMED.finditer(text):
        file = match["file"] or file
        if match["test"]:
            yield file, match["test"]


def test_each_test_that_the_page_names_exists() -> None:
    found = list(named(PAGE))
    assert len(found) > 120
    assert ".py::" not in PAGE  # a test that is written so would not be found
    missing = [
        f"{file}::{name}"
        for file, name in found
        if not re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)
    ]
    assert missing == []


def test_each_attack_of_the_list_names_a_test_in_each_file() -> None:
    attacks = re.split(r"^- ", PAGE.partition("\n### In pickles\n")[2], flags=re.MULTILINE)[1:]
    assert len(attacks) > 80
    for attack in attacks:
        _, *files = attack.split("\n  - ")
        assert files, attack
        assert [file for file in files if not file.startswith("`tests/") or not list(named(file))] == []
