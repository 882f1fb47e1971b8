"""Chunks that continue the plan: from `nitrogen-play --async` through the real chain and back."""

import json
import time
from pathlib import Path

import numpy as np
from nitrogen_client import ModelClient
from nitrogen_play.asking import Answer, Asker
from nitrogen_play.conditioning import Previous
from nitrogen_play.noise import TickNoise
from nitrogen_play.pad import PadState, action_arrays
from nitrogen_play.recording.actions_file import read_steps

from export.repository.live import activate
from gateway.telemetry.recording_format import RecordedPredict, is_recording, read_recording
from tests.chain.served_models import Repository, running_triton
from tests.clients.play.runs import GAME, play
from tests.export.exported_before import make_exported_before
from tests.export.golden_networks import golden_network
from tests.gateways import gateway_process
from tests.patience import WITHIN_S
from tests.stack import Stack

PLAN = tuple(PadState(frozenset({"SOUTH", "DPAD_LEFT"}), (step * 1_000, 0), (0, -9_000)) for step in range(5))
PICTURE = np.zeros((256, 256, 3), np.uint8)


def recorded_predicts(folder: Path) -> list[RecordedPredict]:
    read = map(read_recording, sorted(path for path in folder.iterdir() if is_recording(path.name)))
    return [one for one in read if isinstance(one, RecordedPredict)]


def test_a_chunk_continues_what_is_pressed(tiny_stack: Stack, tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    flags = ("--async", "--fps", "30", "--steps", "120", "--noise", "tick", "--summary", "summary.json")
    with gateway_process(tiny_stack.triton_endpoint, f"--record={folder}") as gateway:
        address = ("--ip", "127.0.0.1", "--port", str(gateway.zmq))
        code, said, errors = play(tmp_path, "--retro", GAME, *address, *flags)
    assert (code, errors) == (0, "")
    assert "picture to button" in said
    predicts = recorded_predicts(folder)
    continued = [one for one in predicts if "previous" in one.fields]
    figures = json.loads((tmp_path / "summary.json").read_text())
    assert len(predicts) - 1 <= figures["chunks"] <= len(predicts)
    assert 1 <= figures["conditioned_chunks"] <= len(continued)
    assert (
        figures["picture_to_button"]["ticks"]["largest"]
        >= figures["picture_to_button"]["ticks"]["median"]
        >= 1
    )
    (path,) = tmp_path.glob("out/ng/*_ACTIONS.jsonl")
    pressed = {step.tick: step.state for step in read_steps(path)}
    for one in predicts:
        assert one.fields["noise"] == {"tick": one.fields["tick"]}
    for one in continued:
        assert one.chunk is not None
        previous, delay = one.fields["previous"], one.fields["delay"]
        # Its first row is what was pressed in the picture's own tick.
        now = action_arrays([pressed[one.fields["tick"]]])
        for name, rows in previous.items():
            np.testing.assert_allclose(rows[0], now[name][0], atol=1e-6)
            # And what will have been pressed comes back as it is.
            np.testing.assert_allclose(getattr(one.chunk, name)[:delay], rows[:delay], atol=1e-4)


def test_without_it_nothing_is_continued(tiny_stack: Stack, tmp_path: Path) -> None:
    address = ("--ip", "127.0.0.1", "--port", str(tiny_stack.zmq_port), "--no-record")
    more = ("--async", "--steps", "60", "--summary", "summary.json", "--no-conditioning")
    assert play(tmp_path, "--retro", GAME, *address, *more)[0] == 0
    assert json.loads((tmp_path / "summary.json").read_text())["conditioned_chunks"] == 0


def test_a_summary_that_cannot_be_written_ends_it_before_the_game(tiny_stack: Stack, tmp_path: Path) -> None:
    address = ("--ip", "127.0.0.1", "--port", str(tiny_stack.zmq_port), "--no-record")
    code, _, errors = play(tmp_path, "--retro", GAME, *address, "--summary", "nowhere/summary.json")
    assert code == 1
    assert errors.startswith("nitrogen-play: the summary nowhere/summary.json cannot be written: ")
    assert len(errors.splitlines()) == 1


def asked(asker: Asker, tick: int) -> Answer:
    asker.ask(PICTURE, tick, time.monotonic(), Previous(PLAN, 2))
    answer = asker.answer(WITHIN_S)
    assert answer is not None
    assert answer.states is not None, answer.problem
    return answer


def test_a_model_without_it_that_takes_over_ends_no_game(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    repository.export("tiny", "nitrogen", 2)
    (tmp_path / "triton").mkdir()
    with (
        running_triton(repository, ["nitrogen"], tmp_path / "triton") as served,
        gateway_process(served.endpoint) as gateway,
        Asker(
            ModelClient("127.0.0.1", gateway.zmq, retries=0),
            allow_menu=False,
            resize_mode="pad",
            noise=TickNoise(),
            tells_ticks=True,
        ) as asker,
    ):
        first = asked(asker, 7)
        assert (first.is_conditioned, first.note) == (True, None)
        assert first.states is not None
        assert [state.pressed for state in first.states[:2]] == [state.pressed for state in PLAN[:2]]
        before = repository.export("tiny", "nitrogen", 3)
        make_exported_before(before, golden_network("tiny", steps=3))
        activate(repository.folder, "nitrogen", before.number, served.endpoint)
        second, third = asked(asker, 9), asked(asker, 11)
        assert (second.is_conditioned, third.is_conditioned) == (False, False)
        assert second.note is not None
        assert "without chunk conditioning" in second.note
        assert third.note is None
        assert not asker.takes_previous
