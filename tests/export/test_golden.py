"""The eager model against the reference's outputs and intermediates."""

import functools

import numpy as np
import pytest

from export.network.model import NitroGen
from export.network.time_tables import time_buckets
from tests.export.golden_networks import golden_checkpoint, golden_inputs, golden_network
from tests.golden import (
    CHECKPOINTS,
    STICKS_TOLERANCE,
    GoldenCase,
    assert_case,
    golden_arrays,
    golden_cases,
)

# The reference in float64 differs from itself by 3e-5, and one CPU's kernels from another's by as much.
INTERMEDIATE_TOLERANCE = 5e-5


@functools.cache
def model(name: str, cfg_scale: float, old_layout: bool) -> NitroGen:
    return golden_network(name, cfg_scale, old_layout=old_layout)


CASES = [(name, case) for name in CHECKPOINTS for case in golden_cases(name)]


@pytest.mark.parametrize(("name", "case"), CASES, ids=lambda value: getattr(value, "index", value))
def test_case(name: str, case: GoldenCase) -> None:
    outputs = model(name, case.cfg_scale, case.old_layout)(*golden_inputs(case))

    assert_case(case, tuple(output[0].numpy() for output in outputs))


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_batch_gives_each_case_its_own_actions(name: str) -> None:
    cases = [case for case in golden_cases(name) if case.cfg_scale == 1.0]

    actions = model(name, 1.0, False)(*golden_inputs(*cases))[-1].numpy()

    for case, own in zip(cases, actions, strict=True):
        np.testing.assert_allclose(own, case.actions, rtol=0, atol=STICKS_TOLERANCE)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_intermediates_of_the_first_case(name: str) -> None:
    case = next(golden_cases(name))
    arrays = golden_arrays(name)
    nitrogen = model(name, 1.0, False)
    config = golden_checkpoint(name).config.model_cfg
    step = time_buckets(config.num_inference_timesteps, config.num_timestep_buckets).index(250)
    frames, count, game, noise, *_ = golden_inputs(case)

    vision = nitrogen.vision(frames[:, -1])
    sequence = nitrogen.tokens(frames, count, game)
    mixed = nitrogen.mix(sequence)
    encoded = nitrogen.action_encoder(noise, step)
    keys_values = nitrogen.dit.attend_to(mixed)
    denoised = nitrogen.dit(encoded, keys_values, nitrogen.block_adaln[step], nitrogen.out_adaln[step])
    velocity = nitrogen.increment(noise, step, keys_values) * nitrogen.steps

    for found, key in [
        (vision[0, ::16], "i_vision_last"),
        (sequence[0, -256::16], "i_vl_in_tail"),
        (mixed[0, -256::16], "i_vl_out_tail"),
        (encoded[0], "i_sa_in"),
        (denoised[0], "i_dit_out"),
        (velocity[0], "i_velocity_t250"),
    ]:
        np.testing.assert_allclose(
            found.numpy(), arrays[key], rtol=0, atol=INTERMEDIATE_TOLERANCE, err_msg=key
        )
    padded = (arrays["i_vl_token_ids"] == 0).sum()
    assert not sequence[0, :padded].any()
    assert sequence[0, padded:].any(dim=-1).all()
