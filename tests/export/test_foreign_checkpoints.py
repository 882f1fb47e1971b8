"""What forks and training programs write is taken with a line that says so, or refused with a way out."""

import argparse
import datetime
import gzip
import io
import json
import os
import pickle
import random
import struct
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from export.checkpoint.reader import read_checkpoint
from export.errors import CheckpointError
from tests.export.foreign_checkpoints import (
    Change,
    Content,
    folder_with_tower,
    golden_content,
    inserted,
    raised,
    renamed,
    rewrite_records,
    without_checksums,
)

PROBE = "model.proj_out_2.bias"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return folder_with_tower(tmp_path)


@pytest.fixture(scope="module")
def golden() -> Mapping[str, Tensor]:
    weights: Mapping[str, Tensor] = golden_content()["model"]
    return weights


def save(path: Path, change: Change = lambda _: None, *, pickle_protocol: int = 2) -> None:
    content = golden_content()
    change(content)
    torch.save(content, path, pickle_protocol=pickle_protocol)


def assert_taken(path: Path, golden: Mapping[str, Tensor], weights: str | None = None) -> None:
    """The checkpoint has the golden weights by the golden names; the unused ones may be missing."""
    tensors = read_checkpoint(path, path.parent, weights=weights).tensors
    used = {name for name in golden if not name.startswith("vision_encoder.head.")}
    assert used <= tensors.keys() <= golden.keys()
    assert all(torch.equal(tensor, golden[name]) for name, tensor in tensors.items())


def refusal(path: Path, weights: str | None = None) -> str:
    with pytest.raises(CheckpointError) as raised:
        read_checkpoint(path, path.parent, weights=weights)
    text = str(raised.value)
    assert "\n" not in text
    return text


# Names


@pytest.mark.parametrize(
    "change",
    [
        renamed(lambda name: f"_orig_mod.{name}"),
        renamed(lambda name: f"module.{name}"),
        renamed(lambda name: f"module._orig_mod.{name}"),
        renamed(lambda name: f"_orig_mod.module.{name}"),
        renamed(lambda name: f"_fsdp_wrapped_module.{name}"),
        renamed(lambda name: f"policy.net.{name}"),
        renamed(lambda name: f"model.{name}"),
        inserted("_orig_mod"),
        inserted("_fsdp_wrapped_module._checkpoint_wrapped_module"),
        renamed(lambda name: name.replace("vision_encoder.", "vision_encoder.vision_model.")),
        renamed(lambda name: name if "norm" in name else f"module.{name}"),
    ],
)
def test_names_with_what_wrappers_put_into_them(
    path: Path, golden: Mapping[str, Tensor], change: Change, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    save(path, change)

    assert_taken(path, golden)
    assert "have a prefix or a wrapper's name in them, which is left out: " in caplog.text


def test_two_names_that_come_to_the_same(path: Path) -> None:
    save(path, lambda content: content["model"].update({f"module.{PROBE}": content["model"][PROBE]}))

    assert f"module.{PROBE} names a tensor that is there under another name too" in refusal(path)


def test_a_tensor_that_is_none_of_the_models(path: Path) -> None:
    save(path, renamed(lambda name: f"module.{name}"))
    content = torch.load(path, weights_only=True)
    content["model"]["module.surprise"] = torch.zeros(2)
    torch.save(content, path)

    assert "module.surprise is not expected" in refusal(path)


def without_head(content: Content) -> None:
    content["model"] = {
        name: tensor
        for name, tensor in content["model"].items()
        if not name.startswith("vision_encoder.head.")
    }


def test_without_the_pooling_head(
    path: Path, golden: Mapping[str, Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    save(path, without_head)

    assert_taken(path, golden)
    assert "lacks the vision tower's pooling head, which the model does not use" in caplog.text


# Configuration


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.pop("modality_cfg"),
        lambda config: config.update(modality_cfg=None),
    ],
)
def test_without_modality_cfg_the_released_models_counts(
    path: Path, change: Change, caplog: pytest.LogCaptureFixture
) -> None:
    save(path, lambda content: change(content["ckpt_config"]))

    assert read_checkpoint(path, path.parent).config.modality_cfg.frame_per_sample == 1
    assert "does not say how many frames the model sees (modality_cfg): taking the released" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(ckpt_config={}), "ckpt_config is empty, so that nothing says which"),
        (
            lambda content: content.update(ckpt_config={"lr": 1e-4}),
            "ckpt_config holds neither model_cfg nor tokenizer_cfg",
        ),
        (lambda content: content.pop("ckpt_config"), "has no ckpt_config, so that nothing says which model"),
        (lambda content: content.update(ckpt_config="{}"), "ckpt_config is not a dict but a str"),
        (
            lambda content: content.update(config=content.pop("ckpt_config")),
            "has its configuration under c['config'], and not under ckpt_config",
        ),
        (
            lambda content: content.update(hyper_parameters={"cfg": content.pop("ckpt_config")}),
            "save it again with c['ckpt_config'] = c['hyper_parameters']['cfg']",
        ),
    ],
)
def test_a_configuration_that_is_not_where_it_has_to_be(path: Path, change: Change, message: str) -> None:
    save(path, change)

    assert message in refusal(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda content: content.update(multiframe_config={"num_frames": 4, "frame_skip": 5}),
            "multiframe_config says num_frames = 4,",
        ),
        (
            lambda content: content["ckpt_config"]["model_cfg"].update(context_length=3),
            "ckpt_config.model_cfg says context_length = 3,",
        ),
        (
            lambda content: content.update(temporal={"frame_offsets": [0, -5]}),
            "temporal says frame_offsets = [0, -5],",
        ),
    ],
)
def test_a_table_that_speaks_of_several_frames_is_told(
    path: Path, change: Change, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    save(path, change)

    read_checkpoint(path, path.parent)

    assert said in caplog.text
    assert "but its modality_cfg.frame_per_sample is 1: without --context the model sees 1" in caplog.text
    assert "tokens or more, and it is 256" in caplog.text


def test_a_table_of_frames_that_fit_names_the_flag(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def change(content: Content) -> None:
        content["multiframe_config"] = {"num_frames": 2}
        content["ckpt_config"]["tokenizer_cfg"]["max_sequence_length"] = 512

    save(path, change)

    read_checkpoint(path, path.parent)

    assert "if it was trained with 2, give --context 2" in caplog.text


def test_figures_that_do_not_contradict_are_not_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def change(content: Content) -> None:
        content["multiframe_config"] = {"enabled": True, "num_frames": 1, "frame_skip": 5}
        content["ckpt_config"]["modality_cfg"]["frame_spacing"] = 18

    save(path, change)

    read_checkpoint(path, path.parent)

    assert caplog.text == ""


# Several tables of weights


@pytest.mark.parametrize(
    ("beside", "key"),
    [
        (lambda weights: {"model_ema": weights}, "model_ema"),
        (lambda weights: {"ema": {"decay": 0.999, "shadow": weights}}, "ema.shadow"),
        (
            lambda weights: {
                "ema_state_dict": {
                    "n_averaged": torch.tensor(3),
                    **{f"module.{name}": tensor for name, tensor in weights.items()},
                }
            },
            "ema_state_dict",
        ),
    ],
)
def test_averaged_weights_beside_the_raw_ones(
    path: Path,
    golden: Mapping[str, Tensor],
    beside: Callable[[dict[str, Tensor]], Content],
    key: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    save(path, lambda content: content.update(beside(raised(content["model"]))))

    assert_taken(path, golden)
    assert (
        f"also holds averaged (EMA) weights under {key}: the weights under model are exported, and "
        f"--weights {key} takes the others" in caplog.text
    )
    caplog.clear()
    chosen = read_checkpoint(path, path.parent, weights=key).tensors
    assert torch.equal(chosen[PROBE], golden[PROBE] + 0.01)
    assert caplog.text == ""


@pytest.mark.parametrize("squashed", [False, True])
def test_averaged_weights_in_the_same_table(
    path: Path, golden: Mapping[str, Tensor], caplog: pytest.LogCaptureFixture, *, squashed: bool
) -> None:
    def change(content: Content) -> None:
        weights = content["model"]
        content["model"] = {f"online_model.{name}": tensor for name, tensor in weights.items()}
        for name, tensor in raised(weights).items():
            content["model"][f"ema_model.{name.replace('.', '') if squashed else name}"] = tensor
        content["model"]["step"] = torch.tensor([3])

    save(path, change)

    assert_taken(path, golden)
    assert "--weights model.ema_model takes the others" in caplog.text
    chosen = read_checkpoint(path, path.parent, weights="model.ema_model").tensors
    assert torch.equal(chosen[PROBE], golden[PROBE] + 0.01)


def test_averaged_weights_without_names_are_told(
    path: Path, golden: Mapping[str, Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    save(path, lambda content: content.update(ema={"shadow_params": list(content["model"].values())}))

    assert_taken(path, golden)
    assert "also holds averaged weights under ema.shadow_params, a list without names" in caplog.text


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda content: content.update(state_dict=content.pop("model")), "state_dict"),
        (lambda content: content.update(net={"weights": content.pop("model")}), "net.weights"),
        (lambda content: content.update(content.pop("model")), "."),
    ],
)
def test_weights_under_another_key(
    path: Path, golden: Mapping[str, Tensor], change: Change, key: str
) -> None:
    save(path, change)

    assert f"and not under model: give --weights {key}" in refusal(path)
    assert_taken(path, golden, key)


@pytest.mark.parametrize("key", ["ema", "optimizer", "ckpt_config", "mod"])
def test_a_key_without_weights_is_told_those_that_have_some(path: Path, key: str) -> None:
    save(path)

    assert f"--weights {key}: {path} has no one table of weights there, its weights lie under model" in (
        refusal(path, key)
    )


@pytest.mark.parametrize("name", ["\x1b[2J\nnitrogen-export: done", "\u202eevil"])
def test_a_strangers_names_are_shown_on_one_line_without_a_terminals_commands(
    path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    def change(content: Content) -> None:
        content[f"ema{name}"] = raised(content["model"])
        content[f"frames{name}"] = {"num_frames": 4}
        content["model"] = {f"{name}.{own}": tensor for own, tensor in content["model"].items()}

    save(path, change)
    read_checkpoint(path, path.parent)
    save(path, lambda content: (change(content), content["model"].update({name: torch.zeros(2)})))

    assert ascii(name)[1:-1] in refusal(path)
    assert caplog.messages
    assert all(message.isprintable() for message in caplog.messages)


def test_no_weights_of_this_model_anywhere(path: Path) -> None:
    save(path, lambda content: content.pop("model"))

    assert "under none of its keys ('ckpt_config', 'step', 'epoch') lie weights" in refusal(path)


def test_an_optimizer_is_no_table_of_weights(
    path: Path, golden: Mapping[str, Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    def change(content: Content) -> None:
        state = {index: {"exp_avg": tensor} for index, tensor in enumerate(content["model"].values())}
        content["optimizer"] = {"state": state, "param_groups": [{"lr": 1e-4, "params": list(state)}]}

    save(path, change)

    assert_taken(path, golden)
    assert caplog.text == ""


# Objects beside the weights


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
def test_numpy_and_random_states_are_data(
    path: Path, golden: Mapping[str, Tensor], *, is_numpy_1: bool
) -> None:
    save(path, lambda content: content.update(numpy_objects()))
    if is_numpy_1:
        rewrite_records(path, of_numpy_1)

    assert_taken(path, golden)


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
def test_an_attack_is_called_one_and_not_executed(
    path: Path, tmp_path: Path, function: Callable[..., object], name: str
) -> None:
    target = tmp_path / "executed"
    command = f"touch {target}" if function is os.system else f"open({str(target)!r}, 'w')"
    save(path, lambda content: content.update(x=np.float64(1), y=Calls(function, command)))

    text = refusal(path)

    assert f"asks for {name}, as a file does that attacks whoever loads it" in text
    assert "weights_only=False" not in text
    assert not target.exists()


@pytest.mark.parametrize("function", [bytearray, torch.Tensor])
def test_more_memory_than_there_is(path: Path, function: Callable[..., object]) -> None:
    save(path, lambda content: content.update(x=Calls(function, 1 << 46)))

    assert "is not a readable torch checkpoint: " in refusal(path)


@pytest.mark.parametrize("protocol", [4, 5])
def test_another_pickle_protocol(path: Path, protocol: int) -> None:
    save(path, pickle_protocol=protocol)

    assert f"was saved with pickle_protocol={protocol}" in refusal(path)


# Checksums


def test_without_checksums(
    path: Path, golden: Mapping[str, Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    with without_checksums():
        save(path)

    assert_taken(path, golden)
    assert "was saved without checksums (146 of 146 records have none): taken, but damage" in caplog.text


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


# Other kinds of files


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
        r"is in torch's format of before version 1\.6: save it again",
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
