"""The golden cases: inputs and outputs of the reference implementation on two small checkpoints.

Made with the reference's own code in float32 (see data/golden/README.md); random weights.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.paths import DATA

GOLDEN = DATA / "golden"
CHECKPOINTS = ("tiny", "tiny-ctx")

ACTIONS_TOLERANCE = 5e-5
STICKS_TOLERANCE = 1e-4  # a stick is 2x - 1


@dataclass(frozen=True)
class GoldenCase:
    """One case: `frames` as (K, 256, 256, 3) with the newest last, and what the reference answers."""

    index: int
    frames: NDArray[np.uint8]
    frame_count: int
    game_id: int
    noise: NDArray[np.float32]
    cfg_scale: float
    old_layout: bool
    actions: NDArray[np.float32]
    j_left: NDArray[np.float32]
    j_right: NDArray[np.float32]
    buttons: NDArray[np.float32]


def checkpoint_path(name: str) -> Path:
    """Path of a golden checkpoint's `ng.pt`."""
    return GOLDEN / name / "ng.pt"


def golden_arrays(name: str) -> dict[str, NDArray[np.float32]]:
    """All arrays of a checkpoint's golden file."""
    with np.load(GOLDEN / f"{name}.npz") as archive:
        return dict(archive)


def golden_cases(name: str) -> Iterator[GoldenCase]:
    """Every case of a checkpoint; unused older frame slots hold noise, which a model must ignore."""
    arrays = golden_arrays(name)
    context = int(arrays["context"])
    rng = np.random.default_rng(0)
    for index in range(len(arrays["case_cfg"])):
        sent = [frame for frame in arrays["case_frames"][index] if frame >= 0][-context:]
        frames = rng.integers(0, 256, (context, 256, 256, 3), dtype=np.uint8)
        frames[context - len(sent) :] = arrays["frames"][sent]
        yield GoldenCase(
            index=index,
            frames=frames,
            frame_count=len(sent),
            game_id=int(arrays["case_game_id"][index]),
            noise=arrays["noise"][arrays["case_noise"][index]],
            cfg_scale=float(arrays["case_cfg"][index]),
            old_layout=bool(arrays["case_old_layout"][index]),
            actions=arrays["action_tensor"][index],
            j_left=arrays["j_left"][index],
            j_right=arrays["j_right"][index],
            buttons=arrays["buttons"][index],
        )


def decode(actions: NDArray[np.float32], *, old_layout: bool) -> tuple[NDArray[np.float32], ...]:
    """x(1) to (j_left, j_right, buttons) in a layout."""
    if old_layout:
        left, right, buttons = actions[..., :2], actions[..., 2:4], actions[..., 4:]
    else:
        buttons, left, right = actions[..., :-4], actions[..., -4:-2], actions[..., -2:]
    return np.clip(left * 2 - 1, -1, 1), np.clip(right * 2 - 1, -1, 1), (buttons > 0.5).astype(np.float32)


def assert_case(case: GoldenCase, outputs: tuple[NDArray[np.float32], ...]) -> None:
    """Compare (j_left, j_right, buttons, actions) with the reference's."""
    j_left, j_right, buttons, actions = outputs
    where = f"case {case.index}"
    np.testing.assert_allclose(actions, case.actions, rtol=0, atol=ACTIONS_TOLERANCE, err_msg=where)
    np.testing.assert_allclose(j_left, case.j_left, rtol=0, atol=STICKS_TOLERANCE, err_msg=where)
    np.testing.assert_allclose(j_right, case.j_right, rtol=0, atol=STICKS_TOLERANCE, err_msg=where)
    np.testing.assert_array_equal(buttons, case.buttons, err_msg=where)
