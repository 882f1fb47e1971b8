"""The graph engine without Triton, on a CPU with the stand-in for CUDA graphs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from contract.tensors import INPUT_NAMES
from export.formats.self_check import check_inputs
from export.formats.torchscript import save_torchscript
from export.network.precision import lower_precision
from export.settings import Precision
from standalone.backends.pytorch.graph_engine.engine import Batch, DirectEngine, GraphEngine, buckets
from standalone.backends.pytorch.graph_engine.lost_device import is_lost
from standalone.backends.pytorch.graph_engine.recorders import StandIn
from tests.export.golden_networks import golden_network

CPU = torch.device("cpu")
SAMPLE = {"x": torch.zeros(1, 3), "count": torch.zeros(1, 1, dtype=torch.int64)}


class Squares:
    """A model whose rows do not depend on each other; `seen` is what its last call was given."""

    def __init__(self, fails: Callable[[int], bool] = lambda size: False) -> None:
        self._fails = fails
        self.seen: dict[str, Tensor] = {}

    def __call__(self, x: Tensor, count: Tensor) -> Sequence[Tensor]:
        self.seen = {"x": x.clone(), "count": count.clone()}
        if self._fails(x.size(0)):
            x.sum().item()
        return x * x + count, x.sum(1, keepdim=True)


def engine_of(model: Squares, max_batch_size: int = 8) -> GraphEngine:
    return GraphEngine(model, CPU, SAMPLE, max_batch_size, StandIn())


def requests(*rows: int) -> Batch:
    """A batch of requests with these numbers of rows, no two rows alike."""
    values = torch.arange(3.0 * sum(rows)).reshape(-1, 3)
    return {"x": values.split(list(rows)), "count": torch.arange(sum(rows)).unsqueeze(1).split(list(rows))}


@pytest.mark.parametrize(
    ("largest", "expected"),
    [
        (1, (1,)),
        (2, (1, 2)),
        (5, (1, 2, 3, 4, 5)),
        (8, (1, 2, 3, 4, 6, 8)),
        (16, (1, 2, 3, 4, 6, 8, 12, 16)),
        (20, (1, 2, 3, 4, 6, 8, 12, 16, 20)),
        (32, (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)),
        (50, (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 50)),
    ],
)
def test_buckets_grow_by_at_most_half_up_to_the_largest_batch(
    largest: int, expected: tuple[int, ...]
) -> None:
    assert buckets(largest) == expected


@pytest.mark.parametrize("rows", range(1, 9))
def test_a_batch_runs_in_the_smallest_bucket_filled_with_its_last_row(rows: int) -> None:
    model = Squares()
    engine = engine_of(model)

    run = engine.run(requests(*[1] * rows))

    assert (run.rows, run.bucket) == (rows, {5: 6, 7: 8}.get(rows, rows))
    assert run.bucket is not None
    assert run.padding == run.bucket - rows
    for name, parts in requests(*[1] * rows).items():
        given = torch.cat(list(parts))
        expected = torch.cat([given, given[-1:].expand(run.padding, -1)])
        assert torch.equal(model.seen[name], expected)


@pytest.mark.parametrize("rows", [(1,), (5,), (2, 3), (1, 1, 1, 4), (3, 1, 3)])
def test_answers_are_those_without_a_graph(rows: tuple[int, ...]) -> None:
    engine = engine_of(Squares())
    engine.run(requests(8))
    expected = DirectEngine(Squares(), CPU).run(requests(*rows)).outputs

    for output, answer in zip(engine.run(requests(*rows)).outputs, expected, strict=True):
        assert torch.equal(output, answer)


def test_the_networks_answers_are_bit_for_bit_those_of_a_batch_of_the_buckets_size() -> None:
    network = golden_network("tiny", steps=2)
    inputs = dict(zip(INPUT_NAMES, check_inputs(network, 6, seed=0), strict=True))
    engine = GraphEngine(network, CPU, {name: tensor[:1] for name, tensor in inputs.items()}, 6, StandIn())
    batch = {name: tensor[:5].split(1) for name, tensor in inputs.items()}
    filled = [torch.cat([tensor[:5], tensor[4:5]]) for tensor in inputs.values()]

    with torch.inference_mode():
        expected = network(*filled)

    for output, answer in zip(engine.run(batch).outputs, expected, strict=True):
        assert torch.equal(output, answer[:5])


def test_answers_stay_what_they_were_after_other_batches() -> None:
    engine = engine_of(Squares())
    run = engine.run(requests(2, 1))
    before = [output.clone() for output in run.outputs]

    for rows in (3, 8, 1):
        engine.run(requests(rows))

    for output, expected in zip(run.outputs, before, strict=True):
        assert torch.equal(output, expected)


def test_sizes_that_cannot_be_recorded_run_without_a_graph() -> None:
    engine = engine_of(Squares(fails=lambda size: size in {3, 8}))

    assert engine.failures.keys() == {3, 8}
    assert all("waits for a value on the device" in reason for reason in engine.failures.values())
    assert [engine.run(requests(rows)).bucket for rows in range(1, 9)] == [1, 2, None, 4, 6, 6, None, None]
    expected = DirectEngine(Squares(), CPU).run(requests(2, 1, 4)).outputs
    for output, answer in zip(engine.run(requests(2, 1, 4)).outputs, expected, strict=True):
        assert torch.equal(output, answer)


def test_a_batch_of_another_shape_fails_and_the_next_one_does_not() -> None:
    engine = engine_of(Squares())
    wrong = {"x": [torch.zeros(1, 4)], "count": [torch.zeros(1, 1, dtype=torch.int64)]}

    with pytest.raises(RuntimeError, match=r"a sample of x is \[4\], but the graphs take \[3\]"):
        engine.run(wrong)

    assert not engine.run(requests(5)).outputs[0].isnan().any()


def test_an_error_of_one_batch_loses_no_device() -> None:
    wrong = {"x": [torch.zeros(1, 4)], "count": [torch.zeros(1, 1, dtype=torch.int64)]}
    with pytest.raises(RuntimeError) as raised:
        engine_of(Squares()).run(wrong)

    assert not is_lost(CPU, raised.value)
    assert is_lost(CPU, RuntimeError("CUDA error: an illegal memory access was encountered"))


@pytest.mark.parametrize(
    "forbidden",
    [
        lambda x, count: (x if x.sum() > 0 else -x,),
        lambda x, count: (x * count.max().item(),),
        lambda x, count: (x.nonzero(),),
        lambda x, count: (x[x > 0],),
        lambda x, count: (x.masked_select(x > 0),),
        lambda x, count: (torch.unique(x),),
    ],
)
def test_what_a_capture_forbids_is_not_recorded(forbidden: Callable[..., Sequence[Tensor]]) -> None:
    with pytest.raises(RuntimeError, match="cannot be captured"), torch.inference_mode():
        StandIn().record(forbidden, SAMPLE)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("checkpoint", "cfg_scale"), [("tiny", 1.0), ("tiny-ctx", 1.0), ("tiny-ctx", 1.5)])
def test_the_exported_graph_can_be_captured(
    checkpoint: str, cfg_scale: float, precision: Precision, tmp_path: Path
) -> None:
    network = golden_network(checkpoint, cfg_scale, steps=2)
    lower_precision(network, precision)
    save_torchscript(network, tmp_path / "model.pt")
    # Reads no value, because there is none, and takes nothing from another device's memory.
    loaded = torch.jit.load(str(tmp_path / "model.pt"), map_location="meta")
    inputs = dict(
        zip(INPUT_NAMES, (tensor.to("meta") for tensor in check_inputs(network, 3, seed=0)), strict=True)
    )

    with torch.inference_mode(), OnMetaOnly() as used:
        recording = StandIn().record(loaded, inputs)

    assert [output.shape[0] for output in recording.outputs] == [3, 3, 3, 3]
    assert used.operations > 100


class OnMetaOnly(TorchDispatchMode):
    """Counts operations, and refuses results in other memory than the meta device's."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: object,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        result = func(*args, **(kwargs or {}))
        self.operations += 1
        assert not isinstance(result, Tensor) or result.device.type == "meta", func
        return result
