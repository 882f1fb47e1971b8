"""The inputs and outputs of a model in Triton: names, types and dims, without the batch.

Both `config.pbtxt` in `model_repository/` tell Triton the same. T is the horizon, K the context length.
"""

import math
from dataclasses import dataclass
from typing import Literal

from contract.gamepad import ACTION_WIDTH, CHUNK_WIDTHS

FRAME_SIDE = 256
FRAME_SHAPE = (FRAME_SIDE, FRAME_SIDE, 3)
FRAME_BYTES = FRAME_SIDE * FRAME_SIDE * 3

# The KServe protocol's names; Triton's configs put TYPE_ before them.
DataType = Literal["UINT8", "INT64", "FP32"]
_ITEM_BYTES: dict[DataType, int] = {"UINT8": 1, "INT64": 8, "FP32": 4}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output; `dims` are one request's."""

    name: str
    data_type: DataType
    dims: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """The size of one request's values."""
        return math.prod(self.dims) * _ITEM_BYTES[self.data_type]


# Also the order of the tuple that the network returns: libtorch matches outputs by position.
OUTPUT_WIDTHS = CHUNK_WIDTHS | {"actions": ACTION_WIDTH}


def input_tensors(horizon: int, context_length: int, *, conditioning: bool = True) -> tuple[Tensor, ...]:
    """Return the inputs: K frames, how many of them are used, the game's id, and x(0) of (T, 25).

    With chunk conditioning there are two more: the previous chunk, (T, 25) as x(1), and its rows' weights,
    (T,) in 0..1. Versions exported before 0.3 lack them.
    """
    inputs = (
        Tensor("frames", "UINT8", (context_length, *FRAME_SHAPE)),
        Tensor("frame_count", "INT64", (1,)),
        Tensor("game_id", "INT64", (1,)),
        Tensor("noise", "FP32", (horizon, ACTION_WIDTH)),
    )
    if not conditioning:
        return inputs
    return (
        *inputs,
        Tensor("previous", "FP32", (horizon, ACTION_WIDTH)),
        Tensor("previous_weight", "FP32", (horizon,)),
    )


def output_tensors(horizon: int) -> tuple[Tensor, ...]:
    """Return the outputs, each (T, width): two sticks in [-1, 1], buttons of 0 or 1, and x(1) of (T, 25)."""
    return tuple(Tensor(name, "FP32", (horizon, width)) for name, width in OUTPUT_WIDTHS.items())


INPUT_NAMES = tuple(tensor.name for tensor in input_tensors(1, 1))
OUTPUT_NAMES = tuple(OUTPUT_WIDTHS)
