"""How many GPUs, gateways and how much network a number of players takes: arithmetic, no measurement.

A GPU's frames per second are the caller's to give, or a share of its data sheet's figure over `frame_flops`.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.paths import DATA

RELEASED = DATA / "released-config.json"
# docs/reference/model.md: the released vision tower, siglip2-large-patch16-256.
_VISION_LAYERS, _VISION_WIDTH, _VISION_MLP, _TOKENS, _PATCH_VALUES = 24, 1024, 4096, 256, 3 * 16 * 16
_MLP = 4  # of the transformer blocks: inner width over width
# Beyond these shares of what a GPU or a gateway can do, waiting grows faster than what gets done.
GPU_LOAD, GATEWAY_LOAD = 0.7, 0.6
_TCP_PAYLOAD, _HEADERS = 1448, 78  # bytes of an Ethernet frame of 1,500, and of its headers with the gaps


@dataclass(frozen=True)
class FrameCost:
    """The cost of one predict of a kind: seconds of a gateway's CPU, bytes from the player, bytes back."""

    gateway_cpu_s: float
    bytes_in: float
    bytes_out: float


@dataclass(frozen=True)
class Fleet:
    """The machines for some players. A gateway is a process with a core of its own; network is in bit/s."""

    gpus: int
    gateways: int
    bits_in: float
    bits_out: float
    triton_bits: float


def frame_flops(steps: int | None = None) -> dict[str, float]:
    """Return the released model's floating-point operations for one frame, by part (docs/reference/model.md).

    A multiplication and an addition count as two. Only matrix products count; the rest is below one percent.

    Args:
        steps: of the sampler; None for the checkpoint's own 16.
    """
    config: dict[str, Any] = json.loads(RELEASED.read_text(encoding="utf-8"))["model_cfg"]
    dit, vl = config["diffusion_model_cfg"], config["vl_self_attention_cfg"]
    steps = steps or config["num_inference_timesteps"]
    width, horizon = config["hidden_size"], config["action_horizon"]
    vision = _TOKENS * _PATCH_VALUES * _VISION_WIDTH
    vision += _VISION_LAYERS * _block(_TOKENS, _TOKENS, _VISION_WIDTH, _VISION_MLP, own_keys=True)
    mixing = vl["num_layers"] * _block(_TOKENS, _TOKENS, width, _MLP * width, own_keys=True)
    # Even blocks look at the frame, whose keys and values are made once; odd ones at the actions.
    cross, own = math.ceil(dit["num_layers"] / 2), dit["num_layers"] // 2
    keys = cross * 2 * _TOKENS * width**2
    step = cross * _block(horizon, _TOKENS, width, _MLP * width, own_keys=False)
    step += own * _block(horizon, horizon, width, _MLP * width, own_keys=True)
    # The action encoder's three layers, the two of the output, the decoder's two.
    actions = config["action_dim"]
    step += horizon * (actions * width + 3 * width**2 + width**2 + width**2 + width * actions)
    return {"vision": 2.0 * vision, "mixing": 2.0 * (mixing + keys), "sampler": 2.0 * steps * step}


def _block(queries: int, keys: int, width: int, inner: int, *, own_keys: bool) -> int:
    """Return the multiplications of a transformer block; without `own_keys`, those for keys are left out."""
    projections = (4 if own_keys else 2) * width**2
    return queries * (projections + 2 * width * inner + 2 * keys * width)


def gpu_frames_per_s(tflops: float, utilisation: float, steps: int | None = None) -> float:
    """Return what a GPU would do at a share of its data sheet's figure: an assumption, not a measurement.

    Args:
        tflops: dense matrix products per second in the served precision, in 10^12.
        utilisation: from 0 to 1.
        steps: sampler steps; None for the checkpoint's own.
    """
    return tflops * 1e12 * utilisation / sum(frame_flops(steps).values())


def fleet(
    players: int,
    frames_per_s_per_player: float,
    gpu_frames_per_s: float,
    player: FrameCost,
    triton_bytes: float,
) -> Fleet:
    """Return the machines for some players; gateway and Triton exchange `triton_bytes` for a frame."""
    frames_per_s = players * frames_per_s_per_player
    return Fleet(
        gpus=math.ceil(frames_per_s / (GPU_LOAD * gpu_frames_per_s)),
        gateways=math.ceil(frames_per_s * player.gateway_cpu_s / GATEWAY_LOAD),
        bits_in=frames_per_s * on_the_wire(player.bytes_in),
        bits_out=frames_per_s * on_the_wire(player.bytes_out),
        triton_bits=frames_per_s * on_the_wire(triton_bytes),
    )


def on_the_wire(payload_bytes: float) -> float:
    """Return the bits that some bytes of a TCP stream take on an Ethernet, with all headers."""
    return 8 * (payload_bytes + _HEADERS * math.ceil(payload_bytes / _TCP_PAYLOAD))


def rows(
    players: int,
    frames_per_s_per_player: float,
    gpu_frames_per_s: float,
    kinds: Mapping[str, FrameCost],
    triton_bytes: float,
) -> Iterator[str]:
    """Yield the table of a fleet, a row for each kind of player, and what gives way first."""
    per_gpu = GPU_LOAD * gpu_frames_per_s / frames_per_s_per_player
    yield (
        f"{players:,} players at {frames_per_s_per_player:.2f} frames/s each, GPUs of "
        f"{gpu_frames_per_s:,.0f} frames/s at {GPU_LOAD:.0%}, gateways at {GATEWAY_LOAD:.0%} of a core:"
    )
    yield f"{per_gpu:,.0f} players per GPU, {1000 / per_gpu:.1f} GPUs per 1,000 players"
    yield (
        f"{'players speak':<26}{'GPUs':>6}{'gateways':>10}{'players/gateway':>17}{'in Mbit/s':>11}"
        f"{'out Mbit/s':>12}{'to Triton':>11}{'a player, Mbit/s':>18}"
    )
    for name, cost in kinds.items():
        size = fleet(players, frames_per_s_per_player, gpu_frames_per_s, cost, triton_bytes)
        per_gateway = GATEWAY_LOAD / cost.gateway_cpu_s / frames_per_s_per_player
        player = frames_per_s_per_player * on_the_wire(cost.bytes_in)
        yield (
            f"{name:<26}{size.gpus:>6}{size.gateways:>10}{per_gateway:>17,.0f}{size.bits_in / 1e6:>11,.0f}"
            f"{size.bits_out / 1e6:>12,.0f}{size.triton_bits / 1e6:>11,.0f}{player / 1e6:>18.2f}"
        )
