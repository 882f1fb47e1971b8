"""`python benchmarks/gpu.py`: what players wait for on this GPU, by each way to run the network.

Needs PyTorch 2.11 or newer, numpy and this checkout: no Triton, no network, no other package. It makes an
untrained network of the released size (2 GB in the temporary folder) and prints tables to paste, within eight
minutes; docs/how-to/gpu.md says how to read them. Without a GPU it measures the demo's size on the CPU, where
the graph engine has a stand-in for graphs. Exits with 1 if an answer of the graph engine is wrong.
"""

import argparse
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import get_args

# By its path, this file is run with its own folder first, whose `triton.py` is not the one of torch.compile.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from benchmarks.device.checks import differences, strangers_answers
from benchmarks.device.networks import OnDevice, Size, untrained
from benchmarks.device.subject import Subject, make_subject
from benchmarks.device.tables import compiled_table, memory_table, parts_table, ways_table
from export.settings import Precision

_COMPILING_S = 100  # for each batch size


def main() -> int:
    """Measure, print, and tell whether the answers were right."""
    options = _options()
    begun = time.perf_counter()

    def left_s() -> float:
        return begun + 60 * options.minutes - time.perf_counter()

    sizes = sorted(options.batch_sizes)
    device = torch.device(options.device)
    if device.type == "cpu" and options.size == "demo":
        torch.set_num_threads(1)  # as the backend does for small models
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        checkpoint = untrained(options.size, Path(folder))  # mapped, so that the file's name may go
    # As in Triton: exported configs say DISABLE_OPTIMIZED_EXECUTION.
    with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]  # untyped
        subject = make_subject(OnDevice(checkpoint, device, options.precision), max(sizes))
        _print_machine(options, subject)
        is_right = _check(subject, max(sizes))
        ways_table(subject, sizes, options.rounds, 0.5 * left_s())
        parts_table(subject, sorted({min(sizes), max(sizes)}), options.rounds, 0.1 * left_s())
        memory_table(subject)
        if options.compiled:
            compiled_table(subject, options.compiled, options.rounds, left_s, _COMPILING_S)
    print(f"\n{time.perf_counter() - begun:.0f} s")
    return 0 if is_right else 1


def _options() -> argparse.Namespace:
    has_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda" if has_gpu else "cpu", help="default: %(default)s")
    size = "released" if has_gpu else "demo"
    parser.add_argument("--size", choices=get_args(Size), default=size, help="default: %(default)s")
    parser.add_argument("--precision", choices=get_args(Precision), default="bf16", help="default: bf16")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32], metavar="N")
    compiled = [1, 8] if has_gpu else []
    parser.add_argument(
        "--compiled", type=int, nargs="*", default=compiled, metavar="N", help="batch sizes of torch.compile"
    )
    parser.add_argument("--rounds", type=int, default=30, help="turns of each way, if there is time")
    parser.add_argument("--minutes", type=float, default=7.5, help="for all of it")
    options = parser.parse_args()
    if max(options.compiled, default=0) > max(options.batch_sizes):
        parser.error("--compiled: the graph engine needs the same --batch-sizes, to be compared")
    return options


def _print_machine(options: argparse.Namespace, subject: Subject) -> None:
    if subject.device.type == "cuda":
        properties = torch.cuda.get_device_properties(subject.device)
        where = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
    else:
        where = f"CPU ({platform.machine()}, {torch.get_num_threads()} threads; a stand-in for graphs)"
    print(f"{where}; PyTorch {torch.__version__}, Python {platform.python_version()}")
    graphs = len(subject.graphs.buckets) - len(subject.graphs.failures)
    print(
        f"{options.size} size, {options.precision}, {subject.scripted.steps} steps; "
        f"{graphs} graphs recorded in {subject.recording_s:.1f} s"
    )


def _check(subject: Subject, largest: int) -> bool:
    """Print whether the graph engine answers what the network answers, to whom it belongs."""
    different = differences(subject.scripted, subject.direct, subject.graphs, largest)
    print("The graph engine's answers, against the same network without graphs: ", end="")
    print(f"off, by batch size: {different}" if different else "the same, bit for bit.")
    strangers = strangers_answers(subject.scripted, subject.direct, subject.graphs)
    print("Two clients' requests, one after the other and in one batch (AAAAABBBBB): ", end="")
    print(f"another client's answers in {strangers}" if strangers else "each got its own answers.")
    return not different and not strangers


if __name__ == "__main__":
    sys.exit(main())
