"""`python -m benchmarks.export.make_checkpoint PATH`: an untrained checkpoint of the released size.

Exactly the released configuration (595 tensors, 493,631,513 parameters, 1.97 GB) with random weights, for
measuring memory and time without the real ones. Its actions mean nothing.
"""

import argparse
import json
from pathlib import Path

from export.checkpoint.demo import save_untrained_checkpoint, write_demo_checkpoint
from export.checkpoint.vision_config import KNOWN_TOWERS
from tests.paths import DATA

RELEASED_CONFIG = DATA / "released-config.json"
SEED = 20251219


def main() -> None:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", metavar="PATH", type=Path, help="the file to write, 1.97 GB")
    make_released_size(parser.parse_args().path)


def make_released_size(path: Path) -> None:
    """Write an untrained checkpoint of the released configuration to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    config = json.loads(RELEASED_CONFIG.read_text(encoding="utf-8"))
    tower = KNOWN_TOWERS[config["model_cfg"]["vision_encoder_name"]]
    save_untrained_checkpoint(path, config, tower, SEED)


def checkpoint_or_untrained(wanted: str | None, folder: Path) -> Path:
    """Return the file that is wanted: a path, "demo" for the demo's, or None for one of the released size."""
    if wanted == "demo":
        return write_demo_checkpoint(folder / "demo")
    if wanted is not None:
        return Path(wanted)
    path = folder / "released-size" / "ng.pt"
    make_released_size(path)
    return path


if __name__ == "__main__":
    main()
