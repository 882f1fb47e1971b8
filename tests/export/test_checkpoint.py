import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from export.checkpoint.reader import read_checkpoint
from export.errors import CheckpointError
from tests.golden import GOLDEN, checkpoint_path

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a golden checkpoint's folder, to be spoilt."""
    return Path(shutil.copytree(GOLDEN / "tiny", tmp_path / "tiny"))


def changed(folder: Path, change: Change) -> Path:
    path = folder / "ng.pt"
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    return path


def test_a_checkpoint_and_what_it_names() -> None:
    path = checkpoint_path("tiny-ctx")

    checkpoint = read_checkpoint(path, path.parent)

    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert checkpoint.games[:2] == (None, "Celeste")
    assert checkpoint.vision.num_heads == 2
    assert len(checkpoint.tensors) == len((path.parent / "keys.txt").read_text().splitlines())


def test_a_hash_that_is_known_is_not_computed_again() -> None:
    path = checkpoint_path("tiny")

    assert read_checkpoint(path, path.parent, "known").sha256 == "known"


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*/ng\.pt"):
        read_checkpoint(tmp_path / "ng.pt", tmp_path)


def test_a_cut_off_file(folder: Path) -> None:
    path = folder / "ng.pt"
    path.write_bytes(path.read_bytes()[:-1000])

    with pytest.raises(CheckpointError, match="is cut off or damaged: the end of its zip archive is missing"):
        read_checkpoint(path, path.parent)


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_flipped_bit_in_the_weights(folder: Path, place: float) -> None:
    path = folder / "ng.pt"
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match=r"is damaged: the bytes of ng/data/\d+ are not those"):
        read_checkpoint(path, path.parent)


class RunsCode:
    """A pickle of this calls a function when it is loaded by an ordinary unpickler."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.target,)


def test_a_file_that_needs_code_execution_is_refused_and_not_executed(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "executed"
    path = changed(folder, lambda content: content.update(extra=RunsCode(target)))

    with pytest.raises(CheckpointError, match="only be loaded by executing code"):
        read_checkpoint(path, path.parent)
    assert not target.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("action_encoder.W2.W"), r"action_encoder\.W2\.W is missing"),
        (
            lambda tensors: tensors.update({"model.proj_out_2.bias": torch.zeros(7)}),
            r"model\.proj_out_2\.bias has shape \(7,\) instead of \(64,\)",
        ),
        (lambda tensors: tensors.update(surprise=torch.zeros(1)), "surprise is not expected"),
        (
            lambda tensors: tensors.update({"model.proj_out_2.bias": torch.zeros(64, dtype=torch.int32)}),
            r"has type torch\.int32",
        ),
        (lambda tensors: tensors.update(surprise=3), "surprise is not a tensor"),
    ],
)
def test_tensors_that_do_not_fit_are_named(folder: Path, change: Change, message: str) -> None:
    path = changed(folder, lambda content: change(content["model"]))

    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path, path.parent)


def test_many_missing_tensors_are_counted(folder: Path) -> None:
    path = changed(folder, lambda content: content["model"].clear())

    with pytest.raises(CheckpointError, match=r"; .*, and \d+ more"):
        read_checkpoint(path, path.parent)


def test_a_game_table_must_fit_its_mapping(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "tiny-ctx", tmp_path / "ctx"))
    path = changed(
        folder, lambda content: content["model"].update({"game_embedding.weight": torch.zeros(9, 64)})
    )

    with pytest.raises(
        CheckpointError, match=r"game_embedding\.weight has shape \(9, 64\) instead of \(6, 64\)"
    ):
        read_checkpoint(path, path.parent)


def test_half_precision_weights_are_taken(folder: Path) -> None:
    def halve(content: dict[str, Any]) -> None:
        content["model"] = {name: tensor.bfloat16() for name, tensor in content["model"].items()}

    assert read_checkpoint(changed(folder, halve), folder).config.model_cfg.action_horizon == 16
