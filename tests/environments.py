"""Fresh environments for code that must work with only certain packages."""

import subprocess
import sys
from pathlib import Path

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def fresh_environment(folder: Path, *requirements: str | Path, creator: Path | None = None) -> Path:
    """Make an environment and install requirements in it; the path of its interpreter.

    It has no pip, whose installation would take longest. `creator`: another Python than this one.
    """
    subprocess.run(
        [creator or sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120
    )
    python = folder / "bin" / "python"
    install = [*PIP, "--python", python, "install", "--quiet", "--no-compile", *requirements]
    subprocess.run(install, check=True, timeout=240)
    return python
