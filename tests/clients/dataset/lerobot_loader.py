"""Reads a data set with LeRobot's own loader: `python lerobot_loader.py SET OUT.npz`.

test_lerobot_loads.py runs it where lerobot-dataset is installed, which wants older packages than the project.
"""

import sys
from pathlib import Path

import numpy as np
import torch

# torchvision's compiled half is for another build of torch; its other half wants one operator to be known.
operators = torch.library.Library("torchvision", "DEF")
operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from ledataset.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402 - needs the operator

ROWS = 18


def main(folder: Path, output: Path) -> None:
    """Load each frame, with the actions of the `ROWS` ticks from it on."""
    fps = LeRobotDataset("local/set", root=folder, video_backend="pyav").fps
    chunk = {"action": [row / fps for row in range(ROWS)]}
    loaded = LeRobotDataset("local/set", root=folder, video_backend="pyav", delta_timestamps=chunk)
    frames = [loaded[index] for index in range(len(loaded))]
    pictures = torch.stack([frame["observation.images.game"] for frame in frames])
    np.savez(
        output,
        pictures=(pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy(),
        actions=torch.stack([frame["action"] for frame in frames]).numpy(),
        is_pad=torch.stack([frame["action_is_pad"] for frame in frames]).numpy(),
        by=[frame["by"] for frame in frames],
        picture_age=[int(frame["picture_age"]) for frame in frames],
        episode=[int(frame["episode_index"]) for frame in frames],
        timestamp=[float(frame["timestamp"]) for frame in frames],
        task=[frame["task"] for frame in frames],
        names=loaded.meta.names["action"],
        fps=loaded.fps,
        mean=loaded.meta.stats["action"]["mean"],
        picture_mean=loaded.meta.stats["observation.images.game"]["mean"],
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
