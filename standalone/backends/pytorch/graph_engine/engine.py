"""The two ways in which a batch runs: directly, and by replaying what was recorded for its size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .recorders import Forward, Recorder, Recording

Batch = Mapping[str, Sequence[Tensor]]


@dataclass(frozen=True)
class Run:
    """The result of a batch: `outputs` in the CPU's memory, which nothing writes to later.

    Attributes:
        rows: samples in the batch.
        bucket: batch size of the graph that ran, None without a graph.
    """

    outputs: list[Tensor]
    rows: int
    bucket: int | None

    @property
    def padding(self) -> int:
        """How often the last row was repeated to fill the bucket."""
        return 0 if self.bucket is None else self.bucket - self.rows


class Engine(Protocol):
    """Runs batches."""

    def run(self, batch: Batch) -> Run:
        """Run the requests of a batch together.

        Args:
            batch: for each input one tensor of each request, (rows, ...), in the CPU's memory.

        Raises:
            RuntimeError: when the model fails.
        """
        ...


class DirectEngine:
    """Calls the model with each batch as it is."""

    def __init__(self, forward: Forward, device: torch.device) -> None:
        self._forward = forward
        self._device = device

    @torch.inference_mode()
    def run(self, batch: Batch) -> Run:
        """See `Engine`."""
        inputs = {name: torch.cat(list(parts)).to(self._device) for name, parts in batch.items()}
        outputs = [output.to("cpu") for output in self._forward(**inputs)]
        return Run(outputs, outputs[0].size(0), None)


class GraphEngine:
    """Runs a batch in the smallest graph that holds it; graphs are recorded when the engine is made.

    Args:
        sample: the model's inputs for one sample, (1, ...), for their shapes and types. A size that cannot be
            recorded has its reason in `failures`, and its batches run directly.

    Attributes:
        memory_bytes: what recording each size took of the device's memory.
    """

    @torch.inference_mode()
    def __init__(
        self,
        forward: Forward,
        device: torch.device,
        sample: Mapping[str, Tensor],
        max_batch_size: int,
        recorder: Recorder,
    ) -> None:
        self._direct = DirectEngine(forward, device)
        shapes = {name: (max_batch_size, *tensor.shape[1:]) for name, tensor in sample.items()}
        # The inputs of every graph: each reads the first rows of the same memory.
        self._inputs = {
            name: torch.zeros(shape, dtype=sample[name].dtype, device=device)
            for name, shape in shapes.items()
        }
        # From pinned memory a copy to a GPU takes no second one.
        self._gathered = {
            name: torch.zeros(shape, dtype=sample[name].dtype, pin_memory=device.type == "cuda")
            for name, shape in shapes.items()
        }
        self.buckets = buckets(max_batch_size)
        self.memory_bytes: dict[int, int] = {}
        self.failures: dict[int, str] = {}
        self._recordings: dict[int, Recording] = {}
        # The largest first, so that the smaller ones find room in the memory that it left to the pool.
        for size in reversed(self.buckets):
            before = recorder.memory_bytes()
            first_rows = {name: tensor[:size] for name, tensor in self._inputs.items()}
            try:
                self._recordings[size] = recorder.record(forward, first_rows)
            except RuntimeError as error:
                # A capture that fails ends in a second error, which says less.
                self.failures[size] = str(error.__context__ or error)
            self.memory_bytes[size] = recorder.memory_bytes() - before

    @torch.inference_mode()
    def run(self, batch: Batch) -> Run:
        """See `Engine`."""
        rows = sum(part.size(0) for part in next(iter(batch.values())))
        bucket = next(size for size in self.buckets if size >= rows)
        recording = self._recordings.get(bucket)
        if recording is None:
            return self._direct.run(batch)
        for name, parts in batch.items():
            gathered, given = self._gathered[name][:rows], self._inputs[name]
            for part in parts:
                # The copy below would resize or repeat it.
                if part.shape[1:] != given.shape[1:]:
                    raise RuntimeError(
                        f"a sample of {name} is {list(part.shape[1:])}, but the graphs take "
                        f"{list(given.shape[1:])}"
                    )
            torch.cat(list(parts), out=gathered)
            given[:rows].copy_(gathered, non_blocking=True)
            given[rows:bucket] = given[rows - 1]
        recording.replay()
        # Copies, because the next replay overwrites the graph's own.
        outputs = [output[:rows].to("cpu", copy=True) for output in recording.outputs]
        return Run(outputs, rows, bucket)


def buckets(max_batch_size: int) -> tuple[int, ...]:
    """Batch sizes that get a graph: 1, 2, 3, 4, 6, 8, 12, 16, 24, 32 and so on, and the largest itself."""
    powers = [1 << exponent for exponent in range(max_batch_size.bit_length())]
    steps = {step for power in powers for step in (power, power + power // 2)}
    return tuple(sorted({step for step in steps if step < max_batch_size} | {max_batch_size}))
