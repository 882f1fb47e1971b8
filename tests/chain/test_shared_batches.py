"""Every form that is served, in a real Triton: requests that share a batch each get their own answer.

`graphs` is TorchScript in the graph engine, with the stand-in for CUDA graphs.
"""

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contract.tensors import INPUT_NAMES
from export.formats.format import FORMATS
from export.network.model import NitroGen
from export.publish import export_checkpoint
from export.repository.triton_config import read_config, write_config
from export.settings import ExportOptions, FormatName, ModelSettings
from standalone.errors import StandaloneError
from tests.chain.direct import DirectCalls, Outputs, no_previous
from tests.chain.served_models import triton_serving
from tests.deploy.test_prometheus_metrics import GRAPH_METRICS
from tests.export.golden_networks import golden_network
from tests.golden import checkpoint_path
from tests.pages import page
from tests.stack import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.python_stub]

FORMS: dict[str, FormatName] = {"torchscript": "torchscript", "graphs": "torchscript", "onnx": "onnx"}
STEPS, CONTEXT = 2, 3
TOGETHER, CROWD, PAIR = "nitrogen", "crowd", "pair"
TOLERANCE = 1e-4

every_form = pytest.mark.parametrize("served", FORMS, indirect=True, scope="module")
graphs_only = pytest.mark.parametrize("served", ["graphs"], indirect=True, scope="module")

SETTINGS = ModelSettings(steps=STEPS, precision="fp32")

Samples = dict[str, NDArray[Any]]


class ReadsAValue(nn.Module):
    """Gives its noise back; for more than two samples it looks at the values, which no capture allows."""

    def forward(
        self,
        frames: Tensor,
        frame_count: Tensor,
        game_id: Tensor,
        noise: Tensor,
        previous: Tensor,
        previous_weight: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if noise.size(0) > 2 and bool(noise.isnan().any()):
            noise = torch.zeros_like(noise)
        return noise[..., :2], noise[..., 2:4], noise[..., 4:], noise


@dataclass
class Served:
    """A Triton with one form of `tiny-ctx` twice.

    `together` runs when ten samples wait, `crowd` at once, with up to 32.
    """

    form: str
    calls: DirectCalls
    log: Path

    def model(self, name: str) -> str:
        return name + FORMATS[FORMS[self.form]].suffix

    def metrics(self) -> dict[str, float]:
        """The graphs' samples on Triton's page, by their names and labels."""
        address = re.search(r"Started Metrics Service at 127.0.0.1:(\d+)", self.log.read_text())
        assert address is not None
        status, text = page(int(address[1]), "/metrics")
        assert status == 200
        return {
            name: float(value)
            for name, value in re.findall(r"^(nitrogen_graph\S+) (\S+)$", text, re.MULTILINE)
        }


def publish(form: FormatName, models: Path) -> None:
    """The same version as two models that batch differently; Triton warms neither up."""
    settings = replace(SETTINGS, formats=(form,), max_batch_size=32)
    suffix = FORMATS[form].suffix
    export_checkpoint(ExportOptions(checkpoint_path("tiny-ctx"), models, settings, name=CROWD))
    shutil.copytree(models / f"{CROWD}{suffix}", models / f"{TOGETHER}{suffix}")
    for name in (CROWD, TOGETHER):
        folder = models / f"{name}{suffix}"
        config = read_config(folder / "config.pbtxt")
        config.name = folder.name
        config.ClearField("model_warmup")
        if name == TOGETHER:
            config.max_batch_size = 12
            config.dynamic_batching.preferred_batch_size.append(10)
            config.dynamic_batching.max_queue_delay_microseconds = 20_000_000
        write_config(config, folder)


def publish_one_that_reads_a_value(models: Path, name: str = "reads", horizon: int = 18) -> None:
    folder = models / name
    (folder / "1").mkdir(parents=True)
    torch.jit.script(ReadsAValue()).save(str(folder / "1" / "model.pt"))
    config = read_config(FORMATS["torchscript"].original)
    config.name = folder.name
    config.max_batch_size = 4
    config.input[0].dims[0] = CONTEXT
    for tensor in config.input[3:]:
        tensor.dims[0] = horizon
    write_config(config, folder)


@pytest.fixture(scope="module")
def network() -> NitroGen:
    return golden_network("tiny-ctx", steps=STEPS)


@pytest.fixture(scope="module")
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("shared")
    form: str = request.param
    suffix = FORMATS[FORMS[form]].suffix
    publish(FORMS[form], folder / "models")
    names = [f"{TOGETHER}{suffix}", f"{CROWD}{suffix}"]
    with pytest.MonkeyPatch.context() as patch:
        if form == "graphs":
            patch.setenv("NITROGEN_CUDA_GRAPHS", "stand-in")
            publish_one_that_reads_a_value(folder / "models")
            publish_one_that_reads_a_value(folder / "models", "loose", horizon=-1)
            pair = replace(SETTINGS, max_batch_size=4, triton_instances=2)
            export_checkpoint(ExportOptions(checkpoint_path("tiny-ctx"), folder / "models", pair, name=PAIR))
            names += ["reads", "loose", PAIR]
        with triton_serving(folder / "models", names, folder) as port, DirectCalls(port) as calls:
            yield Served(form, calls, folder / "triton.log")


def sample(seed: int) -> Samples:
    """A request of one sample for `tiny-ctx`; every other one brings the chunk before."""
    rng = np.random.default_rng(seed)
    return {
        "frames": rng.integers(0, 256, (1, CONTEXT, 256, 256, 3), dtype=np.uint8),
        "frame_count": rng.integers(1, CONTEXT + 1, (1, 1)),
        "game_id": rng.integers(0, 6, (1, 1)),
        "noise": rng.standard_normal((1, 18, 25), dtype=np.float32),
        **(a_previous(rng) if seed % 2 else no_previous(1, 18)),
    }


def a_previous(rng: np.random.Generator) -> Samples:
    """A chunk of which one to four rows will have been pressed, and the tail of the others."""
    weight = np.zeros((1, 18), np.float32)
    delay = rng.integers(1, 5)
    weight[:, : delay + 2] = [*[1.0] * delay, 0.6, 0.3]
    return {"previous": rng.random((1, 18, 25), np.float32), "previous_weight": weight}


def together(*requests: Samples) -> Samples:
    """One request with the samples of several."""
    return {name: np.concatenate([request[name] for request in requests]) for name in INPUT_NAMES}


@pytest.fixture(scope="module")
def crowd(network: NitroGen) -> list[tuple[Samples, NDArray[np.float32]]]:
    """33 requests, and the actions that each has to get."""
    requests = [sample(seed) for seed in range(33)]
    with torch.inference_mode():
        actions = network(*map(torch.from_numpy, together(*requests).values()))[-1].numpy()
    return list(zip(requests, np.split(actions, len(requests)), strict=True))


def assert_right(outputs: Outputs, expected: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(outputs["actions"], expected, rtol=0, atol=TOLERANCE)
    assert all(np.isfinite(output).all() for output in outputs.values())


@every_form
@pytest.mark.parametrize("model", [TOGETHER, CROWD])
@pytest.mark.parametrize("order", ["AAAAABBBBB", "BBBBBAAAAA", "ABABABABAB", "AABBBABBAA"])
def test_two_clients_requests_in_any_order_each_get_their_own_answer(
    served: Served, crowd: list[tuple[Samples, NDArray[np.float32]]], model: str, order: str
) -> None:
    clients = {"A": crowd[0], "B": crowd[1]}

    replies = served.calls.streamed(served.model(model), [clients[letter][0] for letter in order])

    for letter, reply in zip(order, replies, strict=True):
        assert_right(reply, clients[letter][1])


@every_form
def test_requests_of_several_samples_share_a_batch_with_others(
    served: Served, crowd: list[tuple[Samples, NDArray[np.float32]]]
) -> None:
    groups = [crowd[:1], crowd[1:4], crowd[4:5], crowd[5:10]]

    replies = served.calls.streamed(
        served.model(TOGETHER), [together(*(request for request, _ in group)) for group in groups]
    )

    for group, reply in zip(groups, replies, strict=True):
        assert_right(reply, np.concatenate([actions for _, actions in group]))


@every_form
@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 9, 13, 17, 25, 31, 32, 33])
def test_requests_at_once_each_get_their_own_answer(
    served: Served, crowd: list[tuple[Samples, NDArray[np.float32]]], count: int
) -> None:
    with ThreadPoolExecutor(count) as pool:
        replies = list(pool.map(lambda one: served.calls.batch(served.model(CROWD), one[0]), crowd[:count]))

    for reply, (_, actions) in zip(replies, crowd, strict=False):
        assert_right(reply, actions)


@graphs_only
def test_ten_samples_run_in_the_graph_of_twelve(
    served: Served, crowd: list[tuple[Samples, NDArray[np.float32]]]
) -> None:
    of_model = f'device="cpu",model="{TOGETHER}",model_instance="{TOGETHER}_0_0",version="1"'
    names = (
        f'nitrogen_graph_runs_total{{bucket="12",{of_model}}}',
        f"nitrogen_graph_padding_total{{{of_model}}}",
    )
    runs, padding = (served.metrics()[name] for name in names)

    served.calls.streamed(TOGETHER, [request for request, _ in crowd[:10]])

    def counted() -> bool:
        return [served.metrics()[name] for name in names] == [runs + 1, padding + 2]

    wait_until(counted, "the batch and its padding are counted")
    assert served.metrics()[f"nitrogen_graph_missing_total{{{of_model}}}"] == 0


@graphs_only
def test_two_instances_answer_each_with_graphs_and_memory_of_its_own(
    served: Served, crowd: list[tuple[Samples, NDArray[np.float32]]]
) -> None:
    of_instances = [f'model="{PAIR}",model_instance="{PAIR}_0_{number}",version="1"' for number in (0, 1)]

    def runs(of_instance: str) -> float:
        return sum(
            value
            for name, value in served.metrics().items()
            if name.startswith("nitrogen_graph_runs_total") and of_instance in name
        )

    def both_have_answered() -> bool:
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda one: served.calls.batch(PAIR, one[0]), crowd[:8]))
        for reply, (_, actions) in zip(replies, crowd, strict=False):
            assert_right(reply, actions)
        return all(runs(of_instance) > warmed[of_instance] for of_instance in of_instances)

    warmed = {of_instance: runs(of_instance) for of_instance in of_instances}
    wait_until(both_have_answered, "both instances have answered")
    largest = [f'nitrogen_graph_memory_bytes{{bucket="4",device="cpu",{labels}}}' for labels in of_instances]
    memory = [served.metrics()[name] for name in largest]
    assert memory[0] == memory[1] > 0


@graphs_only
def test_every_metric_of_the_graphs_is_there(served: Served) -> None:
    assert {name.partition("{")[0] for name in served.metrics()} == GRAPH_METRICS


@graphs_only
def test_batches_that_cannot_be_recorded_are_served_without_a_graph_and_said_once(
    served: Served, crowd: list[tuple[Samples, NDArray[np.float32]]]
) -> None:
    missing = (
        'nitrogen_graph_missing_total{device="cpu",model="reads",model_instance="reads_0_0",version="1"}'
    )
    before = served.metrics()[missing]

    for rows in (1, 3, 2, 4):
        request = together(*(request for request, _ in crowd[:rows]))
        np.testing.assert_array_equal(served.calls.batch("reads", request)["actions"], request["noise"])

    wait_until(lambda: served.metrics()[missing] == before + 2, "the batches of three and four are counted")
    said = [line for line in served.log.read_text().splitlines() if "without a graph" in line]
    assert len(said) == 1
    assert "reads version 1 on cpu serves batches of 3, 4 without a graph" in said[0]


@graphs_only
def test_a_model_without_fixed_shapes_is_served_without_graphs(
    served: Served, crowd: list[tuple[Samples, NDArray[np.float32]]]
) -> None:
    request = {**crowd[0][0], "noise": np.ones((1, 7, 25), np.float32), **no_previous(1, 7)}
    np.testing.assert_array_equal(served.calls.batch("loose", request)["actions"], request["noise"])
    assert "loose is served without CUDA graphs" in served.log.read_text()


@graphs_only
def test_the_log_says_what_was_recorded(served: Served) -> None:
    log = served.log.read_text()
    assert re.search(
        r"crowd version 1 on cpu: 10 graphs recorded in [\d.]+ s; MiB of memory by batch size", log
    )


def test_a_wrong_setting_stops_the_start_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_one_that_reads_a_value(tmp_path / "models")
    monkeypatch.setenv("NITROGEN_CUDA_GRAPHS", "yes")

    with (
        pytest.raises(StandaloneError, match="NITROGEN_CUDA_GRAPHS is 'yes': give auto, off or stand-in"),
        triton_serving(tmp_path / "models", ["reads"], tmp_path),
    ):
        pass
