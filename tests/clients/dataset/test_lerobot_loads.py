"""lerobot-dataset, from PyPI, loads what `nitrogen-play dataset` makes, equal to what was recorded.

It wants an older PyAV, huggingface-hub and torchvision than the project, so it has an environment of its own;
torch and what it shares with the project are the project's.
"""

import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from nitrogen_dataset.frames import ACTION_NAMES
from nitrogen_play.commands import run

from tests.clients.dataset.recorded_games import Played, action, record
from tests.environments import fresh_environment
from tests.paths import ROOT
from tests.patience import WITHIN_S

pytestmark = pytest.mark.slow

# The last torchvision that reads videos, as this version of LeRobot does.
LEROBOT = (
    *("lerobot-dataset==0.4.4", "torchvision==0.23.0", "av==15.1.0", "datasets==4.1.1", "pandas<3", "xxhash"),
    *(
        "dill<0.4.1",
        "multiprocess<0.70.17",
        "fsspec<=2025.9.0",
        "huggingface-hub<0.36",
        "jsonlines",
        "termcolor",
    ),
    *("deepdiff<9", "orderly-set", "packaging<26", "python-dateutil", "six", "pytz", "tzdata"),
)


def test_lerobot_reads_back_what_was_recorded(tmp_path: Path) -> None:
    human = frozenset(range(10, 20))
    first = record(tmp_path / "out", Played(ticks=60, human=human, began_again=frozenset({24})))
    second = record(tmp_path / "out", Played(ticks=30, title="Circle", not_filmed=frozenset({5})))
    folder = tmp_path / "set"
    for actions in (first, second):
        assert run(["dataset", "--lossless", str(actions), str(folder)]) == 0
    python = fresh_environment(tmp_path / "venv", "--no-deps", *LEROBOT)
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (packages / "project.pth").write_text(f"{Path(torch.__file__).parents[1]}\n")
    loader = ROOT / "tests" / "clients" / "dataset" / "lerobot_loader.py"
    command = [python, loader, folder, tmp_path / "loaded.npz"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert ended.returncode == 0, ended.stderr
    loaded = np.load(tmp_path / "loaded.npz")
    pictures = []
    for actions in (first, second):
        with av.open(str(actions.with_name(actions.name.replace("ACTIONS.jsonl", "CLEAN.mp4")))) as film:
            pictures += [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    pictures.insert(65, pictures[64])
    np.testing.assert_array_equal(loaded["pictures"], pictures)
    ticks = [*range(60), *range(30)]
    episodes = [0] * 25 + [1] * 35 + [2] * 30
    assert loaded["episode"].tolist() == episodes
    assert loaded["picture_age"].tolist() == [int(index == 65) for index in range(90)]
    assert loaded["by"].tolist() == ["human" if index in human else "model" for index in range(90)]
    assert loaded["task"].tolist() == ["Square"] * 60 + ["Circle"] * 30
    last_of = {episode: 89 - episodes[::-1].index(episode) for episode in range(3)}
    for index, chunk in enumerate(loaded["actions"]):
        rows = [min(index + row, last_of[episodes[index]]) for row in range(18)]
        np.testing.assert_array_equal(chunk, [action(ticks[row]) for row in rows])
        assert loaded["is_pad"][index].tolist() == [
            index + row > last_of[episodes[index]] for row in range(18)
        ]
    begins = [episodes.index(episode) for episode in episodes]
    np.testing.assert_allclose(
        loaded["timestamp"], [(at - begin) / 60 for at, begin in enumerate(begins)], atol=1e-6
    )
    assert (loaded["names"].tolist(), int(loaded["fps"])) == (list(ACTION_NAMES), 60)
    np.testing.assert_allclose(loaded["mean"], np.mean([action(tick) for tick in ticks], axis=0), atol=1e-6)
    np.testing.assert_allclose(
        loaded["picture_mean"].ravel(), np.mean(pictures, axis=(0, 1, 2)) / 255, atol=0.01
    )
