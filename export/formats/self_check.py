"""The proof that a saved graph computes what the float32 network computes, and what low precision costs.

The network's own answers to fixed pictures and noise are kept before it is saved; the saved file, loaded
again, must give the same within the precision's bound.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from contract.facts import Accuracy
from contract.gamepad import ACTION_WIDTH
from export.errors import VerificationError
from export.network.model import NitroGen, decode
from export.settings import Precision

Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
Outputs = tuple[Tensor, Tensor, Tensor, Tensor]
Graph = Callable[[Inputs], Outputs]

BATCH_SIZES = (1, 3)


# The most that a graph may differ. float32: another order of summation, which guidance can amplify to 1e-4 in
# single values. bfloat16: twice what the reference's own bfloat16 shows on the golden checkpoints. float16: a
# seventh to a half of that, for its three more bits.
BOUNDS: dict[Precision, Accuracy] = {
    "fp32": Accuracy(max_difference=5e-4, mean_difference=5e-5, flipped_buttons=0.001),
    "bf16": Accuracy(max_difference=0.7, mean_difference=0.05, flipped_buttons=0.01),
    "fp16": Accuracy(max_difference=0.1, mean_difference=0.01, flipped_buttons=0.005),
}


@dataclass(frozen=True)
class Reference:
    """The float32 network's answers to the fixed inputs: x(1) as (B, H, 25) for each batch."""

    batches: tuple[tuple[Inputs, Tensor], ...]
    old_layout: bool


def reference_answers(model: NitroGen) -> Reference:
    """Run the float32 network on the fixed inputs.

    Raises:
        VerificationError: when its answers are not finite.
    """
    batches = []
    with torch.inference_mode():
        for batch in BATCH_SIZES:
            inputs = check_inputs(model, batch, seed=batch)
            actions = model(*inputs)[-1]
            if not actions.isfinite().all():
                raise VerificationError(
                    "the network's answers are not finite: the checkpoint holds NaN or extreme values: "
                    "use another checkpoint"
                )
            batches.append((inputs, actions))
    return Reference(tuple(batches), model.old_layout)


def check_graph(graph: Graph, reference: Reference, precision: Precision) -> Accuracy:
    """Compare a saved graph with the reference.

    Raises:
        VerificationError: when it differs by more than the precision's bound, or decodes differently.
    """
    differences, flips, decodes_alike = [], [], True
    for inputs, wanted in reference.batches:
        outputs = graph(inputs)
        differences.append((outputs[-1] - wanted).abs().flatten())
        flips.append((outputs[2] != decode(wanted, reference.old_layout)[2]).float().flatten())
        decodes_alike &= all(map(torch.equal, outputs, decode(outputs[-1], reference.old_layout)))
    difference = torch.cat(differences)
    accuracy = Accuracy(
        max_difference=difference.max().item(),
        mean_difference=difference.mean().item(),
        flipped_buttons=torch.cat(flips).mean().item(),
    )
    bound = BOUNDS[precision]
    for name in ("max_difference", "mean_difference", "flipped_buttons"):
        found, allowed = getattr(accuracy, name), getattr(bound, name)
        if not found <= allowed:  # also true of NaN
            raise VerificationError(
                f"the saved {precision} graph differs too much from the float32 network: "
                f"{name} {found:.3g}, above {allowed:g}"
            )
    if not decodes_alike:
        raise VerificationError("the saved graph decodes its actions differently from the network")
    return accuracy


def check_inputs(model: NitroGen, batch: int, seed: int) -> Inputs:
    """Return arguments of `NitroGen.forward`: pictures of several kinds, any frame count, game and noise.

    The first sample has no previous chunk; each further one keeps a row and is pulled in the two after it.
    """
    generator = torch.Generator().manual_seed(seed)
    context = model.context_length

    def integers(low: int, high: int) -> Tensor:
        return torch.randint(low, high, (batch, 1), generator=generator)

    weight = torch.zeros(batch, model.horizon)
    weight[1:, :3] = torch.tensor([1.0, 0.5, 0.2])[: model.horizon]
    pictures = [_picture(seed + index, generator) for index in range(batch * context)]
    return (
        torch.stack(pictures).unflatten(0, [batch, context]),
        integers(1, context + 1),
        integers(0, max(model.game_rows.size(0), 1)),
        torch.randn(batch, model.horizon, ACTION_WIDTH, generator=generator),
        torch.rand(batch, model.horizon, ACTION_WIDTH, generator=generator),
        weight,
    )


def _picture(kind: int, generator: torch.Generator) -> Tensor:
    """Return (256, 256, 3) uint8: noise, blocks, a gradient or a checkerboard, in turn."""
    row, column = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    match kind % 4:
        case 0:
            picture = torch.randint(0, 256, (256, 256, 3), generator=generator)
        case 1:
            blocks = torch.randint(0, 256, (16, 16, 3), generator=generator)
            picture = blocks.repeat_interleave(16, dim=0).repeat_interleave(16, dim=1)
        case 2:
            picture = torch.stack([row, column, (row + column) // 2], dim=-1)
        case _:
            picture = ((row // 8 + column // 8) % 2 * 255).unsqueeze(-1).expand(-1, -1, 3)
    return picture.to(torch.uint8)
