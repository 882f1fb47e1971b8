"""The rows that `nitrogen-play` tells the server: each tick once, and no server is the worse for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nitrogen_play.pad import BUTTONS, NEUTRAL, PadState
from nitrogen_play.played_rows import PlayedRows
from nitrogen_play.recording.actions_file import read_steps

from gateway.telemetry.recording_format import RecordedPlayed, is_recording, read_recording
from tests.clients.play.runs import GAME, play
from tests.gateways import GatewayProcess, gateway_process
from tests.stack import Stack, wait_until

RIGHT = PadState(frozenset({"DPAD_RIGHT"}), (32_767, 0), (0, -16_384))


def by_tick(told: list[tuple[int, list[dict[str, Any]]]]) -> dict[int, dict[str, Any]]:
    rows = [(tick + number, row) for tick, rows in told for number, row in enumerate(rows)]
    assert [tick for tick, _ in rows] == list(range(rows[0][0], rows[0][0] + len(rows)))
    return dict(rows)


def test_a_row_has_the_columns_of_a_chunk() -> None:
    rows = PlayedRows()
    rows.hold(RIGHT, 7, 8)
    ((tick, (row,)),) = rows.take()
    assert (tick, row["by"], row["j_left"]) == (7, "model", [1, 0])
    assert row["j_right"] == pytest.approx([0, -0.5], abs=1e-4)
    assert [name for name, value in zip(BUTTONS, row["buttons"], strict=True) if value] == ["DPAD_RIGHT"]


def test_what_was_held_on_meanwhile_is_told_too() -> None:
    rows = PlayedRows()
    rows.hold(RIGHT, 10, 11)
    assert [tick for tick, _ in rows.take()] == [10]
    assert rows.take() == []
    rows.hold(NEUTRAL, 14, 14)
    rows.hold(RIGHT, 16, 17)
    pressed = {tick: sum(row["buttons"]) for tick, row in by_tick(rows.take()).items()}
    assert pressed == {11: 1, 12: 1, 13: 1, 14: 0, 15: 0, 16: 1}


@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 400)), min_size=1, max_size=20))
def test_of_any_length_each_tick_is_told_once_and_the_oldest_go_first(steps: list[tuple[int, int]]) -> None:
    rows = PlayedRows()
    now = 0
    for missed, held in steps:
        rows.hold(RIGHT, now + missed, now + missed + held)
        now += missed + held
    told = rows.take()
    assert all(1 <= len(some) <= 64 for _, some in told)
    length = min(now - steps[0][0], 256)
    assert sum(len(some) for _, some in told) == length
    if told:
        assert list(by_tick(told)) == list(range(now - length, now))


@contextmanager
def recording_gateway(stack: Stack, folder: Path) -> Iterator[GatewayProcess]:
    with gateway_process(stack.triton_endpoint, f"--record={folder}") as gateway:
        yield gateway


def test_the_server_is_told_what_the_recording_has(tiny_stack: Stack, tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    with recording_gateway(tiny_stack, folder) as gateway:
        address = ("--ip", "127.0.0.1", "--port", str(gateway.zmq))
        code, _, errors = play(tmp_path, "--retro", GAME, *address, "--steps", "40", "--seed", "1")
        assert (code, errors) == (0, "")

        def told() -> list[RecordedPlayed]:
            paths = sorted(path for path in folder.iterdir() if is_recording(path.name))
            return [one for one in map(read_recording, paths) if isinstance(one, RecordedPlayed)]

        wait_until(lambda: sum(len(one.fields["rows"]) for one in told()) == 40, "all is recorded")
        rows = by_tick([(one.fields["tick"], one.fields["rows"]) for one in told()])
    steps = read_steps(tmp_path / "out" / "ng" / "0001_ACTIONS.jsonl")
    assert list(rows) == [step.tick for step in steps] == list(range(40))
    for step, row in zip(steps, rows.values(), strict=True):
        on = {name for name, value in zip(BUTTONS, row["buttons"], strict=True) if value}
        assert (row["by"], on) == ("model", step.state.pressed)
        assert row["j_left"] == pytest.approx([value / 32_767 for value in step.state.left])
