"""The graph that goes to Triton: what its input types can hold, it answers; and it holds no device."""

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from export.formats.format import FORMATS
from export.formats.self_check import check_graph, check_inputs, reference_answers
from export.formats.torchscript import load_torchscript, save_torchscript
from export.network.model import NitroGen
from export.repository.triton_config import read_config
from tests.export.golden_networks import golden_network
from tests.golden import CHECKPOINTS

INT64 = torch.iinfo(torch.int64)


@pytest.fixture(scope="module", params=itertools.product(CHECKPOINTS, (1.0, 2.0)), ids=str)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[NitroGen, Path]:
    model = golden_network(*request.param, steps=2)
    path = tmp_path_factory.mktemp("saved") / "model.pt"
    save_torchscript(model, path)
    return model, path


def test_the_saved_graph_computes_the_same(saved: tuple[NitroGen, Path]) -> None:
    model, path = saved

    accuracy = check_graph(load_torchscript(path), reference_answers(model), "fp32")
    assert accuracy.max_difference <= 5e-5


def test_the_graph_runs_on_the_meta_device(saved: tuple[NitroGen, Path]) -> None:
    model, path = saved
    loaded = torch.jit.load(str(path), map_location="meta")

    outputs = loaded(*(tensor.to("meta") for tensor in check_inputs(model, batch=2, seed=0)))

    assert [tuple(output.shape) for output in outputs] == [
        (2, model.horizon, width) for width in (2, 2, 21, 25)
    ]
    assert all(output.device.type == "meta" and output.dtype == torch.float32 for output in outputs)


def test_arguments_are_the_configured_inputs(saved: tuple[NitroGen, Path]) -> None:
    _, path = saved
    schema = torch.jit.load(str(path)).forward.schema

    assert [argument.name for argument in schema.arguments[1:]] == [
        tensor.name for tensor in read_config(FORMATS["torchscript"].original).input
    ]
    assert str(schema.returns[0].type) == "Tuple[Tensor, Tensor, Tensor, Tensor]"


@pytest.mark.parametrize("value", [INT64.min, -1, 0, 7, INT64.max])
def test_counts_and_games_out_of_range_are_clamped(saved: tuple[NitroGen, Path], value: int) -> None:
    model, path = saved
    loaded = torch.jit.load(str(path))
    frames, _, _, *rest = check_inputs(model, batch=1, seed=0)
    wild = torch.tensor([[value]])
    count = wild.clamp(1, model.context_length)
    game = wild.clamp(0, max(model.game_rows.size(0) - 1, 0))

    assert torch.equal(loaded(frames, wild, wild, *rest)[-1], loaded(frames, count, game, *rest)[-1])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -3e38])
def test_wild_noise_does_not_raise(saved: tuple[NitroGen, Path], value: float) -> None:
    model, path = saved
    frames, count, game, noise, *rest = check_inputs(model, batch=1, seed=0)

    outputs = torch.jit.load(str(path))(frames, count, game, torch.full_like(noise, value), *rest)

    assert outputs[-1].shape == noise.shape


def run(model: NitroGen, frames: Tensor, count: int) -> Tensor:
    _, _, *rest = check_inputs(model, batch=1, seed=0)
    actions: Tensor = model(frames, torch.tensor([[count]]), *rest)[-1]
    return actions


def test_unused_slots_are_ignored_and_used_ones_are_not() -> None:
    model = golden_network("tiny-ctx", steps=2)
    frames = check_inputs(model, batch=1, seed=0)[0]
    changed = frames.clone()
    changed[0, 0] = 255 - changed[0, 0]

    assert torch.equal(run(model, frames, count=2), run(model, changed, count=2))
    assert not torch.equal(run(model, frames, count=3), run(model, changed, count=3))


def test_guidance_ignores_the_game() -> None:
    frames, count, game, *rest = check_inputs(golden_network("tiny-ctx", steps=2), batch=1, seed=0)
    guided, plain = golden_network("tiny-ctx", 2.0, steps=2), golden_network("tiny-ctx", steps=2)
    other = (game + 1) % 6

    assert torch.equal(guided(frames, count, game, *rest)[-1], guided(frames, count, other, *rest)[-1])
    assert not torch.equal(plain(frames, count, game, *rest)[-1], plain(frames, count, other, *rest)[-1])


def test_one_sample_of_a_batch_does_not_see_the_others() -> None:
    model = golden_network("tiny-ctx", steps=2)
    batch = check_inputs(model, batch=3, seed=0)
    alone = [model(*(tensor[index : index + 1] for tensor in batch))[-1] for index in range(3)]

    torch.testing.assert_close(model(*batch)[-1], torch.cat(alone), rtol=0, atol=5e-5)
