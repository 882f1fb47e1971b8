"""How many operations a frame takes: on a GPU, one player waits for the launch of each of them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from export.checkpoint.demo import write_demo_checkpoint
from export.checkpoint.reader import read_checkpoint
from export.formats.onnx_network import network_graph
from export.formats.self_check import check_inputs
from export.network.model import NitroGen, Sampling
from export.network.precision import lower_precision
from export.network.weights import load_model
from export.settings import Precision
from tests.export.golden_networks import golden_network

Network = Callable[[int], NitroGen]


class OperationCounts(TorchDispatchMode):
    """Counts the operations that compute something, and the views, which cost the CPU alone."""

    def __init__(self) -> None:
        super().__init__()
        self.computed = self.viewed = 0

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - PyTorch's own
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - likewise
        if func.is_view or func is torch.ops.aten._unsafe_view.default:
            self.viewed += 1
        else:
            self.computed += 1
        return func(*args, **(kwargs or {}))


def operations(network: NitroGen) -> tuple[int, int]:
    """A frame's operations that compute, and its views."""
    given = check_inputs(network, batch=1, seed=0)
    # Inference mode would count a composite operation as one, whatever it is made of.
    with torch.no_grad(), OperationCounts() as counts:
        network(*given)
    return counts.computed, counts.viewed


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """The demo's network, by its sampler steps; it has the released one's depth."""
    folder = tmp_path_factory.mktemp("demo")
    checkpoint = read_checkpoint(write_demo_checkpoint(folder), folder)
    return lambda steps: load_model(checkpoint, Sampling(context_length=1, steps=steps, cfg_scale=1.0))


def build(name: str, demo: Network, steps: int, precision: Precision) -> NitroGen:
    network = demo(steps) if name == "demo" else golden_network(name, steps=steps)
    lower_precision(network, precision)
    return network


@pytest.mark.parametrize(
    ("name", "precision", "frame", "step"),
    [
        ("tiny", "fp32", (113, 163), (42, 75)),
        ("tiny", "bf16", (131, 163), (50, 75)),
        ("tiny-ctx", "bf16", (153, 181), (53, 75)),
        ("demo", "fp32", (403, 654), (92, 158)),
        ("demo", "bf16", (479, 654), (110, 158)),
    ],
)
def test_operations_that_compute_and_views_are_no_more(
    demo: Network, name: str, precision: Precision, frame: tuple[int, int], step: tuple[int, int]
) -> None:
    """`frame`: of one sampler step; `step`: of each further one."""
    one, two = (operations(build(name, demo, steps, precision)) for steps in (1, 2))

    for of_one, of_two, in_frame, in_step in zip(one, two, frame, step, strict=True):
        assert of_one <= in_frame
        assert of_two - of_one <= in_step


@pytest.mark.parametrize(
    ("name", "precision", "frame", "step"),
    [
        ("tiny", "fp32", 217, 74),
        ("tiny", "fp16", 268, 98),
        ("tiny-ctx", "fp16", 289, 107),
        ("demo", "fp32", 853, 174),
        ("demo", "fp16", 1078, 228),
    ],
)
def test_nodes_of_the_onnx_graph_are_no_more(
    demo: Network, name: str, precision: Precision, frame: int, step: int
) -> None:
    one, two = (len(network_graph(build(name, demo, steps, precision)).nodes) for steps in (1, 2))

    assert one <= frame
    assert two - one <= step
