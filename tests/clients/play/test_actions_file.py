"""The file of what was pressed: written, read, and the reference's own."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nitrogen_play.errors import RecordingError
from nitrogen_play.pad import BUTTONS, PadState
from nitrogen_play.recording.actions_file import RecordedStep, read_steps, step_line

AXIS = st.integers(-32_767, 32_767)
STATES = st.builds(
    PadState, st.frozensets(st.sampled_from(BUTTONS)), st.tuples(AXIS, AXIS), st.tuples(AXIS, AXIS)
)


@given(
    st.lists(
        st.tuples(
            STATES, st.integers(0, 3), st.integers(0, 5), st.sampled_from(["model", "human"]), st.booleans()
        ),
        min_size=1,
        max_size=5,
    )
)
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, given_steps: list[tuple[PadState, int, int, str, bool]]
) -> None:
    steps = []
    tick = 0
    for index, (state, gap, ticks, by, began_again) in enumerate(given_steps):
        tick += gap
        steps.append(RecordedStep(state, 2, index, tick, ticks, by, began_again))
        tick += ticks
    path = tmp_path_factory.getbasetemp() / "written.jsonl"
    path.write_text("".join(step_line(step) for step in steps))
    assert read_steps(path) == steps


def test_a_file_of_the_references_has_one_tick_per_line(tmp_path: Path) -> None:
    fields: dict[str, object] = dict.fromkeys(BUTTONS, 0)
    fields |= {"AXIS_LEFTX": [-3276], "AXIS_LEFTY": [0], "AXIS_RIGHTX": [0], "AXIS_RIGHTY": [32767]}
    fields |= {"LEFT_TRIGGER": [255], "RIGHT_TRIGGER": [0], "SOUTH": 1, "step": 0, "substep": 0}
    path = tmp_path / "0001_ACTIONS.json"
    path.write_text(2 * (json.dumps(fields) + "\n"))
    first, second = read_steps(path)
    assert first.state == PadState(frozenset({"SOUTH", "LEFT_TRIGGER"}), (-3276, 0), (0, 32_767))
    assert (first.tick, first.ticks, second.tick, second.ticks) == (0, 1, 1, 1)
    assert first.by == "model"


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    line = step_line(RecordedStep(PadState(frozenset(), (1, 2), (3, 4)), 0, 0, 0, 1))
    path = tmp_path / "0001_ACTIONS.jsonl"
    path.write_text(line + line[:-20])
    assert len(read_steps(path)) == 1


def test_a_hand_that_nobody_has_is_named(tmp_path: Path) -> None:
    path = tmp_path / "0001_ACTIONS.jsonl"
    step = RecordedStep(PadState(frozenset(), (1, 2), (3, 4)), 0, 0, 0, 1, "model")
    path.write_text(step_line(step).replace('"model"', '"cat"'))
    with pytest.raises(RecordingError, match="\"by\" is 'cat'"):
        read_steps(path)


@pytest.mark.parametrize(
    "line",
    ["{}\n", "text\n", "[1]\n", '{"AXIS_LEFTX": [9999999]}\n', "[" * 100_000 + "\n", '{"AXIS_LEFTX": 5}\n'],
    ids=["empty", "text", "list", "range", "deep", "axis"],
)
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    good = step_line(RecordedStep(PadState(frozenset(), (1, 2), (3, 4)), 0, 0, 0, 1))
    path = tmp_path / "0001_ACTIONS.jsonl"
    path.write_text(good + line)
    with pytest.raises(RecordingError, match=r"line 2 of .*0001_ACTIONS.jsonl is not a line of actions"):
        read_steps(path)


def test_ticks_that_go_back_are_an_error(tmp_path: Path) -> None:
    step = RecordedStep(PadState(frozenset(), (1, 2), (3, 4)), 0, 0, 7, 1)
    path = tmp_path / "0001_ACTIONS.jsonl"
    path.write_text(2 * step_line(step))
    with pytest.raises(RecordingError, match="line 2"):
        read_steps(path)


def test_an_empty_file_and_a_missing_one_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "0001_ACTIONS.jsonl"
    with pytest.raises(RecordingError, match="cannot be read"):
        read_steps(path)
    path.touch()
    with pytest.raises(RecordingError, match="no actions"):
        read_steps(path)
