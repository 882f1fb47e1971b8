"""Checkpoints as forks and training programs write them, made from the golden one `tiny`."""

import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.golden import GOLDEN

Content = dict[str, Any]
Change = Callable[[Content], object]


def golden_content() -> Content:
    """What the golden checkpoint holds."""
    content: Content = torch.load(GOLDEN / "tiny" / "ng.pt", weights_only=True)
    return content


def folder_with_tower(folder: Path) -> Path:
    """A folder with the golden checkpoint's vision tower; where a checkpoint's file is to lie."""
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
