"""docs/explanation/security.md: every test that it names is there."""

import re

from tests.paths import ROOT

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_each_test_that_the_table_names_exists() -> None:
    found = NAMED.findall((ROOT / "docs" / "explanation" / "security.md").read_text())
    assert len(found) > 50
    missing = [
        f"{file}::{name}"
        for file, name in found
        if not re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)
    ]
    assert missing == []


def test_each_row_of_the_table_names_a_test() -> None:
    table = (ROOT / "docs" / "explanation" / "security.md").read_text().partition("| attack | test |")[2]
    rows = [row for row in table.splitlines()[2:] if row and "**" not in row]
    assert len(rows) > 30
    assert [row for row in rows if not NAMED.search(row)] == []
