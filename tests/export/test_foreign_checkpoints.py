"""Names, configurations and tables of weights as forks and training programs write them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from export.checkpoint.reader import read_checkpoint
from tests.export.foreign_checkpoints import (
    PROBE,
    Change,
    Content,
    assert_taken,
    folder_with_tower,
    golden_weights,
    inserted,
    raised,
    refusal,
    renamed,
    save,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return folder_with_tower(tmp_path)


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
    path: Path, change: Change, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    save(path, change)

    assert_taken(path)
    assert "have a prefix or a wrapper's name in them, which is left out: " in caplog.text


def test_two_names_that_come_to_the_same(path: Path) -> None:
    save(path, lambda content: content["model"].update({f"module.{PROBE}": content["model"][PROBE]}))

    assert f"module.{PROBE} is there under another name as well" in refusal(path)


def test_a_tensor_that_the_model_does_not_have(path: Path) -> None:
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


def test_without_the_pooling_head(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    save(path, without_head)

    assert_taken(path)
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
        (lambda content: content.update(ckpt_config={}), "ckpt_config is empty, so nothing says which"),
        (
            lambda content: content.update(ckpt_config={"lr": 1e-4}),
            "ckpt_config holds neither model_cfg nor tokenizer_cfg",
        ),
        (lambda content: content.pop("ckpt_config"), "has no ckpt_config, so nothing says which model"),
        (lambda content: content.update(ckpt_config="{}"), "ckpt_config is not a dict but a str"),
        (
            lambda content: content.update(config=content.pop("ckpt_config")),
            "has its configuration under c['config'] instead of ckpt_config",
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
    beside: Callable[[dict[str, Tensor]], Content],
    key: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    save(path, lambda content: content.update(beside(raised(content["model"]))))

    assert_taken(path)
    assert (
        f"also holds averaged (EMA) weights under {key}: exporting the weights under model; "
        f"--weights {key} exports the others" in caplog.text
    )
    caplog.clear()
    chosen = read_checkpoint(path, path.parent, weights=key).tensors
    assert torch.equal(chosen[PROBE], golden_weights()[PROBE] + 0.01)
    assert caplog.text == ""


@pytest.mark.parametrize("squashed", [False, True])
def test_averaged_weights_in_the_same_table(
    path: Path, caplog: pytest.LogCaptureFixture, *, squashed: bool
) -> None:
    def change(content: Content) -> None:
        weights = content["model"]
        content["model"] = {f"online_model.{name}": tensor for name, tensor in weights.items()}
        for name, tensor in raised(weights).items():
            content["model"][f"ema_model.{name.replace('.', '') if squashed else name}"] = tensor
        content["model"]["step"] = torch.tensor([3])

    save(path, change)

    assert_taken(path)
    assert "--weights model.ema_model exports the others" in caplog.text
    chosen = read_checkpoint(path, path.parent, weights="model.ema_model").tensors
    assert torch.equal(chosen[PROBE], golden_weights()[PROBE] + 0.01)


def test_averaged_weights_without_names_are_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(path, lambda content: content.update(ema={"shadow_params": list(content["model"].values())}))

    assert_taken(path)
    assert "also holds averaged weights under ema.shadow_params, a list without names" in caplog.text


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda content: content.update(state_dict=content.pop("model")), "state_dict"),
        (lambda content: content.update(net={"weights": content.pop("model")}), "net.weights"),
        (lambda content: content.update(content.pop("model")), "."),
    ],
)
def test_weights_under_another_key(path: Path, change: Change, key: str) -> None:
    save(path, change)

    assert f"instead of model: give --weights {key}" in refusal(path)
    assert_taken(path, key)


@pytest.mark.parametrize("key", ["ema", "optimizer", "ckpt_config", "mod"])
def test_a_key_without_weights_is_told_those_that_have_some(path: Path, key: str) -> None:
    save(path)

    assert f"--weights {key}: {path} has no single table of weights there, its weights are under model" in (
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

    assert "none of its keys ('ckpt_config', 'step', 'epoch') has weights" in refusal(path)


def test_an_optimizer_is_no_table_of_weights(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def change(content: Content) -> None:
        state = {index: {"exp_avg": tensor} for index, tensor in enumerate(content["model"].values())}
        content["optimizer"] = {"state": state, "param_groups": [{"lr": 1e-4, "params": list(state)}]}

    save(path, change)

    assert_taken(path)
    assert caplog.text == ""
