"""The values of `--noise`, and what they make of a picture's tick."""

import pytest
from nitrogen_play.arguments import play_arguments
from nitrogen_play.noise import read_noise

RETRO = ("--retro", "Airstriker-Genesis-v0")


@pytest.mark.parametrize(
    ("text", "field"),
    [("fresh", None), ("memory:0.9", {"memory": 0.9}), ("memory:1", {"memory": 1.0}), ("tick", {"tick": 7})],
)
def test_each_kind_has_its_field(text: str, field: dict[str, float] | None) -> None:
    assert read_noise(text).field(7) == field


@pytest.mark.parametrize("text", ["", "Fresh", "memory", "memory:", "memory:1.1", "memory:-1", "memory:nan"])
def test_a_wrong_kind_is_one_sentence(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        play_arguments((*RETRO, f"--noise={text}"))
    assert f"{text!r} is not fresh, tick, or memory:SHARE" in capsys.readouterr().err.splitlines()[-1]


def test_a_seed_contradicts_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert play_arguments((*RETRO, "--seed", "1", "--noise", "fresh")).seed == 1
    with pytest.raises(SystemExit):
        play_arguments((*RETRO, "--seed", "1", "--noise", "tick"))
    assert "--seed already fixes the noise" in capsys.readouterr().err
