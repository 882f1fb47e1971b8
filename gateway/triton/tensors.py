"""Triton's inference messages: frames and noise in, an action chunk out.

A request is in protobuf's wire format. Protobuf itself writes the part that is the same for all requests of a
model, once; then the frames' bytes are added, in one copy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from contract.gamepad import CHUNK_WIDTHS
from contract.tensors import FRAME_BYTES, OUTPUT_NAMES, OUTPUT_WIDTHS, Tensor, input_tensors
from gateway.errors import ModelError
from gateway.protocol.conditioning import Conditioning
from gateway.protocol.messages import ActionChunk, Frame
from gateway.triton.facts import ModelFacts
from gateway.triton.shared_memory import Slot

_UNUSED_SLOT = bytes(FRAME_BYTES)
_FLOAT32 = np.dtype("<f4")
# Tags of ModelInferRequest's fields that are bytes, strings or messages: number << 3 | 2.
_ID = b"\x1a"
_INPUT = b"\x2a"
_RAW_INPUT = b"\x3a"


@dataclass(frozen=True, slots=True)
class ModelInputs:
    """A model's inputs for one predict.

    Attributes:
        frames: 1 to K frames of (256, 256, 3) uint8, newest last.
        game_id: the game's row.
        noise: (H, 25).
        conditioning: only for a model that has the inputs.
    """

    frames: Sequence[Frame]
    game_id: int
    noise: NDArray[np.float32]
    conditioning: Conditioning | None = None


class RequestTemplate:
    """The requests for one model's action chunks, each a batch of one."""

    def __init__(self, facts: ModelFacts) -> None:
        self.facts = facts
        # Triton then answers with exactly the facts' version, or refuses.
        version = "" if facts.version is None else str(facts.version)
        head = service_pb2.ModelInferRequest(model_name=facts.model, model_version=version)
        for name in OUTPUT_NAMES:
            head.outputs.add(name=name)
        # Fields may come in any order, but inputs and their raw contents need the same one: frames first.
        self._frames, *others = input_tensors(
            facts.horizon, facts.context_length, conditioning=facts.conditioning
        )
        self._head = head.SerializeToString()
        self._other_inputs = service_pb2.ModelInferRequest(inputs=map(_input, others)).SerializeToString()
        self._shared_inputs: dict[tuple[str, int], bytes] = {}
        self._frames_input = _field(_INPUT, _input(self._frames).SerializeToString())
        self._frames_tag, self._count_tag, self._game_tag, self._noise_tag, *conditioning_tags = (
            _RAW_INPUT + _varint(tensor.size_bytes) for tensor in (self._frames, *others)
        )
        self._conditioning_tags = conditioning_tags
        # For a request without a previous chunk: zeros, or nothing for a model without these inputs.
        self._no_conditioning = b"".join(
            tag + bytes(tensor.size_bytes) for tag, tensor in zip(conditioning_tags, others[3:], strict=True)
        )

    def message(
        self,
        inputs: ModelInputs,
        request_id: str = "",
        timeout_us: int = 0,
        slot: Slot | None = None,
    ) -> bytes:
        """Return a request, a serialised ModelInferRequest.

        Args:
            inputs: frames, noise and the rest.
            request_id: its name in Triton's log.
            timeout_us: microseconds for which it may wait in Triton's queue, 0 for the model's default.
            slot: shared memory with the result of `stacked`; the message then only refers to it.
        """
        parts: list[Frame] = [self._head]
        if request_id:
            parts.append(_field(_ID, request_id.encode()))
        if timeout_us:
            parts.append(_timeout(timeout_us))
        if slot is None:
            parts += (self._frames_input, self._other_inputs, self._frames_tag, *self.stacked(inputs.frames))
        else:
            parts += (self._shared_input(slot), self._other_inputs)
        parts += (
            self._count_tag,
            len(inputs.frames).to_bytes(8, "little"),
            self._game_tag,
            inputs.game_id.to_bytes(8, "little"),
            self._noise_tag,
            inputs.noise.astype("<f4", copy=False).tobytes(),
            self._no_conditioning if inputs.conditioning is None else self._given(inputs.conditioning),
        )
        return b"".join(parts)

    def stacked(self, frames: Sequence[Frame]) -> list[Frame]:
        """Return K slots for 1 to K frames, newest last; zeros fill the older ones."""
        return [_UNUSED_SLOT] * (self.facts.context_length - len(frames)) + list(frames)

    def _given(self, conditioning: Conditioning) -> bytes:
        arrays = (conditioning.previous, conditioning.weight)
        return b"".join(
            tag + array.astype("<f4", copy=False).tobytes()
            for tag, array in zip(self._conditioning_tags, arrays, strict=True)
        )

    def _shared_input(self, slot: Slot) -> bytes:
        """Return the input that refers to a slot; there is one for each slot."""
        place = slot.region, slot.number
        if place not in self._shared_inputs:
            tensor = _input(self._frames)
            tensor.parameters["shared_memory_region"].string_param = slot.region
            tensor.parameters["shared_memory_offset"].int64_param = slot.offset
            tensor.parameters["shared_memory_byte_size"].int64_param = self._frames.size_bytes
            self._shared_inputs[place] = _field(_INPUT, tensor.SerializeToString())
        return self._shared_inputs[place]


def _input(tensor: Tensor) -> service_pb2.ModelInferRequest.InferInputTensor:
    """Return the description of an input in a batch of one."""
    return service_pb2.ModelInferRequest.InferInputTensor(
        name=tensor.name, datatype=tensor.data_type, shape=(1, *tensor.dims)
    )


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


def _timeout(timeout_us: int) -> bytes:
    """Return the parameter "timeout" as an entry of protobuf's map `parameters`."""
    value = b"\x10" + _varint(timeout_us)
    return _field(b"\x22", b"\x0a\x07timeout" + _field(b"\x12", value))


class ResponseReader:
    """Reads one model's responses; parts that are the same in all of them are checked once."""

    def __init__(self, facts: ModelFacts) -> None:
        self._horizon = facts.horizon
        # The shapes of the chunk's arrays, which are the first of the outputs.
        self._shapes = [(facts.horizon, width) for width in CHUNK_WIDTHS.values()]
        # The last valid response's description of its outputs, the sizes of their values, and the positions
        # of `OUTPUT_NAMES` among them.
        self._described: object = None
        self._sizes: list[int] = []
        self._places: list[int] = []

    def chunk(self, response: service_pb2.ModelInferResponse) -> ActionChunk:
        """Return the chunk in a response, after checking the outputs' shapes and that all values are finite.

        Raises:
            ModelError: an output is missing, has another type or shape, or holds NaN or infinity.
        """
        # Protobuf copies them at each access.
        raw = list(response.raw_output_contents)
        if response.outputs != self._described or [*map(len, raw)] != self._sizes:
            self._check(response)
        if not _are_finite(b"".join([raw[place] for place in self._places])):
            raise self._not_finite(raw)
        arrays = zip(self._shapes, self._places, strict=False)
        return ActionChunk(*[np.ndarray(shape, _FLOAT32, raw[place]) for shape, place in arrays])

    def _not_finite(self, raw: Sequence[bytes]) -> ModelError:
        wrong = next(
            name
            for name, place in zip(OUTPUT_NAMES, self._places, strict=True)
            if not _are_finite(raw[place])
        )
        return ModelError(f"Triton's output {wrong} holds values that are not finite; check the checkpoint")

    def _check(self, response: service_pb2.ModelInferResponse) -> None:
        """Keep a response's description for the next ones, or raise ModelError."""
        self._described = None
        shapes: dict[str, tuple[int, ...]] = {}
        places: dict[str, int] = {}
        sizes = [*map(len, response.raw_output_contents)]
        for place, (output, size) in enumerate(zip(response.outputs, sizes, strict=False)):
            shape = tuple(output.shape)
            if output.datatype == "FP32" and size == 4 * math.prod(shape):
                shapes[output.name], places[output.name] = shape, place
        for name, width in OUTPUT_WIDTHS.items():
            needed = (1, self._horizon, width)
            if shapes.get(name) != needed:
                found = shapes.get(name, "missing or not FP32")
                raise ModelError(
                    f"Triton's output {name} is {found}, but {needed} is needed; export the model again"
                )
        self._places = [places[name] for name in OUTPUT_NAMES]
        self._sizes = sizes
        # A copy, because the response itself would keep its values.
        self._described = service_pb2.ModelInferResponse(outputs=response.outputs).outputs


def _are_finite(values: bytes) -> bool:
    """Return whether little-endian float32 values are all finite."""
    # No value below 2**127 ends with these bytes, so numpy only checks larger ones: its check costs more than
    # everything else about a response.
    ends = values[3::4]
    if b"\x7f" not in ends and b"\xff" not in ends:
        return True
    return bool(np.isfinite(np.frombuffer(values, _FLOAT32)).all())
