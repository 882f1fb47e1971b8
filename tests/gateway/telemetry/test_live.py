"""The live page's data: bounded whatever players do, and nothing of it kept for nobody."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import cv2
import numpy as np
import pytest
import pytest_asyncio

from contract.tensors import FRAME_SHAPE
from gateway.protocol.messages import ActionChunk, MemoryNoise, PlayedRow, Previous, Request, TickNoise
from gateway.telemetry.live import Live
from gateway.telemetry.live_snapshots import Wanted, merged
from gateway.telemetry.port_metrics import Stages
from tests.stack import wait_until

STAGES = Stages(0.001, 0.002, 0.003, 0.01, 0.0005, 0.0005, 0.02)
PREVIOUS = Previous(np.zeros((1, 21), np.float32), *np.zeros((2, 1, 2), np.float32), delay=1)
ROW = PlayedRow("human", (1, *[0] * 20), (0.5, 0.0), (0.0, 0.0))


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def live(clock: Clock) -> AsyncIterator[Live]:
    live = Live("Celeste", clock)
    yield live
    live.close()


def frame(value: int) -> bytes:
    pixels = np.full(FRAME_SHAPE, value, np.uint8)
    pixels[0, 0] = (1, 2, 3)
    return pixels.tobytes()


def chunk(steps: int = 18) -> ActionChunk:
    sticks = np.full((steps, 2), -0.5, np.float32)
    return ActionChunk(sticks, -sticks, np.ones((steps, 21), np.float32))


def predict(live: Live, client: str = "10.0.0.1:5", value: int = 7, **request: Any) -> None:  # noqa: ANN401
    live.answered(
        "tcp",
        client,
        Request("predict", **request),
        model="nitrogen",
        frame=memoryview(frame(value)),
        chunk=chunk(),
        stages=STAGES,
    )


async def only_player(live: Live) -> dict[str, Any]:
    (player,) = (await live.snapshot(Wanted()))["players"]
    return player


@pytest.mark.parametrize(
    ("request_", "fit"),
    [
        ({}, ""),
        ({"noise": MemoryNoise(0.9)}, "memory 0.9"),
        ({"noise": TickNoise(7), "previous": PREVIOUS}, "noise by tick, conditioned"),
    ],
)
async def test_how_chunks_are_made_to_fit_is_told(live: Live, request_: dict[str, Any], fit: str) -> None:
    await live.snapshot(Wanted())
    predict(live, **request_)
    assert (await only_player(live))["fit"] == fit


async def test_whoever_looks_sees_who_plays_and_how_fast(live: Live, clock: Clock) -> None:
    await live.snapshot(Wanted())
    for _ in range(10):
        predict(live)
        clock.now += 0.5
    player = await only_player(live)
    assert (player["port"], player["client"], player["model"]) == ("tcp", "10.0.0.1:5", "nitrogen")
    assert (player["age_s"], player["idle_s"], player["errors"]) == (5, 0.5, 0)
    assert player["actions_per_s"] == pytest.approx(36, rel=0.01)
    assert player["stages_ms"]["total"] == 20
    assert player["stages_ms"]["queue"] == 3


@pytest.mark.parametrize(
    ("given", "shown"),
    [({}, "Celeste"), ({"game": None}, "none"), ({"game": 3}, "3"), ({"game": "Hades"}, "Hades")],
)
async def test_the_game_is_the_requests_or_the_gateways(
    live: Live, given: dict[str, Any], shown: str
) -> None:
    predict(live, **given)
    assert (await only_player(live))["game"] == shown


async def test_a_predict_without_actions_counts_as_one(live: Live) -> None:
    live.answered("zmq", "one", Request("predict"), model="unknown", frame=None, chunk=None, stages=STAGES)
    player = await only_player(live)
    assert (player["errors"], player["actions_per_s"], player["stages_ms"]) == (1, 0, None)


async def test_the_chosen_ones_picture_is_what_the_model_saw(live: Live) -> None:
    predict(live)
    id_ = (await only_player(live))["id"]
    assert "chosen" not in await live.snapshot(Wanted(id_))
    predict(live, value=9)
    first = (await live.snapshot(Wanted(id_)))["chosen"]
    image = cv2.imdecode(np.frombuffer(base64.b64decode(first["png"]), np.uint8), cv2.IMREAD_COLOR)
    assert cv2.cvtColor(image, cv2.COLOR_BGR2RGB).tobytes() == frame(9)
    assert first["pred"]["buttons"] == np.ones((18, 21)).tolist()
    assert first["pred"]["j_left"][17] == [-0.5, -0.5]
    assert "chosen" not in await live.snapshot(Wanted(id_, first["change"]))
    predict(live, value=10)
    predict(live, value=11)
    second = (await live.snapshot(Wanted(id_, first["change"])))["chosen"]
    assert (second["picture"], second["png"] != first["png"]) == (3, True)


async def test_what_was_really_pressed_is_shown_while_the_player_tells_it(live: Live) -> None:
    live.played("tcp", "10.0.0.1:5", (ROW,))
    id_ = (await only_player(live))["id"]
    await live.snapshot(Wanted(id_))
    live.played("tcp", "10.0.0.1:5", (ROW, ROW))
    told = (await live.snapshot(Wanted(id_)))["chosen"]
    assert [row["by"] for row in told["played"]] == ["human", "human"]
    assert "png" not in told
    predict(live)
    assert len((await live.snapshot(Wanted(id_)))["chosen"]["played"]) == 2
    predict(live)
    assert "played" not in (await live.snapshot(Wanted(id_)))["chosen"]


async def test_a_player_who_has_left_is_not_shown(live: Live, clock: Clock) -> None:
    predict(live, "gone")
    clock.now += 9
    predict(live, "here")
    assert len((await live.snapshot(Wanted()))["players"]) == 2
    clock.now += 2
    assert [one["client"] for one in (await live.snapshot(Wanted()))["players"]] == ["here"]


async def test_a_player_whose_connection_ends_goes_at_once(live: Live) -> None:
    predict(live, "gone")
    live.left("tcp", "gone")
    live.left("tcp", "never there")
    assert (await live.snapshot(Wanted()))["players"] == []


async def test_when_nobody_looks_any_more_all_but_errors_is_forgotten(live: Live) -> None:
    assert not live.is_watched
    live.failed("busy", "try again", "one")
    predict(live)
    await live.snapshot(Wanted())
    assert live.is_watched
    await asyncio.to_thread(wait_until, lambda: not live.is_watched, "it forgets")
    found = await live.snapshot(Wanted())
    assert (found["players"], list(found["errors"])) == ([], ["busy"])


async def test_errors_are_counted_by_cause_with_the_last_sentences(live: Live, clock: Clock) -> None:
    for number in range(5):
        live.failed("bad_request", f"sentence {number}", "10.0.0.1:5")
        clock.now += 1
    errors = (await live.snapshot(Wanted()))["errors"]
    assert errors["bad_request"]["count"] == 5
    assert [one["sentence"] for one in errors["bad_request"]["last"]] == [f"sentence {n}" for n in (4, 3, 2)]
    assert [one["ago_s"] for one in errors["bad_request"]["last"]] == [1, 2, 3]


async def test_everything_is_bounded(live: Live) -> None:
    await live.snapshot(Wanted())
    for number in range(1500):
        predict(live, f"client {number} " + "x" * 10_000, game="y" * 1000)
        live.failed(f"cause {number}", "z" * 10_000, "w" * 10_000)
    found = await live.snapshot(Wanted())
    assert (found["count"], len(found["players"])) == (1000, 100)
    assert all(len(one["client"]) < 90 and len(one["game"]) < 90 for one in found["players"])
    assert len(found["errors"]) == 32
    assert all(len(one["last"][0]["sentence"]) < 310 for one in found["errors"].values())
    for number in range(100):
        await live.snapshot(Wanted(f"player {number}", has_players=False))
    for player in found["players"]:
        await live.snapshot(Wanted(player["id"], has_players=False))
        predict(live, player["client"])
    assert len(live._chosen) == 16


async def test_names_are_one_line_whatever_they_hold(live: Live) -> None:
    predict(live, "a\nb\u2028c\x1b[2J", game="\ud800")
    live.failed("bad_request", "line\r\nanother", "a\nb")
    found = await live.snapshot(Wanted())
    assert found["players"][0]["client"] == "a\\nb\\u2028c\\x1b[2J"
    assert found["players"][0]["game"] == "\\ud800"
    assert found["errors"]["bad_request"]["last"][0]["sentence"] == "line\\r\\nanother"


async def test_a_gateway_that_has_stopped_knows_nothing(live: Live) -> None:
    predict(live)
    live.close()
    assert await live.snapshot(Wanted("somebody")) == {}
    assert not live.is_watched


async def test_workers_are_shown_as_one_gateway(clock: Clock) -> None:
    workers = [Live(None, clock), Live(None, clock)]
    for number, live in enumerate(workers):
        await live.snapshot(Wanted())
        predict(live, f"player {number}")
        live.failed("busy", f"worker {number}", "one")
        clock.now += 1
    workers[1].failed("deadline", "too late", "two")
    (player,) = (await workers[1].snapshot(Wanted()))["players"]
    await workers[1].snapshot(Wanted(player["id"]))
    predict(workers[1], "player 1")
    found = merged([await live.snapshot(Wanted(player["id"])) for live in workers])
    assert [one["client"] for one in found["players"]] == ["player 0", "player 1"]
    assert found["count"] == 2
    assert found["chosen"]["id"] == player["id"]
    assert (found["errors"]["busy"]["count"], found["errors"]["deadline"]["count"]) == (2, 1)
    assert [one["sentence"] for one in found["errors"]["busy"]["last"]] == ["worker 1", "worker 0"]
    assert merged([]) == {}
    for live in workers:
        live.close()
