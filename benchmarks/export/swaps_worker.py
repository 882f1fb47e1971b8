"""Started by `benchmarks.export.swaps`: swaps two graphs in this process, as C++ libtorch does in Triton.

`python -m benchmarks.export.swaps_worker SWAPS MAX_BATCH_SIZE GRAPH GRAPH`. Writes a line to stdout after the
first load and after each swap, and waits for one on stdin.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import torch


def main() -> None:
    """Load in one thread, run in another, drop in a third."""
    swaps, max_batch_size = int(sys.argv[1]), int(sys.argv[2])
    graphs = sys.argv[3:]
    serving = _loaded(graphs[0], max_batch_size)
    for swap in range(swaps):
        _tell()
        following = _loaded(graphs[(swap + 1) % 2], max_batch_size)
        serving = following  # the last reference to the old one goes
    _tell()
    del serving


def _loaded(path: str, max_batch_size: int) -> torch.jit.ScriptModule:
    with ThreadPoolExecutor(1) as loader, ThreadPoolExecutor(1) as instance:
        graph: torch.jit.ScriptModule = loader.submit(torch.jit.load, path).result()
        instance.submit(_warm_up, graph, max_batch_size).result()
    return graph


def _warm_up(graph: torch.jit.ScriptModule, max_batch_size: int) -> None:
    with torch.inference_mode(), torch.jit.optimized_execution(False):
        for batch in range(1, max_batch_size + 1):
            graph(
                torch.zeros(batch, 1, 256, 256, 3, dtype=torch.uint8),
                torch.ones(batch, 1, dtype=torch.int64),
                torch.zeros(batch, 1, dtype=torch.int64),
                torch.zeros(batch, 18, 25),
                torch.zeros(batch, 18, 25),
                torch.zeros(batch, 18),
            )


def _tell() -> None:
    sys.stdout.write("swapped\n")
    sys.stdout.flush()
    sys.stdin.readline()


if __name__ == "__main__":
    main()
