"""The parts of a frame: what each takes launched one operation at a time, and in a graph of its own."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from benchmarks.turns import in_turns
from export.network.model import NitroGen
from standalone.backends.pytorch.graph_engine.recorders import CudaGraphs, StandIn

Part = tuple[Callable[..., Sequence[Tensor]], Mapping[str, Tensor]]
ONE_BY_ONE, IN_A_GRAPH = "one by one", "in a graph"


def parts(network: NitroGen, inputs: Mapping[str, Tensor]) -> dict[str, Part]:
    """Return each part as a function and what it is given; `inputs` are on the network's device."""

    def vision(**given: Tensor) -> Sequence[Tensor]:
        return (network.tokens(**given),)

    def mixer(sequence: Tensor) -> Sequence[Tensor]:
        return network.dit.attend_to(network.mix(sequence))

    def sampler(
        noise: Tensor, previous: Tensor, previous_weight: Tensor, **keys_values: Tensor
    ) -> Sequence[Tensor]:
        return (network.sample(noise, previous, previous_weight, list(keys_values.values())),)

    seen = {name: inputs[name] for name in ("frames", "frame_count", "game_id")}
    drawn = {name: inputs[name] for name in ("noise", "previous", "previous_weight")}
    (sequence,) = vision(**seen)
    cross = {f"keys_values_{index}": tensor for index, tensor in enumerate(mixer(sequence))}
    return {
        "vision tower": (vision, seen),
        "mixer, keys and values": (mixer, {"sequence": sequence}),
        "sampler": (sampler, {**drawn, **cross}),
    }


@torch.inference_mode()
def part_seconds(
    network: NitroGen, inputs: Mapping[str, Tensor], rounds: int, at_most_s: float
) -> dict[str, dict[str, float]]:
    """Return the median seconds of each part, `ONE_BY_ONE` and `IN_A_GRAPH`, within `at_most_s` in all."""
    device, whole = inputs["noise"].device, parts(network, inputs)
    return {
        name: _seconds(part, given, device, rounds, at_most_s / len(whole))
        for name, (part, given) in whole.items()
    }


def _seconds(
    part: Callable[..., Sequence[Tensor]],
    given: Mapping[str, Tensor],
    device: torch.device,
    rounds: int,
    at_most_s: float,
) -> dict[str, float]:
    recorder = CudaGraphs(device) if device.type == "cuda" else StandIn()
    own = {name: tensor.clone() for name, tensor in given.items()}
    recording = recorder.record(part, own)

    def waited(call: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            call()
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        return run

    ways = {ONE_BY_ONE: waited(lambda: part(**given)), IN_A_GRAPH: waited(recording.replay)}
    return {way: taken.seconds for way, taken in in_turns(ways, rounds, at_most_s).items()}
