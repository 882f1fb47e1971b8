"""The facts of a checkpoint as a config's parameters, written by export and read by the gateway."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.facts import Accuracy, Facts, FactsError, facts_from_parameters

COUNTS = st.integers(1, 10**9 - 1)
# As many digits as are written.
DIFFERENCES = st.floats(0, 1e6).map(lambda value: float(f"{value:.3g}"))
FACTS = st.builds(
    Facts,
    checkpoint_path=st.text(),
    checkpoint_sha256=st.text(),
    adapter_sha256=st.text(),
    horizon=COUNTS,
    context_length=COUNTS,
    games=st.just(()) | st.lists(st.text()).map(lambda names: (None, *names)),
    old_layout=st.booleans(),
    action_interleaving=st.booleans(),
    inference_steps=COUNTS,
    cfg_scale=st.floats(allow_nan=False, allow_infinity=False),
    precision=st.text(),
    accuracy=st.builds(Accuracy, DIFFERENCES, DIFFERENCES, DIFFERENCES),
)


@given(FACTS)
def test_what_is_written_is_what_is_read(facts: Facts) -> None:
    assert facts_from_parameters(facts.to_parameters()) == facts


def read(parameters: dict[str, str]) -> Facts | str:
    """The facts, or why there are none."""
    try:
        return facts_from_parameters(parameters)
    except FactsError as error:
        return str(error)


@given(FACTS, st.sampled_from(["action_horizon", "games", "old_layout", "cfg_scale"]), st.text())
def test_any_text_is_read_or_named(facts: Facts, key: str, text: str) -> None:
    found = read(facts.to_parameters() | {key: text})
    assert isinstance(found, Facts) or f"its parameter {key} is {text[:80]!r}, but " in found


@pytest.mark.parametrize("text", ["", "much", "nan", "-inf"])
@given(FACTS)
def test_guidance_that_is_not_a_finite_number_is_named(text: str, facts: Facts) -> None:
    assert f"its parameter cfg_scale is {text!r}, but " in str(
        read(facts.to_parameters() | {"cfg_scale": text})
    )


@given(FACTS)
def test_an_older_config_knows_no_adapters_and_precisions(facts: Facts) -> None:
    later = ("adapter_sha256", "precision", "self_check_")
    parameters = {key: text for key, text in facts.to_parameters().items() if not key.startswith(later)}
    older = facts_from_parameters(parameters)
    assert (older.adapter_sha256, older.precision, older.accuracy) == ("", "fp32", Accuracy(0, 0, 0))
    assert older.checkpoint_sha256 == facts.checkpoint_sha256
