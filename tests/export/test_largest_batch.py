"""The largest batch is run before a version is published; what it takes, and what is told when it fails."""

import pytest
import torch

from export.errors import VerificationError
from export.formats.largest_batch import run_largest_batch
from export.formats.self_check import Inputs, Outputs, Reference, reference_answers
from tests.export.golden_networks import golden_network


@pytest.fixture(scope="module")
def reference() -> Reference:
    return reference_answers(golden_network("tiny", steps=2))


def test_its_memory_is_reported(reference: Reference) -> None:
    model = golden_network("tiny", steps=2)

    def graph(inputs: Inputs) -> Outputs:
        with torch.inference_mode():
            return model(*inputs)

    taken = run_largest_batch(graph, reference, 64)
    assert taken is not None
    # Its pictures alone, as floating-point numbers.
    assert taken > 64 * 256 * 256 * 3 * 4


def test_memory_that_is_not_there_is_told_with_the_flag_that_helps(reference: Reference) -> None:
    def graph(inputs: Inputs) -> Outputs:
        torch.zeros([inputs[0].size(0) << 50])
        raise AssertionError("there was that much memory")

    with pytest.raises(
        VerificationError, match=r"does not run a batch of 8 .*allocate .*a smaller --max-batch-size"
    ):
        run_largest_batch(graph, reference, 8)


def test_answers_that_are_not_finite_are_refused(reference: Reference) -> None:
    def graph(inputs: Inputs) -> Outputs:
        actions = inputs[3] if inputs[3].size(0) < 8 else inputs[3] / 0
        return actions, actions, actions, actions

    with pytest.raises(VerificationError, match="a batch of 8 are not finite"):
        run_largest_batch(graph, reference, 8)
