"""Each command that the documentation shows and that can run here does, and prints what the page says."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.blocks import NOT_RUN, Block, blocks, pages
from tests.docs.own_network import own_network
from tests.paths import ROOT
from tests.patience import WITHIN_S

pytestmark = pytest.mark.slow

BLOCKS = {page: list(blocks(page)) for page in pages()}
COMMANDS = [block for found in BLOCKS.values() for block in found if block.language == "sh"]
PAGES = [
    page
    for page, found in BLOCKS.items()
    if any(block.language == "sh" and (block.runs or block.words == ("serves",)) for block in found)
]
# The pages' names of things, and what they are here.
NAMES = {
    "SERVER": "127.0.0.1",
    "HOST": "127.0.0.1",
    "GATEWAY": "127.0.0.1",
    "192.168.1.20": "127.0.0.1",
    "DIR": "recordings",
    "/etc/nitrogen": ".",
}
FOLDERS = {"export.md": {"DIR": "var/model_repository"}, "recordings.md": {"DIR": "one"}}


@dataclass(frozen=True)
class Place:
    """A folder that looks like a clone, a network, and the demo that runs in both."""

    folder: Path
    inside: list[str]
    demo: list[str]

    def run(self, command: str) -> str:
        """Run a command of a page as a shell does; return what it prints.

        Raises:
            AssertionError: it fails.
        """
        done = subprocess.run(
            [*self.inside, "bash", "-euc", command],
            cwd=self.folder,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout


def _environment() -> dict[str, str]:
    """Return the environment in which a venv is active."""
    return {**os.environ, "PATH": f"{Path(sys.prefix, 'bin')}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}


@contextmanager
def _demo(inside: list[str], folder: Path) -> Iterator[list[str]]:
    """Run `make demo` in the folder; yield what it has printed until it was ready."""
    # Whatever the stamp of the installation says: what it stands for is there.
    without_installing = [f"--makefile={ROOT / 'Makefile'}", "--old-file=.venv/.standalone"]
    process = subprocess.Popen(
        [*inside, "make", *without_installing, "demo"],
        cwd=folder,
        env={**_environment(), "NITROGEN_RECORD": str(folder / "recordings")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    lines: list[str] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if line.startswith("ready:"):
                break
        assert lines[-1].startswith("ready:"), "".join(lines)
        yield lines
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=WITHIN_S)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("clone")
    for entry in ROOT.iterdir():
        if entry.name not in (".git", ".venv", "out", "var"):
            (folder / entry.name).symlink_to(entry)
    (folder / ".venv").symlink_to(sys.prefix)
    with own_network(sys.executable) as inside, _demo(inside, folder) as demo:
        place = Place(folder, inside, demo)
        # The recordings' page makes a film of this one.
        while not list(folder.glob("recordings/*_tcp_*.tar")):
            place.run("python clients/examples/predict.py tests/data/frames/airstriker-1.png")
        shutil.copytree(folder / "recordings", folder / "one")
        yield place


def _here(block: Block) -> str:
    """Return a block's text with the names of this test's folders and addresses."""
    text = block.text
    for name, value in (NAMES | FOLDERS.get(block.page.name, {})).items():
        text = re.sub(rf"(?<![A-Za-z0-9-]){re.escape(name)}(?![\w-])", value, text)
    return text


def _lines(text: str) -> list[str]:
    """Return a text's lines, whose numbers and gaps may be others."""
    return [re.sub(r"\s+", " ", re.sub(r"-?\d[\d.,]*", "0", line)).strip() for line in text.splitlines()]


def _assert_shown(shown: str, printed: str) -> None:
    """Compare a page with what was printed: the page may leave lines out, and break long ones."""
    pattern = r"(?:$.*?^| )".join(map(re.escape, _lines(shown)))
    found = re.search(rf"^{pattern}$", "\n".join(_lines(printed)), re.MULTILINE | re.DOTALL)
    assert found, f"the page shows\n{shown}\nprinted was\n{printed}"


def _assert_serves(place: Place, block: Block) -> None:
    """Check that the demo has started, or that a gateway could start with these flags."""
    if block.text.startswith("make demo"):
        assert any(line.startswith("play page: ") for line in place.demo)
        return
    for line in _here(block).splitlines():
        assert line.startswith("nitrogen-gateway --"), line
        place.run(line.replace("nitrogen-gateway", "nitrogen-gateway settings"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_pages_commands_do_what_it_says(place: Place, page: Path) -> None:
    for block in BLOCKS[page]:
        if block.language == "python" and block.words:
            (place.folder / block.words[0]).write_text(block.text)
        elif block.runs:
            printed = place.run(_here(block))
            if block.output:
                _assert_shown(block.output, printed)
        elif block.words == ("serves",):
            _assert_serves(place, block)


def test_the_demo_prints_what_the_tutorial_says(place: Place) -> None:
    text = (ROOT / "docs" / "tutorial" / "first-game.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```text\n(\*\*\* DEMO.*?)```", text, re.DOTALL)
    _assert_shown(shown, "".join(place.demo))


def test_no_command_that_is_run_changes_the_machine() -> None:
    changing = re.compile(r"\b(?:pip install|sudo|docker|kubectl|make (?!demo))")
    assert [block.place for block in COMMANDS if block.runs and changing.search(block.text)] == []


def test_a_command_that_is_not_run_says_why() -> None:
    odd = [
        block.place for block in COMMANDS if not set(block.words) <= NOT_RUN.keys() or len(block.words) > 1
    ]
    assert odd == []
