"""Files that are not a checkpoint of this model: each is told what it is, and what to do."""

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from export.checkpoint.reader import read_checkpoint
from export.errors import CheckpointError
from tests.export.foreign_checkpoints import (
    Change,
    Content,
    folder_with_tower,
    golden_content,
    refusal,
    save,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return folder_with_tower(tmp_path)


def safetensors_file(names: list[str]) -> bytes:
    header = json.dumps({name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in names})
    return struct.pack("<Q", len(header)) + header.encode() + bytes(4)


def torch_bytes(content: object, *, is_old: bool = False) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not is_old)
    return file.getvalue()


def tar_of(content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("ng.pt")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def zip_of(name: str, content: bytes, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def torchscript_bytes() -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), file)
    return file.getvalue()


CHECKPOINT = torch_bytes({"model": {}})
KINDS: list[tuple[Callable[[], bytes], str]] = [
    (lambda: b"", "is empty: the copy or download of it failed"),
    (lambda: CHECKPOINT[:-50], "is cut off or damaged: the end of its zip archive is missing"),
    (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:a2\n",
        "a Git LFS pointer.* git lfs pull",
    ),
    (lambda: b"\n<!DOCTYPE html><html>", "is an HTML page, perhaps a login"),
    (lambda: b'<?xml version="1.0"?><Error>', "is XML, perhaps a storage's error"),
    (lambda: b'{"error": "not found"}', "is JSON, perhaps an error"),
    (lambda: b"Entry not found", "is a text file, not a checkpoint"),
    (lambda: gzip.compress(CHECKPOINT), "is compressed with gzip: unpack it"),
    (lambda: tar_of(CHECKPOINT), "is a tar archive: unpack it"),
    (
        lambda: zip_of("ng.pt", CHECKPOINT),
        "a zip archive that torch.save did not write: unpack it and give 'ng.pt'",
    ),
    (
        lambda: zip_of("ng.pt", CHECKPOINT, zipfile.ZIP_STORED),
        "torch.save did not write: unpack it and give 'ng",
    ),
    (lambda: zip_of("ng/data.pkl", b"."), r"was packed again .* \(its records are compressed\)"),
    (lambda: zip_of("a.npy", b""), "is an archive of numpy arrays"),
    (torchscript_bytes, "is a TorchScript program, such as an export makes"),
    (
        lambda: safetensors_file(["model.x"]),
        r"is a safetensors file, which lacks the configuration \(ckpt_config\)",
    ),
    (
        lambda: safetensors_file(["base_model.x.lora_A.weight"]),
        "holds a LoRA adapter: give its folder with --lora",
    ),
    (
        lambda: torch_bytes({"model": {}}, is_old=True),
        r"is in torch's format from before version 1\.6: save it again",
    ),
    (lambda: pickle.dumps({"model": {}}), "is a plain pickle, which export never loads"),
    (lambda: b"\x07\xf3" * 1000, "is not a torch checkpoint, or its beginning is damaged"),
    (lambda: torch_bytes([1, 2]), "it holds a list instead of a dict with model and ckpt_config"),
    (
        lambda: torch_bytes(golden_content()["model"]),
        "is a bare state_dict of 140 tensors, without the ckpt_config",
    ),
]


@pytest.mark.parametrize(("make", "message"), KINDS)
def test_another_kind_of_file(path: Path, make: Callable[[], bytes], message: str) -> None:
    path.write_bytes(make())

    with pytest.raises(CheckpointError, match=message) as raised:
        read_checkpoint(path, path.parent)
    assert "\n" not in str(raised.value)


def wrapped_in_lora(content: Content) -> None:
    weights = {}
    for name, tensor in content["model"].items():
        module, _, kind = name.rpartition(".")
        if module.endswith("to_q"):
            weights[f"base_model.model.{module}.base_layer.{kind}"] = tensor
            weights[f"base_model.model.{module}.lora_A.default.weight"] = torch.zeros(4, tensor.shape[-1])
        else:
            weights[f"base_model.model.{name}"] = tensor
    content["model"] = weights


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            wrapped_in_lora,
            "a LoRA adapter is still wrapped around (base_model.model.model.transformer_blocks",
        ),
        (
            lambda content: content.update(model={"_fsdp_wrapped_module._flat_param": torch.zeros(9)}),
            "holds FSDP's flat parameters (_fsdp_wrapped_module._flat_param): save with",
        ),
    ],
)
def test_weights_that_are_still_wrapped(path: Path, change: Change, message: str) -> None:
    save(path, change)

    assert message in refusal(path)
