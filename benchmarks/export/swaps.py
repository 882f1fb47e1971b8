"""Host memory over swaps of versions, with and without MALLOC_MMAP_THRESHOLD_.

`python -m benchmarks.export.swaps`.

A Triton without it, then one with it, serves the same two versions of a model in turn. `--backends DIR` takes
another backend directory than the standalone's, such as a Triton container's, with its C++ backends.
`--in-process` needs no Triton: one process loads the next version's graph, runs it and drops the last one,
each in a thread of its own, as the C++ libtorch backend does inside Triton.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tritonclient.grpc import service_pb2

from benchmarks.command import progress, run_command
from benchmarks.export.make_checkpoint import checkpoint_or_untrained
from benchmarks.gateway.ways import LoadError
from export.repository.live import activate
from export.repository.tritons import connected_tritons
from standalone.triton_server import HOST, TritonPorts, TritonServer, server_command
from standalone.triton_wheel import assemble_backends, find_triton_wheel
from tests.stack import free_port

VARIABLE = "MALLOC_MMAP_THRESHOLD_"
_UNLOADED_WITHIN_S = 120
_NAME = "nitrogen"


def main() -> int:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export.swaps", description=__doc__)
    parser.add_argument("--checkpoint", help="a file, or demo (default: an untrained one of released size)")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="default: fp32")
    parser.add_argument("--format", choices=["torchscript", "onnx"], default="torchscript")
    parser.add_argument("--swaps", type=int, default=10, help="default: 10")
    parser.add_argument("--max-batch-size", type=int, default=2, help="all sizes are warmed up (default: 2)")
    parser.add_argument("--threshold", type=int, default=1 << 20, help=f"value of {VARIABLE}")
    parser.add_argument("--backends", type=Path, metavar="DIR", help="default: the standalone's")
    parser.add_argument("--in-process", action="store_true", help="libtorch in a process of its own")
    options = parser.parse_args()
    if options.in_process and (options.backends or options.format == "onnx"):
        parser.error("--in-process knows neither --backends nor ONNX")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        _publish(folder, options)
        columns = []
        wheel = find_triton_wheel()
        unset = {name: text for name, text in wheel.environment().items() if name != VARIABLE}
        for environment in (unset, unset | {VARIABLE: str(options.threshold)}):
            measure = _in_process if options.in_process else _with_triton
            columns.append(list(measure(folder, environment, options)))
    what = "MB in memory, of all processes" if not options.in_process else "MB in memory"
    sys.stdout.write(
        f"| swaps | {what} | with {VARIABLE}={options.threshold} | relative |\n|---|---|---|---|\n"
    )
    for number, (without, fixed) in enumerate(zip(*columns, strict=True)):
        sys.stdout.write(
            f"| {number} | {without / 1e6:,.0f} | {fixed / 1e6:,.0f} | {fixed / without:.2f} |\n"
        )
    return 0


def _publish(folder: Path, options: argparse.Namespace) -> None:
    """Publish two versions, which differ in their sampler's steps."""
    checkpoint = checkpoint_or_untrained(options.checkpoint, folder)
    for steps in (1, 2):
        words = [str(checkpoint), f"--repository={folder / 'repository'}", f"--steps={steps}"]
        words += [f"--precision={options.precision}", f"--format={options.format}", f"--name={_NAME}"]
        words += [f"--max-batch-size={options.max_batch_size}"]
        subprocess.run([sys.executable, "-m", "export", *words], check=True, stdout=subprocess.DEVNULL)


def _with_triton(folder: Path, environment: dict[str, str], options: argparse.Namespace) -> Iterator[int]:
    """Yield the bytes in memory of a Triton and its stubs, after its start and after each swap."""
    name = _NAME + ("-onnx" if options.format == "onnx" else "")
    repository = folder / "repository"
    activate(repository, name, 1, None)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        backends = Path(scratch) / "backends"
        wheel = find_triton_wheel()
        assemble_backends(wheel, backends, options.backends)
        ports = TritonPorts(*(free_port() for _ in range(3)))
        prefix = f"swaps_{os.getpid()}_"
        command = server_command(wheel, backends, repository, [name], ports, prefix)
        log = Path(scratch) / "triton.log"
        server = TritonServer(command, environment, ports, log, prefix)
        with _running(server):
            yield _resident(os.getpid())
            for swap in range(options.swaps):
                number = 2 - swap % 2
                activate(repository, name, number, f"{HOST}:{ports.grpc}")
                _wait_until_alone(name, ports.grpc)
                yield _resident(os.getpid())
                progress(f"{swap + 1} of {options.swaps} swaps")


def _in_process(folder: Path, environment: dict[str, str], options: argparse.Namespace) -> Iterator[int]:
    """Yield the bytes in memory of one process that swaps the graphs itself."""
    graphs = [str(folder / "repository" / _NAME / number / "model.pt") for number in ("1", "2")]
    sizes = [str(options.swaps), str(options.max_batch_size)]
    command = [sys.executable, "-m", "benchmarks.export.swaps_worker", *sizes, *graphs]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        for number, _ in enumerate(worker.stdout):
            yield _resident(os.getpid())
            progress(f"{number} of {options.swaps} swaps")
            worker.stdin.write("next\n")
            worker.stdin.flush()
    if worker.returncode:
        raise LoadError("the process that swaps graphs has failed: see above")


@contextmanager
def _running(server: TritonServer) -> Iterator[None]:
    with asyncio.Runner() as runner:
        try:
            runner.run(server.start())
            yield
        finally:
            runner.run(server.stop())


def _wait_until_alone(name: str, port: int) -> None:
    """Wait until the version that was swapped for another is unloaded."""
    give_up = time.monotonic() + _UNLOADED_WITHIN_S
    with connected_tritons(f"{HOST}:{port}", None) as (triton,):
        while time.monotonic() < give_up:
            index = triton.stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=10).models
            if [model.state for model in index if model.name == name].count("UNAVAILABLE") == 1:
                return
            time.sleep(0.2)
    raise LoadError(f"the old version is still loaded after {_UNLOADED_WITHIN_S} s")


def _resident(parent: int) -> int:
    """Return bytes in memory of all processes that a process has started, shared pages counted once."""
    total = 0
    for children in Path(f"/proc/{parent}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            for child in map(int, children.read_text().split()):
                rollup = Path(f"/proc/{child}/smaps_rollup").read_text()
                total += int(rollup.partition("\nPss:")[2].split()[0]) * 1024 + _resident(child)
    return total


if __name__ == "__main__":
    run_command(main)
