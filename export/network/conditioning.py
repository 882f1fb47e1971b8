"""Chunk conditioning: the sampler is pulled towards the previous chunk (docs/reference/model.md).

With t = i / N of step i, a strength g that depends on t, and a row's weight W, v becomes
v + g W (previous - (x + (1 - t) v)). A step adds v / N to x, so x + v / N becomes
lerp(x, previous, W g / N) + (1 - W g (1 - t)) v / N: two operations, whose shares are made for all steps at
once. Both are exact where W is 0.
"""

import torch
from torch import Tensor

_MAX_STRENGTH = 5.0


def conditioning_table(steps: int) -> Tensor:
    """Return the two shares as functions of a row's weight: (2, 2, steps, 1, 1, 1) float32.

    First what they are at weight 0, then what a weight of 1 adds: of the pull towards `previous`, and of the
    network's own increment.
    """
    max_strength = min(_MAX_STRENGTH, float(steps))
    pulls, keeps = [], []
    for step in range(steps):
        time = step / steps
        strength = max_strength
        if step > 0:
            strength = min(max_strength, (time**2 + (1 - time) ** 2) / (time * (1 - time)))
        pulls.append(strength / steps)
        keeps.append(-strength * (1 - time))
    at_zero = torch.stack([torch.zeros(steps), torch.ones(steps)])
    return torch.stack([at_zero, torch.tensor([pulls, keeps])]).reshape(2, 2, steps, 1, 1, 1)


def weights_of_rows(previous_weight: Tensor) -> Tensor:
    """Map (B, H) of anything to (B, H, 1) in [0, 1]; NaN counts as 0."""
    return previous_weight.nan_to_num(0.0, 1.0, 0.0).clamp(0.0, 1.0).unsqueeze(-1)


def step_shares(table: Tensor, weight: Tensor) -> Tensor:
    """Map (B, H, 1) weights to (2, steps, B, H, 1): the shares of pull and increment in each step."""
    at_zero, more = table.unbind(0)
    return torch.addcmul(at_zero, weight, more)
