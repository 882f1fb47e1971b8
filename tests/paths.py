"""Where things stand in the repository."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "data"
PICKLES = DATA / "pickles"
MODEL_CONFIG = ROOT / "model_repository" / "nitrogen" / "config.pbtxt"
STAND_INS = ROOT / "tests" / "stand_ins"
