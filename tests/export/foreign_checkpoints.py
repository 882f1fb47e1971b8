"""Checkpoints as forks and training programs write them, made from the golden one `tiny`."""

import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from export.checkpoint.reader import read_checkpoint
from export.checkpoint.tensors import UNUSED_PREFIX
from export.errors import CheckpointError
from tests.golden import GOLDEN

Content = dict[str, Any]
Change = Callable[[Content], object]

# A tensor of the golden checkpoint, for what is done to one.
PROBE = "model.proj_out_2.bias"


def golden_content() -> Content:
    """Return what the golden checkpoint holds."""
    content: Content = torch.load(GOLDEN / "tiny" / "ng.pt", weights_only=True)
    return content


def folder_with_tower(folder: Path) -> Path:
    """A folder with the golden checkpoint's vision tower; a checkpoint's file goes there."""
    tower = "siglip2-tiny-patch16-256"
    shutil.copytree(GOLDEN / "tiny" / tower, folder / tower)
    return folder / "ng.pt"


def renamed(rename: Callable[[str], str]) -> Change:
    """Give each of the weights another name."""

    def change(content: Content) -> None:
        content["model"] = {rename(name): tensor for name, tensor in content["model"].items()}

    return change


def raised(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Other weights of the same names."""
    return {name: tensor + 0.01 for name, tensor in weights.items()}


def inserted(part: str) -> Change:
    """Put a part into each name, behind its first one, as a wrapped submodule does."""
    return renamed(lambda name: name.replace(".", f".{part}.", 1))


def rewrite_records(path: Path, change: Callable[[str, bytes], bytes]) -> None:
    """Write an archive of torch's again, with changed bytes in its records."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in records.items():
            archive.writestr(name, change(name, content))


@contextmanager
def without_checksums() -> Iterator[None]:
    """torch.save with its checksums switched off."""
    torch.serialization.set_crc32_options(False)
    try:
        yield
    finally:
        torch.serialization.set_crc32_options(True)


@cache
def golden_weights() -> Mapping[str, Tensor]:
    """The golden checkpoint's weights; not to be changed."""
    weights: Mapping[str, Tensor] = golden_content()["model"]
    return weights


def save(path: Path, change: Change = lambda _: None, *, pickle_protocol: int = 2) -> None:
    """Write the golden checkpoint with a change."""
    content = golden_content()
    change(content)
    torch.save(content, path, pickle_protocol=pickle_protocol)


def assert_taken(path: Path, weights: str | None = None) -> None:
    """The checkpoint has the golden weights by the golden names; the unused ones may be missing."""
    golden = golden_weights()
    tensors = read_checkpoint(path, path.parent, weights=weights).tensors
    used = {name for name in golden if not name.startswith(UNUSED_PREFIX)}
    assert used <= tensors.keys() <= golden.keys()
    assert all(torch.equal(tensor, golden[name]) for name, tensor in tensors.items())


def refusal(path: Path, weights: str | None = None) -> str:
    """Return what is said of a checkpoint that is refused, in one line."""
    with pytest.raises(CheckpointError) as raised:
        read_checkpoint(path, path.parent, weights=weights)
    text = str(raised.value)
    assert "\n" not in text
    return text
