"""The GPU benchmark, on this machine's CPU: it needs PyTorch and numpy alone, and finds wrong answers."""

import subprocess
import sys

import pytest
import torch

from benchmarks.device.checks import differences, strangers_answers
from benchmarks.device.requests import request
from export.network.model import NitroGen
from export.network.precision import lower_precision
from standalone.backends.pytorch.graph_engine.engine import Batch, DirectEngine, GraphEngine, Run
from standalone.backends.pytorch.graph_engine.recorders import StandIn
from tests.export.golden_networks import golden_network
from tests.paths import ROOT

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
# Packages of the project that a GPU machine with PyTorch and numpy may lack.
MISSING = [
    "PIL",
    "aiohttp",
    "google",
    "grpc",
    "huggingface_hub",
    "onnx",
    "onnxruntime",
    "pyarrow",
    "safetensors",
]
WITHOUT_THEM = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({MISSING}))
sys.path[0] = "benchmarks"  # as for a file that is run by its path
runpy.run_path("benchmarks/gpu.py", run_name="__main__")
"""


def test_it_runs_with_pytorch_and_numpy_alone() -> None:
    options = ["--device=cpu", "--size=demo", "--batch-sizes", "1", "2", "--rounds=1"]

    command = [sys.executable, "-c", WITHOUT_THEM, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "against the same network without graphs: the same, bit for bit." in done.stdout
    assert "in one batch (AAAAABBBBB): each got its own answers." in done.stdout
    begins = [tuple(cell.strip() for cell in line.split("|")[1:3]) for line in done.stdout.splitlines()]
    for size in ("1", "2"):
        for way in ("without hoists", "TorchScript", "graph engine", "vision tower", "sampler"):
            assert begins.count((size, way)) == 1, done.stdout


@pytest.fixture(scope="module")
def network() -> NitroGen:
    return golden_network("tiny", steps=2)


@pytest.fixture(scope="module")
def direct(network: NitroGen) -> DirectEngine:
    return DirectEngine(network, CPU)


def graph_engine(network: NitroGen, kind: type[GraphEngine] = GraphEngine) -> GraphEngine:
    return kind(network, CPU, request(network, 1, seed=0), 4, StandIn())


def test_right_answers_are_found_right(network: NitroGen, direct: DirectEngine) -> None:
    engine = graph_engine(network)

    assert differences(network, direct, engine, largest=4) == {}
    assert strangers_answers(network, direct, engine) == []


def test_other_answers_are_found_at_every_batch_size(network: NitroGen, direct: DirectEngine) -> None:
    lowered = golden_network("tiny", steps=2)
    lower_precision(lowered, "fp16")
    engine = graph_engine(lowered)

    assert list(differences(network, direct, engine, largest=3)) == [1, 2, 3]
    assert strangers_answers(network, direct, engine) == []


class LateEngine(GraphEngine):
    """Answers what the batch of the same size before had asked for."""

    def run(self, batch: Batch) -> Run:
        now = super().run(batch)
        late: dict[int, Run] = self.__dict__.setdefault("late", {})
        before = late.get(now.rows, now)
        late[now.rows] = now
        return before


def test_answers_that_come_one_batch_late_are_found(network: NitroGen, direct: DirectEngine) -> None:
    assert strangers_answers(network, direct, graph_engine(network, LateEngine)) == ["B", "BA"]


class OverwritingEngine(GraphEngine):
    """Gives the same memory to every batch of a size, as outputs that nobody copied."""

    def run(self, batch: Batch) -> Run:
        now = super().run(batch)
        kept: dict[int, Run] = self.__dict__.setdefault("kept", {})
        first = kept.setdefault(now.rows, now)
        with torch.inference_mode():
            for mine, new in zip(first.outputs, now.outputs, strict=True):
                mine.copy_(new)
        return first


def test_answers_that_a_later_batch_overwrites_are_found(network: NitroGen, direct: DirectEngine) -> None:
    found = strangers_answers(network, direct, graph_engine(network, OverwritingEngine))

    assert found == ["A", "A", "A", "A", "A", "AB"]


class PaddedEngine(GraphEngine):
    """Answers with what a stand-in leaves in rows that nobody wrote."""

    def run(self, batch: Batch) -> Run:
        run = super().run(batch)
        return Run([torch.full_like(output, torch.nan) for output in run.outputs], run.rows, run.bucket)


def test_nan_is_nobodys_answer(network: NitroGen, direct: DirectEngine) -> None:
    engine = graph_engine(network, PaddedEngine)

    assert list(differences(network, direct, engine, largest=2)) == [1, 2]
    assert len(strangers_answers(network, direct, engine)) == 14
