"""Linear maps that are packed for a CPU, without Triton."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from export.formats.self_check import Inputs, Outputs, check_graph, reference_answers
from export.formats.torchscript import save_torchscript
from export.network.model import NitroGen
from export.network.precision import lower_precision
from export.settings import Precision
from standalone.backends.pytorch.packed_linears import pack_linears
from tests.export.golden_networks import golden_network

FP32_TOLERANCE = 5e-5  # as for the golden cases

# The types that oneDNN multiplies on this CPU.
PACKED = {"fp32", "bf16"} if torch.ops.mkldnn._is_mkldnn_bf16_supported() else {"fp32"}


def loaded(model: NitroGen, precision: Precision, folder: Path) -> Any:  # noqa: ANN401 - PyTorch has no type for it
    lower_precision(model, precision)
    save_torchscript(model, folder / "model.pt")
    return torch.jit.load(str(folder / "model.pt"), map_location="cpu")


def kinds(model: Any) -> set[str]:  # noqa: ANN401 - likewise
    """Return the kinds of all nodes of a model's graph, inner ones included."""
    return {
        kind
        for kind in ("aten::linear", "aten::gelu", "mkldnn::_linear_pointwise")
        if model.forward.graph.findAllNodes(kind)
    }


@pytest.mark.parametrize("optimized", [True, False])
@pytest.mark.parametrize(
    ("name", "cfg_scale", "precision"),
    [("tiny", 1.0, "fp32"), ("tiny-ctx", 2.0, "fp32"), ("tiny", 1.0, "bf16"), ("tiny-ctx", 1.0, "bf16")],
)
def test_a_packed_model_computes_the_same(
    tmp_path: Path, name: str, cfg_scale: float, precision: Precision, optimized: bool
) -> None:
    network = golden_network(name, cfg_scale, steps=2)
    reference = reference_answers(network)
    model = loaded(network, precision, tmp_path)

    pack_linears(model)

    def run(inputs: Inputs) -> Outputs:
        with torch.inference_mode(), torch.jit.optimized_execution(optimized):  # type: ignore[attr-defined] # untyped
            outputs: Outputs = model(*inputs)
        return outputs

    accuracy = check_graph(run, reference, precision)
    assert precision != "fp32" or accuracy.max_difference <= FP32_TOLERANCE


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_linear_map_is_packed_where_the_cpu_multiplies_its_type(
    tmp_path: Path, precision: Precision
) -> None:
    model = loaded(golden_network("tiny", steps=2), precision, tmp_path)
    is_packed = precision in PACKED

    pack_linears(model)

    linears = [layer for layer in model.modules() if layer.original_name in ("Linear", "SteppedLinear")]
    assert linears
    assert {layer.weight.is_mkldnn for layer in linears} == {is_packed}
    torch._C._jit_pass_inline(model.forward.graph)
    assert kinds(model) == ({"mkldnn::_linear_pointwise"} if is_packed else {"aten::linear", "aten::gelu"})


def test_bf16_products_stay_the_same_bit_for_bit() -> None:
    class Linears(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(64, 192), nn.Linear(192, 25, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            hidden: Tensor = self.second(self.first(x))
            return hidden

    torch.manual_seed(0)
    model = torch.jit.script(Linears().bfloat16().eval())
    x = torch.randn(3, 18, 64).bfloat16()
    with torch.inference_mode():
        expected = torch.jit.freeze(model)(x)
        pack_linears(model)

        assert torch.equal(model(x), expected)


def test_weights_that_others_read_too_are_left_alone() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(self.table(x), self.table.weight)

    model = torch.jit.script(Tied().eval())
    x = torch.arange(8)
    with torch.inference_mode():
        expected = torch.jit.freeze(model)(x)
        pack_linears(model)

        assert torch.equal(model(x), expected)
    assert kinds(model) == {"aten::linear"}
