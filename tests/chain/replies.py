"""The expected replies of both ports."""

from typing import Any

import numpy as np

from tests.chain.direct import Outputs

# Batches of different sizes differ in the last bits; port 5556 also rounds to three decimals.
TOLERANCE = {"zmq": 1e-4, "tcp": 1e-4 + 0.0005}
PARTS = ("j_left", "j_right", "buttons")


def assert_same_bits(reply: dict[str, Any], expected: Outputs) -> None:
    """A reply of port 5555 holds exactly the model's float32 outputs."""
    assert reply["status"] == "ok", reply
    for name in PARTS:
        np.testing.assert_array_equal(reply["pred"][name], expected[name], err_msg=name)


def assert_same_decimals(reply: dict[str, Any], expected: Outputs) -> None:
    """A reply of port 5556 holds the model's outputs with three decimals, buttons as whole numbers."""
    assert reply["status"] == "ok", reply
    for name in PARTS:
        written = [[float(f"{value:.3f}") for value in row] for row in expected[name].tolist()]
        assert reply["pred"][name] == written, name


def assert_close(reply: dict[str, Any], expected: Outputs, tolerance: float) -> None:
    """A reply of either port is the model's answer, computed in a batch of another size."""
    assert reply["status"] == "ok", reply
    for name in ("j_left", "j_right"):
        actual = np.asarray(reply["pred"][name])
        np.testing.assert_allclose(actual, expected[name], rtol=0, atol=tolerance, err_msg=name)
    np.testing.assert_array_equal(np.asarray(reply["pred"]["buttons"]), expected["buttons"])
