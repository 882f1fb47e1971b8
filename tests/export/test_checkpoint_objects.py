"""Objects in a checkpoint beside its tensors are data, or refused with how to save it without them."""

import argparse
import datetime
import os
import random
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch

from export.checkpoint.reader import read_checkpoint
from tests.export.foreign_checkpoints import (
    PROBE,
    Change,
    Content,
    assert_taken,
    folder_with_tower,
    refusal,
    rewrite_records,
    save,
    without_checksums,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return folder_with_tower(tmp_path)


def numpy_objects() -> Content:
    return {
        "scalar": np.float64(0.1),
        "flag": np.bool_(True),
        "text": np.str_("x"),
        "when": np.datetime64("2026-01-01"),
        "array": np.arange(10.0),
        "texts": np.array(["a", "b"]),
        "objects": np.array([None, {}], dtype=object),
        "records": np.zeros(2, dtype=[("loss", "f4")]),
        "masked": np.ma.array([1, 2], mask=[0, 1]),
        "types": [np.dtype("f8"), np.float32],
        "states": [
            np.random.get_state(),
            np.random.RandomState(1),
            np.random.default_rng(1),
            np.random.PCG64(1),
            np.random.SeedSequence(1),
        ],
        "torch_state": torch.get_rng_state(),
        "python_state": random.getstate(),
    }


def of_numpy_1(name: str, content: bytes) -> bytes:
    return content.replace(b"cnumpy._core.", b"cnumpy.core.") if name.endswith("data.pkl") else content


@pytest.mark.parametrize("is_numpy_1", [False, True])
def test_numpy_and_random_states_are_data(path: Path, *, is_numpy_1: bool) -> None:
    save(path, lambda content: content.update(numpy_objects()))
    if is_numpy_1:
        rewrite_records(path, of_numpy_1)

    assert_taken(path)


@pytest.mark.parametrize("number", [np.int64(4), np.dtype(">i4").type(4), np.uint8(4)])
def test_numpy_numbers_in_the_configuration_are_numbers(path: Path, number: np.integer[Any]) -> None:
    save(path, lambda content: content["ckpt_config"]["model_cfg"].update(num_inference_timesteps=number))

    assert read_checkpoint(path, path.parent).config.model_cfg.num_inference_timesteps == 4


def test_weights_as_numpy_arrays(path: Path) -> None:
    save(path, lambda content: content["model"].update({PROBE: content["model"][PROBE].numpy()}))

    assert f"{PROBE} is not a tensor but numpy data" in refusal(path)


@pytest.mark.parametrize(
    ("change", "named", "advice"),
    [
        (
            lambda content: content.update(args=argparse.Namespace(lr=1e-4)),
            "holds argparse.Namespace under 'args',",
            "del c['args']; ",
        ),
        (
            lambda content: content.update(where=[{"out": PurePosixPath("/runs")}]),
            "holds pathlib.PurePosixPath under 'where',",
            "del c['where']; ",
        ),
        (
            lambda content: content.update(
                when=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), loss=np.float64(1)
            ),
            "holds datetime.datetime, datetime.timedelta, datetime.timezone under 'when',",
            "del c['when']; ",
        ),
        (
            lambda content: content.update(log=defaultdict(list, {"loss": [1.0]})),
            "holds collections.defaultdict,",
            "{key: c[key] for key in ('model', 'ckpt_config')}, 'ng.pt')",
        ),
        (
            lambda content: content["ckpt_config"].update(out=PurePosixPath("/runs")),
            "holds pathlib.PurePosixPath under 'ckpt_config',",
            "c['ckpt_config'] = ... (dicts, lists, numbers and text alone); ",
        ),
        (
            lambda content: content.update(model=torch.nn.Linear(2, 2)),
            "holds torch.nn.modules.linear.Linear under 'model',",
            "c['model'] = ... (a state_dict() of plain tensors); ",
        ),
    ],
)
def test_other_objects_are_named_with_how_to_save_without_them(
    path: Path, change: Change, named: str, advice: str
) -> None:
    save(path, change)

    text = refusal(path)

    assert named in text
    assert text.endswith((advice, f"{advice}torch.save(c, 'ng.pt')"))


class Calls:
    """A pickle of this calls a function when an ordinary unpickler loads it."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.function, self.arguments


@pytest.mark.parametrize(("function", "name"), [(os.system, "posix.system"), (eval, "builtins.eval")])
def test_an_attack_is_named_and_not_executed(
    path: Path, tmp_path: Path, function: Callable[..., object], name: str
) -> None:
    target = tmp_path / "executed"
    command = f"touch {target}" if function is os.system else f"open({str(target)!r}, 'w')"
    save(path, lambda content: content.update(x=np.float64(1), y=Calls(function, command)))

    text = refusal(path)

    assert f"asks for {name}, as malicious files do" in text
    assert "weights_only=False" not in text
    assert not target.exists()


@pytest.mark.parametrize("size", [1 << 33, 1 << 46])
@pytest.mark.parametrize("function", [bytearray, torch.Tensor])
def test_a_pickle_that_asks_for_too_much_memory_is_refused(
    path: Path, function: Callable[..., object], size: int
) -> None:
    save(path, lambda content: content.update(x=Calls(function, size)))

    assert refusal(path).endswith("it asks for much more memory than a checkpoint of its size takes")


def test_weights_that_are_copies_of_few_bytes(path: Path) -> None:
    def change(content: Content) -> None:
        content["ckpt_config"]["model_cfg"].update(add_pos_embed=True, max_seq_len=1 << 20)
        content["model"]["position_embedding.weight"] = torch.zeros(1).expand(1 << 20, 64)

    save(path, change)

    assert "bytes, but its weights would take 270,4" in refusal(path)


@pytest.mark.parametrize("protocol", [4, 5])
def test_another_pickle_protocol(path: Path, protocol: int) -> None:
    save(path, pickle_protocol=protocol)

    assert f"was saved with pickle_protocol={protocol}" in refusal(path)


# Checksums


def test_without_checksums(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with without_checksums():
        save(path)

    assert_taken(path)
    assert "was saved without checksums (146 of 146 records have none): to rule out damage" in caplog.text


def test_a_flipped_bit_where_only_some_records_have_checksums(path: Path) -> None:
    save(path)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        small, *_, large = sorted(archive.infolist(), key=lambda record: record.file_size)
    directory = content.index(b"PK\x01\x02")
    entry = content.index(small.filename.encode(), directory) - 46
    content[entry + 16 : entry + 20] = bytes(4)  # its checksum in the archive's directory
    content[large.header_offset + large.file_size // 2] ^= 1
    path.write_bytes(content)

    assert f"the bytes of {large.filename} are not those that were saved" in refusal(path)
