"""When the log says that a model is too slow for games in real time."""

from dataclasses import replace

import pytest

from gateway.real_time import RealTime
from gateway.triton.facts import ModelFacts

FACTS = ModelFacts(
    model="nitrogen",
    version=1,
    checkpoint_path="ng.pt",
    checkpoint_sha256="0" * 64,
    horizon=18,
    context_length=1,
    games=(None,),
    old_layout=False,
    action_interleaving=False,
    inference_steps=16,
    cfg_scale=1.0,
)


def told(caplog: pytest.LogCaptureFixture, *answers: tuple[ModelFacts, list[float]]) -> list[str]:
    """Return what is said of answers that took these seconds."""
    watch = RealTime()
    for facts, seconds in answers:
        for each in seconds:
            watch.answered(facts, each)
    return caplog.messages


def test_it_says_what_is_slow_and_what_helps(caplog: pytest.LogCaptureFixture) -> None:
    assert told(caplog, (FACTS, [1.25] * 20)) == [
        "nitrogen takes 1.25 s to answer, but its 18 actions last 0.30 s at 60 a second: it is too slow for "
        "real-time play. These help: fewer sampler steps (--steps 4, now 16), fewer players at once, or "
        "playing in turns, where the game waits for each chunk"
    ]


@pytest.mark.parametrize("seconds", [[0.3] * 20, [2.0] * 8, [2.0] * 4 + [0.1] * 20, [0.1, 0.1, 2.0] * 20])
def test_a_few_slow_answers_are_nothing_to_speak_of(
    caplog: pytest.LogCaptureFixture, seconds: list[float]
) -> None:
    assert told(caplog, (FACTS, seconds)) == []


def test_it_is_said_once_for_each_version_and_model(caplog: pytest.LogCaptureFixture) -> None:
    newer, fast = replace(FACTS, version=2), replace(FACTS, model="nitrogen-fast", inference_steps=4)
    said = told(caplog, *((facts, [1.0] * 30) for facts in (FACTS, newer, newer, fast)))
    assert len(said) == 3
    assert "--steps" not in said[2]
