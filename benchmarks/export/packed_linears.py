"""`python -m benchmarks.export.packed_linears [CHECKPOINT]`: what packed linear maps bring on this CPU.

TorchScript as it is saved, and packed as the standalone's backend loads it, take turns in this process; so
does ONNX in float32. Without a CHECKPOINT, an untrained one of the released size is made (1.97 GB); "demo"
stands for the demo's small one, for which one thread is used, as the backend does.
"""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in Triton's stubs; before torch is imported

import torch
from torch import Tensor

from benchmarks.command import measurement_options, progress, use_cores
from benchmarks.export.make_checkpoint import checkpoint_or_untrained
from benchmarks.turns import in_turns
from export.checkpoint.reader import read_checkpoint
from export.formats.onnx_graph import load_onnx, save_onnx
from export.formats.self_check import Inputs, check_inputs
from export.formats.torchscript import save_torchscript
from export.network.precision import lower_precision
from export.network.weights import load_model
from export.publish import choose_sampling
from export.settings import ModelSettings, Precision
from standalone.backends.pytorch.packed_linears import pack_linears

Way = Callable[[Inputs], Tensor]
_PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


def main() -> None:
    """Print the table."""
    parser = measurement_options(__doc__, rounds=5)
    parser.add_argument("checkpoint", nargs="?", help='an ng.pt file, or "demo"')
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--precisions", nargs="+", choices=_PRECISIONS, default=_PRECISIONS)
    options = parser.parse_args()
    torch.set_num_threads(1 if options.checkpoint == "demo" else use_cores(options.cores))
    print(f"{options.rounds} rounds; {torch.get_num_threads()} threads; PyTorch {torch.__version__}")
    print(f"{'batch':>5}  {'way':<20} {'median ms':>10} {'ratio':>6} {'CPU time':>9} {'mean diff':>10}")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name, torch.inference_mode():
        folder = Path(name)
        path = checkpoint_or_untrained(options.checkpoint, folder)
        for precision in options.precisions:
            ways, batches = _loaded(path, folder, precision, options.batch_sizes)
            for inputs in batches:
                _compare(ways, inputs, options.rounds)
    print("ratio, CPU time, difference: to TorchScript as it is saved, in the same precision")


def _loaded(
    checkpoint: Path, folder: Path, precision: Precision, batch_sizes: list[int]
) -> tuple[dict[str, Way], list[Inputs]]:
    """Return the ways of one precision, as they are loaded from files, and the inputs."""
    progress(f"saving and loading {precision}")
    read = read_checkpoint(checkpoint, folder)
    network = load_model(read, choose_sampling(read, ModelSettings()))
    lower_precision(network, precision)
    batches = [check_inputs(network, size, seed=size) for size in batch_sizes]
    torchscript, onnx = folder / "model.pt", folder / "model.onnx"
    save_torchscript(network, torchscript)
    packed = torch.jit.load(str(torchscript))
    pack_linears(packed)
    ways = {
        f"TorchScript {precision}": _torchscript(torch.jit.load(str(torchscript))),
        f"packed {precision}": _torchscript(packed),
    }
    if precision == "fp32":
        save_onnx(network, onnx)
        graph = load_onnx(onnx)
        ways["ONNX fp32"] = lambda inputs: graph(inputs)[-1]
    return ways, batches


def _torchscript(model: Any) -> Way:  # noqa: ANN401 - PyTorch has no type for what is loaded
    def run(inputs: Inputs) -> Tensor:
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined] # untyped
            actions: Tensor = model(*inputs)[-1]
        return actions

    return run


def _compare(ways: dict[str, Way], inputs: Inputs, rounds: int) -> None:
    """Print a line for each way."""
    taken = in_turns({way: partial(run, inputs) for way, run in ways.items()}, rounds)
    plain = next(iter(taken.values()))
    for way, one in taken.items():
        difference = (one.answer - plain.answer).abs().mean().item()
        print(
            f"{inputs[0].size(0):>5}  {way:<20} {one.seconds * 1e3:>10.1f} "
            f"{one.seconds / plain.seconds:>6.2f} {one.cpu_seconds / plain.cpu_seconds:>9.2f} "
            f"{difference:>10.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
