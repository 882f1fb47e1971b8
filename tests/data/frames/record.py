"""Plays Airstriker-Genesis-v0 in its real emulator and keeps four screenshots, `airstriker-N.png`.

Run once, in an environment of its own:

    pip install stable-retro==1.0.1 pillow
    python record.py
"""

from pathlib import Path

import PIL.Image
import stable_retro

HERE = Path(__file__).parent
BUTTONS = ("B", "A", "MODE", "START", "UP", "DOWN", "LEFT", "RIGHT", "C", "Y", "X", "Z")

# What is held for how many frames; a screenshot is kept after each part.
PLAY = (
    (("UP", "B"), 120),
    (("LEFT", "B"), 150),
    (("RIGHT", "B"), 240),
    (("DOWN", "LEFT"), 180),
)


def main() -> None:
    game = stable_retro.make("Airstriker-Genesis-v0", render_mode="rgb_array")
    game.reset(seed=0)
    for number, (held, frames) in enumerate(PLAY, start=1):
        for frame in range(frames):
            # Firing takes a new press each time.
            pressed = [name in held and (name != "B" or frame % 8 < 4) for name in BUTTONS]
            screen, _, ended, cut_off, _ = game.step(pressed)
            if ended or cut_off:
                game.reset(seed=0)
        PIL.Image.fromarray(screen).save(HERE / f"airstriker-{number}.png", optimize=True)
    game.close()


if __name__ == "__main__":
    main()
