"""docs/README.md: every page is in the index."""

import re

from tests.paths import ROOT

DOCS = ROOT / "docs"


def test_every_page_is_in_the_index() -> None:
    index = DOCS / "README.md"
    linked = re.findall(r"\]\(([\w/-]+\.md)\)", index.read_text(encoding="utf-8"))
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if page != index}
    assert sorted(linked) == sorted(pages)
