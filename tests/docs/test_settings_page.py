"""docs/reference/settings.md says what the programs say, and leaves out no variable."""

import re
import subprocess
from pathlib import Path

import pytest

from docs.generator.rows import example_rows
from docs.generator.settings_page import PAGE, ROOT, settings_page

_FOLDERS = (
    "clients",
    "command_line",
    "contract",
    "deploy/compose",
    "export",
    "gateway",
    "standalone",
    "*compose*.yml",
)
# Within the containers, or of the libraries alone.
_INTERNAL = {"HF_HUB_DISABLE_TELEMETRY", "HF_TOKEN_VARIABLE"}


def test_the_page_is_what_the_programs_say() -> None:
    assert PAGE.read_text() == settings_page(), "run make docs"


def test_a_variable_that_is_set_here_is_not_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NITROGEN_STEPS", "7")
    assert PAGE.read_text() == settings_page()


def test_every_variable_in_the_code_is_on_the_page() -> None:
    command = ["git", "grep", "-ohE", r"\b(NITROGEN|HF)_[A-Z_]*[A-Z]\b", "--", *_FOLDERS]
    named = set(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split())
    on_page = set(re.findall(r"\b(?:NITROGEN|HF)_\w+\b", PAGE.read_text()))
    assert len(named) > 50
    assert named - _INTERNAL <= on_page


def test_a_comment_is_about_the_variable_below_it(tmp_path: Path) -> None:
    example = tmp_path / "example"
    example.write_text(
        "# About the file.\n\n# --- One -----\n\n# About A,\n# over two lines.\n#A=1\n#B=\n\n"
        "# --- Two -----\n#C=x y\n"
    )
    sections = {
        title: [(row.name, row.default, row.meaning) for row in rows] for title, rows in example_rows(example)
    }
    assert sections == {
        "One": [("A", "1", "About A, over two lines."), ("B", "", "")],
        "Two": [("C", "x y", "")],
    }
