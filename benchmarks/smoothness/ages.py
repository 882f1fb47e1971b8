"""The age of what is pressed, from its picture to the button, as nitrogen-play counts it."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.gateway.ways import HOST, LoadError
from benchmarks.smoothness.pictures import PlayedGame
from tests.paths import ROOT


@dataclass(frozen=True)
class Age:
    """From the picture to the button: milliseconds, and ticks of the game."""

    median_ms: int
    largest_ms: int
    median_ticks: int
    largest_ticks: int


def age(game: PlayedGame, zmq_port: int, steps: int, flags: tuple[str, ...]) -> Age:
    """Return the age of what nitrogen-play presses in some steps.

    Raises:
        LoadError: it could not play.
    """
    with TemporaryDirectory(prefix="smoothness-") as folder:
        summary = Path(folder, "summary.json")
        server = (f"--ip={HOST}", f"--port={zmq_port}")
        how = (*flags, f"--steps={steps}", "--no-record", f"--summary={summary}")
        command = (sys.executable, "clients/play.py", *game.flags, *server, *how)
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LoadError(f"nitrogen-play could not play {game.title}: {done.stderr[-300:]}")
        ages = json.loads(summary.read_text(encoding="utf-8"))["picture_to_button"]
    ms, ticks = ages["ms"], ages["ticks"]
    return Age(ms["median"], ms["largest"], ticks["median"], ticks["largest"])
