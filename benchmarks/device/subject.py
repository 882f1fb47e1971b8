"""The subject of the measurements: one network on one device, and the engines that run it."""

import time
from dataclasses import dataclass

import torch

from benchmarks.device.networks import OnDevice
from benchmarks.device.requests import request
from export.network.model import NitroGen
from standalone.backends.pytorch.graph_engine.engine import DirectEngine, Engine, GraphEngine
from standalone.backends.pytorch.graph_engine.recorders import CudaGraphs, StandIn

WITHOUT_HOISTS, TORCHSCRIPT, GRAPHS = "without hoists", "TorchScript", "graph engine"


@dataclass(frozen=True)
class Subject:
    """The network and its engines.

    Attributes:
        scripted: TorchScript, which `direct` runs operation by operation, and `graphs` in graphs.
        ways: all that are compared.
        recording_s: what it took to record the graphs.
    """

    on: OnDevice
    scripted: NitroGen
    direct: DirectEngine
    graphs: GraphEngine
    ways: dict[str, Engine]
    recording_s: float

    @property
    def device(self) -> torch.device:
        """Where all of it runs."""
        return self.on.device


def make_subject(on: OnDevice, largest_batch: int) -> Subject:
    """Load the network and record its graphs."""
    scripted = on.scripted()
    direct = DirectEngine(scripted, on.device)
    started = time.perf_counter()
    sample = request(scripted, 1, seed=0)
    recorder = CudaGraphs(on.device) if on.device.type == "cuda" else StandIn()
    graphs = GraphEngine(scripted, on.device, sample, largest_batch, recorder)
    recording_s = time.perf_counter() - started
    ways: dict[str, Engine] = {
        WITHOUT_HOISTS: DirectEngine(on.without_hoists(), on.device),
        TORCHSCRIPT: direct,
        GRAPHS: graphs,
    }
    return Subject(on, scripted, direct, graphs, ways, recording_s)
