"""The graph engine on a network whose blocks torch.compile has rewritten."""

from collections.abc import Mapping

import torch
from torch import Tensor

from benchmarks.device.requests import request
from export.network.model import NitroGen
from standalone.backends.pytorch.graph_engine.engine import DirectEngine, Engine, GraphEngine
from standalone.backends.pytorch.graph_engine.recorders import CudaGraphs, Forward, Recorder, Recording


def compiled_engine(network: NitroGen, device: torch.device, size: int) -> Engine:
    """Compile the network for one batch size, and record its graph; on a CPU, compile it.

    Raises:
        RuntimeError: when it cannot be recorded; the compiler has errors of its own.
    """
    with torch.inference_mode():
        network(*(tensor.to(device) for tensor in request(network, size, seed=0).values()))
    if device.type != "cuda":
        return DirectEngine(network, device)
    recorder = _OneSize(size, CudaGraphs(device))
    engine = GraphEngine(network, device, request(network, 1, seed=0), size, recorder)
    if size in engine.failures:
        raise RuntimeError(engine.failures[size])
    return engine


class _OneSize:
    """Records one batch size: each further one would be compiled for a minute."""

    def __init__(self, size: int, recorder: Recorder) -> None:
        self._size = size
        self._recorder = recorder
        self.memory_bytes = recorder.memory_bytes

    def record(self, forward: Forward, inputs: Mapping[str, Tensor]) -> Recording:
        """Record it; raises RuntimeError for the others."""
        if len(next(iter(inputs.values()))) != self._size:
            raise RuntimeError("not wanted")
        return self._recorder.record(forward, inputs)
