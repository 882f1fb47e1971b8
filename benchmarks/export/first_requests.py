"""`python -m benchmarks.export.first_requests [CHECKPOINT]`: does anybody wait for a first run?

A freshly started Triton gets requests of mixed batch sizes, and each one's time is compared with the median
of its size. Triton has warmed every batch size up before it became ready, and the graph is never specialised
while it serves, so no request should stand out. Without a CHECKPOINT, the demo's architecture is measured.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import tritonclient.grpc

from benchmarks.direct import infer
from benchmarks.triton import running_triton
from export.checkpoint.demo import write_demo_checkpoint
from export.checkpoint.reader import read_checkpoint
from export.formats.self_check import check_inputs
from export.network.weights import load_model
from export.publish import choose_sampling, export_checkpoint
from export.settings import ExportOptions, ModelSettings
from standalone.triton_server import HOST

BOUND = 3.0


def main() -> None:
    """Print the table; exits with 1 when a request took more than `BOUND` times its size's median."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", nargs="?", type=Path)
    parser.add_argument("--format", choices=["torchscript", "onnx"], default="torchscript")
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 2, 3, 4, 5, 6, 7, 8])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        path = options.checkpoint or write_demo_checkpoint(folder / "demo")
        settings = ModelSettings(formats=(options.format,), max_batch_size=max(options.batch_sizes))
        [version] = export_checkpoint(ExportOptions(path, folder / "repository", settings))
        checkpoint = read_checkpoint(path, folder)
        network = load_model(checkpoint, choose_sampling(checkpoint, settings))
        inputs = {batch: check_inputs(network, batch, seed=batch) for batch in options.batch_sizes}
        with (
            running_triton(folder, [version.model_name]) as port,
            tritonclient.grpc.InferenceServerClient(f"{HOST}:{port}") as client,
        ):
            client.is_server_live()  # the connection's own beginning is not the model's
            order = random.Random(0).choices(options.batch_sizes, k=options.requests)
            seconds: dict[int, list[float]] = {batch: [] for batch in sorted(set(order))}
            for batch in order:
                started = time.perf_counter()
                infer(client, version, inputs[batch])
                seconds[batch].append(time.perf_counter() - started)
    print(f"{'batch':>5} {'requests':>9} {'median ms':>10} {'first':>6} {'slowest':>8}")
    slowest = 0.0
    for batch, times in seconds.items():
        median = statistics.median(times)
        slowest = max(slowest, max(times) / median)
        print(
            f"{batch:>5} {len(times):>9} {median * 1e3:>10.1f} {times[0] / median:>6.2f} "
            f"{max(times) / median:>8.2f}"
        )
    print("first, slowest: relative to the median of the batch size")
    sys.exit(f"a request took {slowest:.1f} times its size's median" if slowest > BOUND else 0)


if __name__ == "__main__":
    main()
