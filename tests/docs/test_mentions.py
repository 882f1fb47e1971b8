"""Code, configuration and messages name pages that exist."""

import re
import subprocess

from tests.paths import ROOT

PAGE = re.compile(r"\bdocs/(?:[\w-]+/)*[\w-]+\.md\b")


def test_every_page_that_is_named_exists() -> None:
    files = subprocess.run(
        ["git", "grep", "--name-only", "--untracked", "-I", r"docs/[a-z/-]*\.md", "--"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert len(files) > 30
    missing = {
        f"{file}: {name}"
        for file in files
        for name in PAGE.findall((ROOT / file).read_text(encoding="utf-8"))
        if not (ROOT / name).exists()
    }
    assert missing == set()
