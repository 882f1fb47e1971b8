"""`merge_adapter` against the peft library's own loading and merging, and what it refuses."""

import contextlib
import dataclasses
import hashlib
import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from export.checkpoint.digest import ADAPTER_CONFIG_NAME as CONFIG_NAME
from export.checkpoint.digest import ADAPTER_WEIGHTS_NAME as WEIGHTS_NAME
from export.checkpoint.lora import Adapter, merge_adapter
from export.errors import AdapterError
from tests.golden import checkpoint_path

Change = Callable[[dict[str, Any]], object]
Settings = dict[str, Any]

QUERY = "model.transformer_blocks.0.attn1.to_q"
QUERY_A, QUERY_B = (f"base_model.model.{QUERY}.lora_{part}.weight" for part in "AB")
PATCHES = "vision_encoder.embeddings.patch_embedding"
HEAD = "vision_encoder.head.attention"


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    """The state_dict of a checkpoint with every kind of tensor."""
    content = torch.load(checkpoint_path("tiny-ctx"), weights_only=True, mmap=True)
    return dict(content["model"])


@pytest.fixture(scope="module")
def plain(tensors: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an adapter of the queries, rank 4."""
    folder = tmp_path_factory.mktemp("plain")
    save_adapter({"r": 4, "target_modules": ["to_q"]}, tensors, folder)
    return folder


@pytest.fixture
def folder(plain: Path, tmp_path: Path) -> Path:
    """A copy of the plain adapter, to be spoilt."""
    return Path(shutil.copytree(plain, tmp_path / "adapter"))


def module_tree(tensors: dict[str, Tensor]) -> nn.Module:
    """Modules whose state_dict has these names and values, of the classes that the reference has."""
    root = nn.Module()
    for name in {name.rpartition(".")[0]: None for name in tensors}:
        own = {
            key.removeprefix(f"{name}."): value
            for key, value in tensors.items()
            if key.startswith(f"{name}.")
        }
        if not name.startswith(f"{HEAD}."):  # attention brings its own out_proj
            add_module(root, name.split("."), leaf(own))
    root.load_state_dict(tensors, strict=True)
    return root


def add_module(root: nn.Module, path: list[str], module: nn.Module) -> None:
    for part in path[:-1]:
        if not hasattr(root, part):
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    root.add_module(path[-1], module)


def leaf(own: dict[str, Tensor]) -> nn.Module:
    if "in_proj_weight" in own:
        return nn.MultiheadAttention(own["in_proj_weight"].shape[1], num_heads=2)
    weight = own.get("weight", torch.empty(0))
    match weight.shape:
        case (outputs, inputs) if "bias" in own:
            return nn.Linear(inputs, outputs)
        case (rows, width):
            return nn.Embedding(rows, width)
        case (outputs, inputs, height, width):
            return nn.Conv2d(inputs, outputs, (height, width), stride=(height, width))
        case (width,) if width:
            return nn.LayerNorm(width)
    module = nn.Module()
    for name, value in own.items():
        if "." not in name:
            module.register_parameter(name, nn.Parameter(torch.empty_like(value)))
    return module


def peft() -> ModuleType:
    """The library, imported by the tests that use it: that takes a third of what all tests import."""
    return importlib.import_module("peft")


def save_adapter(config: Settings, tensors: dict[str, Tensor], folder: Path) -> None:
    """Save an adapter whose every trained tensor has moved away from where it started."""
    torch.manual_seed(0)
    model = peft().get_peft_model(module_tree(tensors), peft().LoraConfig(**config))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    model.save_pretrained(folder, safe_serialization=True)


def merged_by_peft(tensors: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
    model = peft().PeftModel.from_pretrained(module_tree(tensors), folder).merge_and_unload()
    return dict(model.state_dict())


def edit_config(folder: Path, **values: object) -> None:
    path = folder / CONFIG_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def edit_weights(folder: Path, change: Change) -> None:
    weights = load_file(folder / WEIGHTS_NAME)
    change(weights)
    save_file(weights, folder / WEIGHTS_NAME)


# peft 0.21 takes the bias of B, which has one dimension, for the shard of a weight.
@pytest.mark.filterwarnings("ignore:Adapter 'default'.*lora_B.bias:peft.utils.warning.PeftWarning")
@pytest.mark.parametrize(
    "config",
    {
        "plain": {"r": 4, "lora_alpha": 16, "target_modules": ["to_q", "to_v", "to_out.0", "fc1"]},
        "rslora": {"r": 4, "lora_alpha": 16, "use_rslora": True, "target_modules": ["to_q"]},
        "rank and alpha patterns": {
            "r": 2,
            "lora_alpha": 3,
            "target_modules": ["to_q", "to_k", "q_proj"],
            "rank_pattern": {r"[01]\.attn1\.to_q": 5, "to_q": 7, "^vision_encoder.*": 3},
            "alpha_pattern": {"attn1.to_k": 9, "model.transformer_blocks.2.attn1.to_k": 1, "q_proj": 0.5},
        },
        "patterns with rslora": {
            "target_modules": ["to_q"],
            "rank_pattern": {"0.attn1.to_q": 3},
            "use_rslora": True,
        },
        "regular expression": {"target_modules": r"(vl_self_attention_)?model\..*\.[02]\..*to_[qk]"},
        "all-linear": {"r": 2, "target_modules": "all-linear"},
        "all-linear, some excluded": {
            "r": 2,
            "target_modules": "all-linear",
            "exclude_modules": r"vision_encoder\..*|.*ff.*",
        },
        "list of excluded": {"target_modules": ["to_q", "to_k"], "exclude_modules": ["0.attn1.to_q", "to_k"]},
        "layers": {"target_modules": ["to_q", "ff.net.0.proj", "linear_1"], "layers_to_transform": [0, 2]},
        "one layer of a pattern": {
            "target_modules": ["to_q", "q_proj"],
            "layers_to_transform": 1,
            "layers_pattern": "layers",
        },
        "convolution": {"r": 4, "lora_alpha": 2, "target_modules": ["patch_embedding"]},
        "embeddings": {"r": 3, "lora_alpha": 5, "target_modules": ["position_embedding", "game_embedding"]},
        "dora": {"r": 4, "use_dora": True, "target_modules": ["to_q", "fc1"]},
        "dora of a convolution and embeddings": {
            "r": 4,
            "use_dora": True,
            "use_rslora": True,
            "target_modules": ["patch_embedding", "game_embedding"],
        },
        "lora_bias": {
            "r": 4,
            "lora_alpha": 16,
            "lora_bias": True,
            "target_modules": ["to_q", "patch_embedding"],
        },
        "modules_to_save": {
            "target_modules": ["to_q"],
            "modules_to_save": ["action_encoder", "proj_out_2", "attn1.to_k"],
        },
        "modules_to_save of two models' blocks": {
            "target_modules": ["q_proj"],
            "modules_to_save": ["model.transformer_blocks.0"],
        },
        "bias of the targets": {
            "target_modules": rf"{QUERY}|{PATCHES}",
            "bias": "lora_only",
            "lora_bias": True,
        },
        "every bias": {"target_modules": ["to_q"], "bias": "all"},
        "orthogonal from the start": {"target_modules": ["to_q"], "init_lora_weights": "orthogonal"},
        "B frozen": {"target_modules": ["to_q"], "init_lora_weights": "mica"},
    }.items(),
    ids=lambda item: item[0],
)
def test_the_merge_is_pefts(config: tuple[str, Settings], tensors: dict[str, Tensor], tmp_path: Path) -> None:
    save_adapter(config[1], tensors, tmp_path)

    merged, adapter = merge_adapter(tensors, tmp_path)

    expected = merged_by_peft(tensors, tmp_path)
    assert list(merged) == list(tensors)
    for name, tensor in merged.items():
        torch.testing.assert_close(
            tensor, expected[name], rtol=0, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )
    changed = {name for name, tensor in tensors.items() if not torch.equal(tensor, expected[name])}
    assert changed == set(adapter.changed) != set()
    assert all(merged[name] is tensors[name] for name in tensors if name not in adapter.changed)


def test_what_identifies_an_adapter(tensors: dict[str, Tensor], plain: Path, folder: Path) -> None:
    _, adapter = merge_adapter(tensors, plain)
    _, copied = merge_adapter(tensors, folder)
    edit_config(folder, lora_alpha=9)
    _, with_other_config = merge_adapter(tensors, folder)
    edit_config(folder, lora_alpha=8)
    edit_weights(folder, lambda weights: weights[QUERY_A].mul_(2))
    _, with_other_weights = merge_adapter(tensors, folder)

    digests = [
        hashlib.sha256((plain / name).read_bytes()).hexdigest() for name in (CONFIG_NAME, WEIGHTS_NAME)
    ]
    blocks = [f"model.transformer_blocks.{index}" for index in range(3)]
    blocks += [f"vl_self_attention_model.transformer_blocks.{index}" for index in range(2)]
    assert adapter == Adapter(
        folder=plain,
        sha256=hashlib.sha256("".join(digests).encode()).hexdigest(),
        changed=tuple(f"{block}.attn1.to_q.weight" for block in blocks),
    )
    assert copied.sha256 == adapter.sha256
    assert len({adapter.sha256, with_other_config.sha256, with_other_weights.sha256}) == 3


def test_a_checkpoint_in_bfloat16_is_merged_in_float32(tensors: dict[str, Tensor], plain: Path) -> None:
    halved = {name: tensor.bfloat16() for name, tensor in tensors.items()}

    merged, adapter = merge_adapter(halved, plain)

    expected, _ = merge_adapter({name: tensor.float() for name, tensor in halved.items()}, plain)
    for name in adapter.changed:
        torch.testing.assert_close(merged[name], expected[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    "rename",
    [
        lambda key: key.removeprefix("base_model.model."),
        lambda key: key.replace(".weight", ".default.weight"),
    ],
)
def test_keys_as_a_models_own_state_dict_has_them(
    tensors: dict[str, Tensor], plain: Path, folder: Path, rename: Callable[[str], str]
) -> None:
    weights = load_file(plain / WEIGHTS_NAME)
    save_file({rename(key): value for key, value in weights.items()}, folder / WEIGHTS_NAME)

    merged, _ = merge_adapter(tensors, folder)

    expected, _ = merge_adapter(tensors, plain)
    assert all(torch.equal(merged[name], expected[name]) for name in tensors)


def test_settings_of_the_training_change_nothing(
    tensors: dict[str, Tensor], plain: Path, folder: Path
) -> None:
    edit_config(
        folder, lora_dropout=0.5, task_type="FEATURE_EXTRACTION", fan_in_fan_out=True, a_newer_one=None
    )

    merged, _ = merge_adapter(tensors, folder)

    expected, _ = merge_adapter(tensors, plain)
    assert all(torch.equal(merged[name], expected[name]) for name in tensors)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"peft_type": "LOHA"}, "peft_type: Input should be 'LORA', not 'LOHA'"),
        ({"target_modules": None}, "target_modules: .* not None"),
        (
            {"target_modules": ["to_q", "to_w"]},
            "names 'to_w' in target_modules .* not a module of the checkpoint",
        ),
        (
            {"modules_to_save": ["lm_head"]},
            "names 'lm_head' in target_modules or modules_to_save, which is not a",
        ),
        ({"target_modules": "to_q"}, "targets no module of the checkpoint"),
        ({"exclude_modules": ["to_q"]}, "targets no module of the checkpoint"),
        ({"target_modules": ["W1"]}, r"selects action_encoder\.W1, .* \(it holds W, b\): train it whole"),
        ({"target_modules": "model"}, r"selects model, .* \(it holds only modules\)"),
        (
            {"target_modules": ["norm3"]},
            r"selects vl_self_attention_model\..*\.norm3, .* \(it holds weight, bias",
        ),
        ({"target_modules": "to_q("}, r"'to_q\(' is not a regular expression: missing \)"),
        (
            {"target_modules": ".{9999999999}"},
            "is not a regular expression: the repetition number is too large",
        ),
        ({"rank_pattern": {"[": 2}}, "is not a regular expression: unterminated character set"),
        ({"layers_to_transform": 0, "target_modules": ".*"}, "need target_modules to be a list"),
        ({"layers_pattern": "blocks"}, "layers_pattern needs layers_to_transform"),
        ({"r": 0}, "r: Input should be greater than 0, not 0"),
        ({"r": "4"}, "r: Input should be a valid integer, not '4'"),
        ({"rank_pattern": {"to_q": 2.5}}, "rank_pattern: .* integer, not 2.5"),
        ({"lora_alpha": float("inf")}, "lora_alpha: Input should be a finite number, not inf"),
        ({"lora_alpha": 1e60}, "to_q.weight is not finite once merged: is lora_alpha right"),
        ({"bias": "some"}, "bias: Input should be 'none', 'all' or 'lora_only', not 'some'"),
        ({"use_rslora": 1}, "use_rslora: Input should be a valid boolean, not 1"),
        ({"use_dora": True, "lora_bias": True}, "use_dora and lora_bias exclude each other"),
        ({"init_lora_weights": "pissa_niter_4"}, "'pissa_niter_4', which changed the base weights"),
        ({"init_lora_weights": "loftq"}, "'loftq', which changed the base weights"),
        (
            {"target_parameters": ["action_encoder.W1.W"]},
            r"target_parameters is \['action_encoder.W1.W'\], which",
        ),
        ({"trainable_token_indices": [1]}, r"trainable_token_indices is \[1\], which cannot be merged"),
        ({"layer_replication": [[0, 1]]}, r"layer_replication is \[\[0, 1\]\], which cannot be merged"),
        ({"model_config": 1}, "model_config is 1, which cannot be merged"),
        ({"a_newer_one": 7}, "a_newer_one is 7, which cannot be merged"),
        ({"r": 5}, r"lora_A.weight has shape \(4, 64\) instead of \(5, 64\)"),
        ({"rank_pattern": {"0.attn1.to_q": 2}}, r"lora_B.weight has shape \(64, 4\) instead of \(64, 2\)"),
        ({"use_dora": True}, "to_q.lora_magnitude_vector is missing"),
        ({"lora_bias": True}, "to_q.lora_B.bias is missing"),
        ({"bias": "all"}, "patch_embedding.bias is missing"),
        ({"modules_to_save": ["W1"]}, "action_encoder.W1.W is missing; action_encoder.W1.b is missing"),
        ({"target_modules": ["to_q", "to_k"]}, "to_k.lora_A.weight is missing; .*, and 5 more"),
        ({"target_modules": [QUERY]}, "is for .*to_q, which the configuration does not target"),
    ],
)
def test_a_configuration_that_cannot_be_merged(
    tensors: dict[str, Tensor], folder: Path, values: dict[str, object], message: str
) -> None:
    edit_config(folder, **values)

    with pytest.raises(AdapterError, match=message):
        merge_adapter(tensors, folder)


def swap(key: str, other: str) -> Change:
    return lambda weights: weights.update({other: weights.pop(key)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop(QUERY_B), f"{QUERY}.lora_B.weight is missing"),
        (lambda weights: weights.clear(), "is missing"),
        (
            lambda weights: weights.update({QUERY_A: torch.ones(4, 63)}),
            rf"{QUERY}.lora_A.weight has shape \(4, 63\) instead of \(4, 64\)",
        ),
        (
            lambda weights: weights.update({QUERY_B: torch.ones(64, 4, dtype=torch.int8)}),
            f"{QUERY}.lora_B.weight has type torch.int8 instead of a float",
        ),
        (
            lambda weights: weights.update({QUERY_A: torch.ones(4, 64, dtype=torch.float8_e4m3fn)}),
            f"{QUERY}.lora_A.weight has type torch.float8_e4m3fn instead of a float",
        ),
        (lambda weights: weights[QUERY_A].fill_(torch.nan), "lora_A.weight has values that are not finite"),
        (lambda weights: weights[QUERY_B].fill_(torch.inf), "lora_B.weight has values that are not finite"),
        (
            lambda weights: weights.update({f"{QUERY}.weight": torch.ones(64, 64)}),
            f"{QUERY}.weight is not expected",
        ),
        (
            lambda weights: weights.update({f"{QUERY}.lora_magnitude_vector": torch.ones(64)}),
            f"{QUERY}.lora_magnitude_vector is not expected",
        ),
        (
            lambda weights: weights.update({"base_model.model.lm_head.lora_A.weight": torch.ones(4, 64)}),
            "lm_head.lora_A.weight is for lm_head, which is not a module of the checkpoint",
        ),
        (
            lambda weights: weights.update({f"{QUERY}.lora_A.weight": torch.ones(4, 64)}),
            f"holds {QUERY}.lora_A.weight twice",
        ),
        (swap(QUERY_A, QUERY_A.replace("lora_A", "lora_A.other")), "lora_A.weight is missing"),
    ],
)
def test_weights_that_do_not_fit(
    tensors: dict[str, Tensor], folder: Path, change: Change, message: str
) -> None:
    edit_weights(folder, change)

    with pytest.raises(AdapterError, match=message):
        merge_adapter(tensors, folder)


def test_no_configuration(tensors: dict[str, Tensor], folder: Path) -> None:
    (folder / CONFIG_NAME).unlink()

    with pytest.raises(
        AdapterError, match=r"no .*adapter_config\.json .*: give the folder of a PEFT adapter"
    ):
        merge_adapter(tensors, folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b"{}"])
def test_a_configuration_that_is_invalid(tensors: dict[str, Tensor], folder: Path, content: bytes) -> None:
    (folder / CONFIG_NAME).write_bytes(content)

    with pytest.raises(AdapterError, match=r"adapter_config\.json cannot be used"):
        merge_adapter(tensors, folder)


def test_no_weights(tensors: dict[str, Tensor], folder: Path) -> None:
    (folder / WEIGHTS_NAME).unlink()

    with pytest.raises(AdapterError, match=r"no adapter weights at .*: copy it there"):
        merge_adapter(tensors, folder)


def test_a_pickled_adapter_is_never_opened(tensors: dict[str, Tensor], folder: Path) -> None:
    (folder / WEIGHTS_NAME).rename(folder / "adapter_model.bin")

    with pytest.raises(AdapterError, match=r"convert adapter_model\.bin, as only safetensors are read"):
        merge_adapter(tensors, folder)


def test_weights_that_are_a_folder(tensors: dict[str, Tensor], folder: Path) -> None:
    (folder / WEIGHTS_NAME).unlink()
    (folder / WEIGHTS_NAME).mkdir()

    with pytest.raises(AdapterError, match="is not a whole safetensors file"):
        merge_adapter(tensors, folder)


# Every example spoils the file again, whatever the ones before left.
each_example_spoils_again = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@each_example_spoils_again
@given(data=st.data())
def test_a_cut_off_file(data: st.DataObject, tensors: dict[str, Tensor], plain: Path, folder: Path) -> None:
    content = (plain / WEIGHTS_NAME).read_bytes()
    (folder / WEIGHTS_NAME).write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])

    with pytest.raises(AdapterError, match="is not a whole safetensors file"):
        merge_adapter(tensors, folder)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(alphabet="to_q.[](){}|?^$\\\\01", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["to_q", ".", "["]), inner),
    max_leaves=4,
)
names = st.deferred(lambda: st.sampled_from([field.name for field in dataclasses.fields(peft().LoraConfig)]))
keys = names | st.text(max_size=12)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of re, about patterns such as [[
@each_example_spoils_again
@given(values=st.dictionaries(keys, json_values, max_size=3))
def test_any_configuration_is_merged_or_refused(
    values: dict[str, object], tensors: dict[str, Tensor], plain: Path, folder: Path
) -> None:
    (folder / CONFIG_NAME).write_text((plain / CONFIG_NAME).read_text())
    edit_config(folder, **values)

    with contextlib.suppress(AdapterError):
        merged, _ = merge_adapter(tensors, folder)
        assert {name: value.shape for name, value in merged.items()} == {
            name: value.shape for name, value in tensors.items()
        }
