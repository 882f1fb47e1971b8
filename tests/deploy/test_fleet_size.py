"""The arithmetic behind docs/how-to/scaling.md, against what is known of the released model."""

import math

import pytest

from benchmarks.fleet.size import (
    GATEWAY_LOAD,
    GPU_LOAD,
    FrameCost,
    fleet,
    frame_flops,
    gpu_frames_per_s,
    on_the_wire,
)

PLAYER = FrameCost(gateway_cpu_s=0.001, bytes_in=196_628, bytes_out=1_367)


def test_matrix_products_follow_from_the_weights() -> None:
    """A weight of a tower is used once for each of its 256 tokens; attention itself adds a few percent."""
    flops = frame_flops()
    # docs/reference/model.md: 315,956,224 in vision, with the pooling head (not used) and 256 positions.
    head, positions = 13_648_896, 256 * 1024
    assert flops["vision"] == pytest.approx(2 * 256 * (315_956_224 - head - positions), rel=0.05)
    # 50,384,896 in the mixing; the keys and values of the sampler's four cross blocks are counted with it.
    keys = 4 * 2 * 1024**2
    assert flops["mixing"] == pytest.approx(2 * 256 * (50_384_896 + keys), rel=0.05)


def test_the_sampler_costs_what_its_steps_do() -> None:
    one, sixteen = frame_flops(1), frame_flops()
    assert sixteen["sampler"] == pytest.approx(16 * one["sampler"])
    assert sixteen["vision"] == one["vision"]
    assert sixteen["mixing"] == one["mixing"]


def test_an_assumed_gpu_is_a_share_of_its_data_sheet() -> None:
    assert gpu_frames_per_s(100, 1.0) * sum(frame_flops().values()) == pytest.approx(100e12)
    assert gpu_frames_per_s(100, 0.25) == pytest.approx(gpu_frames_per_s(100, 1.0) / 4)


def test_a_fleet_has_room_for_its_frames() -> None:
    size = fleet(1000, 60 / 18, 500, PLAYER, 202_453)
    frames_per_s = 1000 * 60 / 18
    assert size.gpus * 500 * GPU_LOAD >= frames_per_s > (size.gpus - 1) * 500 * GPU_LOAD
    assert size.gateways * GATEWAY_LOAD >= frames_per_s * 0.001 > (size.gateways - 1) * GATEWAY_LOAD
    assert size.bits_in > 8 * frames_per_s * PLAYER.bytes_in
    assert size.triton_bits > size.bits_in > size.bits_out


def test_headers_of_the_wire_are_counted() -> None:
    assert on_the_wire(1448) == 8 * (1448 + 78)
    assert on_the_wire(1449) == 8 * (1449 + 2 * 78)
    assert math.isclose(on_the_wire(196_628) / (8 * 196_628), 1.05, abs_tol=0.01)
