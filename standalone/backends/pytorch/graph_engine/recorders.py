"""Recorders of a forward pass, to replay it on the same memory: CUDA graphs, and a stand-in for CPUs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

Forward = Callable[..., Sequence[Tensor]]

_WARM_UP_RUNS = 3  # what PyTorch's documentation asks for before a capture


@dataclass(frozen=True)
class Recording:
    """A forward pass of one batch size: `replay` reads the inputs it was made with and writes `outputs`."""

    outputs: Sequence[Tensor]
    replay: Callable[[], None]


class Recorder(Protocol):
    """Makes the recordings of one model."""

    def record(self, forward: Forward, inputs: Mapping[str, Tensor]) -> Recording:
        """Record a call of `forward` with these inputs; the largest batch comes first.

        Raises:
            RuntimeError: when it cannot be recorded.
        """
        ...

    def memory_bytes(self) -> int:
        """Return the bytes of the device's memory that PyTorch holds now."""
        ...


class CudaGraphs:  # pragma: no cover - needs a GPU
    """CUDA graphs on one device, which share one memory pool.

    Sharing is safe because nothing of a replay is read after the next one: `GraphEngine` copies the outputs.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        with torch.cuda.device(device):
            self._pool = torch.cuda.graph_pool_handle()
            self._stream = torch.cuda.Stream()

    def record(self, forward: Forward, inputs: Mapping[str, Tensor]) -> Recording:
        """Warm up on a side stream, then capture there."""
        with torch.cuda.device(self._device):
            current = torch.cuda.current_stream()
            self._stream.wait_stream(current)
            with torch.cuda.stream(self._stream):
                for _ in range(_WARM_UP_RUNS):
                    forward(**inputs)
            graph = torch.cuda.CUDAGraph()
            try:
                with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                    outputs = forward(**inputs)
            finally:
                # A capture that fails leaves its own stream as the current one.
                torch.cuda.set_stream(current)
            current.wait_stream(self._stream)
        return Recording(outputs, graph.replay)

    def memory_bytes(self) -> int:
        """Return the bytes that PyTorch has reserved on the device."""
        return torch.cuda.memory_reserved(self._device)


class StandIn:
    """Replays by running the module again, on any device, and shows mistakes that CUDA graphs would hide.

    All recordings write their outputs to the same memory, as graphs of one pool may. After each replay the
    inputs hold NaN (integers: their largest value), so that rows which the next one does not write show.
    Anything that a capture forbids raises.
    """

    def __init__(self) -> None:
        self._pool: list[Tensor] = []

    def record(self, forward: Forward, inputs: Mapping[str, Tensor]) -> Recording:
        """Run once under the rules of a capture."""
        # In inference mode an operation that is made of others would arrive as a whole.
        with torch.inference_mode(mode=False), torch.no_grad(), _CaptureRules():
            made = forward(**inputs)
        self._pool = self._pool or [torch.empty_like(output) for output in made]
        outputs = [pool[: output.size(0)] for pool, output in zip(self._pool, made, strict=True)]
        _poison(inputs.values())

        def replay() -> None:
            answers = forward(**inputs)
            _poison(self._pool)
            for output, answer in zip(outputs, answers, strict=True):
                output.copy_(answer)
            _poison(inputs.values())

        return Recording(outputs, replay)

    def memory_bytes(self) -> int:
        """Return the bytes of the outputs."""
        return sum(output.nbytes for output in self._pool)


class _CaptureRules(TorchDispatchMode):
    """Raises for operations that wait for the device, as CUDA does during a capture."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Without PyTorch's compiler, whose import takes a second."""
        return False

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: object,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        if _waits(func, args):
            raise RuntimeError(f"{func} cannot be captured: it waits for a value on the device")
        return func(*args, **(kwargs or {}))


def _waits(func: OpOverload, args: Sequence[object]) -> bool:
    """Return whether what an operation gives depends on values that only the device has."""
    if func is torch.ops.aten.index.Tensor:
        indices: Any = args[1]
        return any(index is not None and index.dtype == torch.bool for index in indices)
    return not {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}.isdisjoint(func.tags)


def _poison(tensors: Iterable[Tensor]) -> None:
    for tensor in tensors:
        tensor.fill_(torch.nan if tensor.is_floating_point() else torch.iinfo(tensor.dtype).max)
