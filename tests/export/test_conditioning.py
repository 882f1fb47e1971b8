"""Chunk conditioning in both graph formats, against a naive sampler, and without it bit for bit as before."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from export.formats.format import FORMATS
from export.formats.onnx_graph import load_onnx
from export.formats.self_check import Graph, Inputs
from export.network.model import NitroGen
from export.network.precision import lower_precision
from export.settings import FormatName, Precision
from gateway.protocol.conditioning import Conditioning, conditioning_on
from gateway.protocol.messages import Previous
from tests.export.exported_before import NetworkBefore, save_onnx_before
from tests.export.golden_networks import golden_inputs, golden_network
from tests.golden import ACTIONS_TOLERANCE, CHECKPOINTS, GoldenCase, golden_cases

CASES = {name: list(golden_cases(name)) for name in CHECKPOINTS}
NAN, INFINITY, HUGE = float("nan"), float("inf"), 3e38

every_format = pytest.mark.parametrize("form", FORMATS)
every_checkpoint = pytest.mark.parametrize("name", CHECKPOINTS)

network = functools.cache(golden_network)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> "Graphs":
    return Graphs(tmp_path_factory.mktemp("conditioning"))


class Graphs:
    """Saved and loaded graphs of golden networks, each made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.get = functools.cache(self._made)

    def _made(self, form: FormatName, name: str, cfg_scale: float, steps: int | None = None) -> Graph:
        writer = FORMATS[form].writer()
        path = self._folder / f"{form}-{name}-{cfg_scale}-{steps}"
        writer.save(network(name, cfg_scale, steps=steps), path)
        return writer.load(path)


def naive(model: NitroGen, inputs: Inputs) -> NDArray[np.float64]:
    """x(1) by the formula of docs/reference/model.md, all but the network in float64."""
    frames, frame_count, game_id, noise, previous, weight = inputs
    keys_values = model.dit.attend_to(model.mix(model.tokens(frames, frame_count, game_id)))
    steps, x = model.steps, noise.double().numpy()
    wanted, w = previous.double().numpy(), weight.double().numpy()[..., np.newaxis]
    beta = min(5, steps)
    for i in range(steps):
        t = i / steps
        velocity = model.increment(torch.from_numpy(x).float(), i, keys_values).double().numpy() * steps
        g = beta if i == 0 else min(beta, (t**2 + (1 - t) ** 2) / (t * (1 - t)))
        velocity = velocity + g * w * (wanted - (x + (1 - t) * velocity))
        x = x + velocity / steps
    return np.where(w == 1, wanted, x)


def rows_to_fit(count: int, delay: int) -> Previous:
    rng = np.random.default_rng(count + delay)
    return Previous(
        buttons=rng.integers(0, 2, (count, 21)).astype(np.float32),
        j_left=rng.uniform(-1, 1, (count, 2)).astype(np.float32),
        j_right=rng.uniform(-1, 1, (count, 2)).astype(np.float32),
        delay=delay,
    )


def conditioned(case: GoldenCase, conditioning: Conditioning) -> Inputs:
    given = golden_inputs(case)[:4]
    return (*given, *(torch.from_numpy(each)[None] for each in (conditioning.previous, conditioning.weight)))


@every_format
@pytest.mark.parametrize("delay", [1, 3, 8])
@pytest.mark.parametrize("steps", [None, 3, 16])
@pytest.mark.parametrize(
    ("name", "cfg_scale"), [(name, scale) for name in CHECKPOINTS for scale in (1.0, 2.0)], ids=str
)
def test_a_chunk_is_the_naive_samplers(
    graphs: Graphs, form: FormatName, name: str, cfg_scale: float, steps: int | None, delay: int
) -> None:
    model = network(name, cfg_scale, steps=steps)
    conditioning = conditioning_on(rows_to_fit(12, delay), model.horizon, old_layout=model.old_layout)
    inputs = conditioned(CASES[name][0], conditioning)

    actions = graphs.get(form, name, cfg_scale, steps)(inputs)[-1].numpy()

    np.testing.assert_allclose(actions, naive(model, inputs), rtol=0, atol=ACTIONS_TOLERANCE)
    np.testing.assert_array_equal(actions[0, :delay], conditioning.previous[:delay])


@every_checkpoint
@pytest.mark.parametrize("old_layout", [False, True])
def test_rows_that_will_have_been_pressed_come_back_as_they_were_sent(name: str, old_layout: bool) -> None:
    previous = rows_to_fit(12, delay=3)
    model = golden_network(name, old_layout=old_layout)
    inputs = conditioned(CASES[name][0], conditioning_on(previous, model.horizon, old_layout=old_layout))

    j_left, j_right, buttons, _ = (output[0].numpy() for output in model(*inputs))

    np.testing.assert_array_equal(buttons[:3], previous.buttons[:3])
    np.testing.assert_allclose(j_left[:3], previous.j_left[:3], atol=1e-6)
    np.testing.assert_allclose(j_right[:3], previous.j_right[:3], atol=1e-6)


@pytest.fixture(scope="module")
def onnx_before(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, float], Graph]:
    """ONNX graphs without the nodes of chunk conditioning, each made once."""
    path = tmp_path_factory.mktemp("before") / "model.onnx"

    def made(name: str, cfg_scale: float) -> Graph:
        save_onnx_before(network(name, cfg_scale), path)
        return load_onnx(path)

    return functools.cache(made)


@pytest.mark.parametrize(
    ("name", "case"),
    [pytest.param(name, case, id=f"{name}-{case.index}") for name in CHECKPOINTS for case in CASES[name]],
)
def test_without_a_previous_chunk_every_case_is_answered_as_before(
    graphs: Graphs, onnx_before: Callable[[str, float], Graph], name: str, case: GoldenCase
) -> None:
    inputs = golden_inputs(case)
    before = {
        "torchscript": NetworkBefore(network(name, case.cfg_scale))(*inputs[:4])[-1],
        "onnx": onnx_before(name, case.cfg_scale)(inputs)[-1],
    }

    for form in FORMATS:
        assert torch.equal(graphs.get(form, name, case.cfg_scale)(inputs)[-1], before[form])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@every_checkpoint
def test_without_a_previous_chunk_low_precision_answers_as_before(name: str, precision: Precision) -> None:
    model = golden_network(name)
    lower_precision(model, precision)
    inputs = golden_inputs(CASES[name][0])

    assert torch.equal(model(*inputs)[-1], NetworkBefore(model)(*inputs[:4])[-1])


@every_format
@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY, HUGE, -HUGE])
@pytest.mark.parametrize("where", ["previous", "weight"])
def test_a_wild_sample_does_not_change_the_others(
    graphs: Graphs, form: FormatName, value: float, where: str
) -> None:
    graph = graphs.get(form, "tiny-ctx", 1.0)
    cases = CASES["tiny-ctx"][:3]
    conditioning = conditioning_on(rows_to_fit(6, 2), 18, old_layout=False)
    *given, previous, weight = golden_inputs(*cases)
    previous[1:], weight[1:] = torch.from_numpy(conditioning.previous), torch.from_numpy(conditioning.weight)
    calm = graph((*given, previous, weight))[-1]
    previous, weight = previous.clone(), weight.clone()
    if where == "previous":
        previous[1, 0, 0] = value
    else:
        weight[1, 0] = value

    actions = graph((*given, previous, weight))[-1]

    assert torch.equal(actions[[0, 2]], calm[[0, 2]])
    assert calm.isfinite().all()
    assert where == "previous" or actions.isfinite().all()


@every_format
@pytest.mark.parametrize(
    ("sent", "taken"), [(NAN, 0), (-0.5, 0), (-HUGE, 0), (-INFINITY, 0), (1.5, 1), (HUGE, 1), (INFINITY, 1)]
)
def test_weights_out_of_range_are_clamped_and_nan_is_no_weight(
    graphs: Graphs, form: FormatName, sent: float, taken: float
) -> None:
    graph = graphs.get(form, "tiny-ctx", 1.0)
    inputs = conditioned(CASES["tiny-ctx"][0], conditioning_on(rows_to_fit(6, 2), 18, old_layout=False))
    weights = [inputs[-1].clone() for _ in range(2)]
    for weight, value in zip(weights, (sent, taken), strict=True):
        weight[0, 3] = value

    answers = [graph((*inputs[:-1], weight))[-1] for weight in weights]

    assert torch.equal(*answers)


@every_format
@pytest.mark.parametrize("value", [NAN, INFINITY, HUGE])
def test_rows_of_previous_without_weight_are_not_looked_at(
    graphs: Graphs, form: FormatName, value: float
) -> None:
    graph = graphs.get(form, "tiny-ctx", 1.0)
    *given, previous, weight = conditioned(
        CASES["tiny-ctx"][0], conditioning_on(rows_to_fit(6, 2), 18, old_layout=False)
    )
    wild = torch.where(weight[..., None] == 0, value, previous)

    assert torch.equal(graph((*given, wild, weight))[-1], graph((*given, previous, weight))[-1])
