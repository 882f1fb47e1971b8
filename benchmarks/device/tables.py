"""The tables, as Markdown to paste."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch

from benchmarks.device.compiled import compiled_engine
from benchmarks.device.launches import count_launches
from benchmarks.device.parts import IN_A_GRAPH, ONE_BY_ONE, part_seconds
from benchmarks.device.requests import batch, request
from benchmarks.device.subject import GRAPHS, TORCHSCRIPT, Subject
from benchmarks.turns import in_turns
from standalone.backends.pytorch.graph_engine.engine import Engine, Run

Row = list[str]


def print_table(header: Sequence[str], rows: Iterator[Row]) -> None:
    """Print a table, each row when it is known."""
    print(f"\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def ways_table(subject: Subject, sizes: Sequence[int], rounds: int, at_most_s: float) -> None:
    """Print every way and batch size; a frame's way begins and ends in the CPU's memory, as in a backend."""
    launches = "launches" if subject.device.type == "cuda" else "operations"
    header = ["batch", "way", "ms", "to TorchScript", "ms a frame", launches, "kernels", "mean difference"]

    def rows() -> Iterator[Row]:
        for size in sizes:
            calls = _calls(subject, size, subject.ways)
            try:
                taken = in_turns(calls, rounds, at_most_s / len(sizes))
            except torch.OutOfMemoryError:
                yield [str(size), "out of memory", *[""] * (len(header) - 2)]
                continue
            for way, call in calls.items():
                sent = count_launches(call, subject.device)
                seconds, plain = taken[way].seconds, taken[TORCHSCRIPT]
                yield [
                    str(size),
                    way,
                    _ms(seconds),
                    f"{seconds / plain.seconds:.2f}",
                    _ms(seconds / size),
                    str(sent.by_cpu),
                    "" if sent.kernels is None else str(sent.kernels),
                    _off(taken[way].answer, plain.answer),
                ]

    print_table(header, rows())


def parts_table(subject: Subject, sizes: Sequence[int], rounds: int, at_most_s: float) -> None:
    """Print each part of a frame by itself, launched one operation at a time and in a graph of its own."""

    def rows() -> Iterator[Row]:
        for size in sizes:
            given = request(subject.scripted, size, seed=0)
            inputs = {name: tensor.to(subject.device) for name, tensor in given.items()}
            parts = part_seconds(subject.scripted, inputs, rounds, at_most_s / len(sizes))
            whole = sum(seconds[IN_A_GRAPH] for seconds in parts.values())
            for part, seconds in parts.items():
                yield [
                    str(size),
                    part,
                    _ms(seconds[ONE_BY_ONE]),
                    _ms(seconds[IN_A_GRAPH]),
                    f"{seconds[IN_A_GRAPH] / seconds[ONE_BY_ONE]:.2f}",
                    f"{100 * seconds[IN_A_GRAPH] / whole:.0f} %",
                ]

    print_table(["batch", "part", f"ms {ONE_BY_ONE}", f"ms {IN_A_GRAPH}", "ratio", "share in graphs"], rows())


def memory_table(subject: Subject) -> None:
    """Print the device memory that recording each graph took, in the order of recording."""
    graphs = subject.graphs
    rows = (
        [
            str(bucket),
            f"{graphs.memory_bytes[bucket] / 2**20:.1f}",
            _in_a_cell(graphs.failures.get(bucket, "recorded")),
        ]
        for bucket in reversed(graphs.buckets)
    )
    print_table(["graph's batch", "MiB more", "state"], rows)


def compiled_table(
    subject: Subject, sizes: Sequence[int], rounds: int, left_s: Callable[[], float], needed_s: float
) -> None:
    """Print the graph engine with compiled DiT blocks; leave out a size if less than `needed_s` is left."""

    def rows() -> Iterator[Row]:
        network = subject.on.with_compiled_blocks()
        for size in sizes:
            if left_s() < needed_s:
                yield [str(size), "", "", "", "left out: no time"]
                continue
            started = time.perf_counter()
            try:
                engine = compiled_engine(network, subject.device, size)
            except Exception as error:
                # The compiler has exceptions of its own.
                yield [str(size), "", "", "", _in_a_cell(f"failed: {error}")]
                continue
            compiling_s = time.perf_counter() - started
            engines: dict[str, Engine] = {GRAPHS: subject.graphs, "compiled": engine}
            taken = in_turns(_calls(subject, size, engines), rounds, left_s() / 4)
            compiled, plain = taken["compiled"], taken[GRAPHS]
            yield [
                str(size),
                _ms(compiled.seconds),
                f"{compiled.seconds / plain.seconds:.2f}",
                f"{compiling_s:.0f}",
                _off(compiled.answer, plain.answer),
            ]

    header = ["batch", "ms with compiled blocks", f"to the {GRAPHS}", "s to compile", "mean difference"]
    print_table(header, rows())


def _calls(subject: Subject, size: int, engines: dict[str, Engine]) -> dict[str, Callable[[], Run]]:
    """Return one batch of `size` players' requests for each of the engines."""
    given = batch([request(subject.scripted, 1, seed) for seed in range(size)])
    return {way: partial(engine.run, given) for way, engine in engines.items()}


def _in_a_cell(text: str) -> str:
    """Return what of an error fits into a table."""
    return " ".join(text.split())[:120].replace("|", "/")


def _off(one: Run, other: Run) -> str:
    """Return by how much two runs' x(1) differ, in the mean."""
    return f"{(one.outputs[-1] - other.outputs[-1]).abs().mean().item():.1e}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"
