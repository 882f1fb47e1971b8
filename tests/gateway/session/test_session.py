"""Sessions: order, deadlines and limits, with inference times set by the test.

A real Triton serves them; a request's game is how many hundredths of a second its inference takes (see
`timed_triton`).
"""

import asyncio
import re
import threading
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from contract.endpoint import parse_endpoint
from gateway.client_noise import ClientNoise
from gateway.contexts import Context
from gateway.data_plane import DataPlane, Seen
from gateway.errors import RequestError, StoppingError
from gateway.protocol.messages import (
    FRESH,
    Image,
    MemoryNoise,
    Noise,
    Pixels,
    RawFrame,
    Reply,
    Request,
    TickNoise,
)
from gateway.session.admission import Admission
from gateway.session.pending_request import PendingRequest
from gateway.session.session import PortService, Session
from gateway.telemetry.metrics import Metrics
from gateway.triton.connection import TritonConnection
from gateway.triton.registry import ModelRegistry
from tests.black_frame import FRAME_BYTES
from tests.patience import WITHIN_S
from tests.stand_ins.timed_triton import INFINITE, NEVER, RAISE, TimedTriton


class Client:
    """A session, and the replies that it has sent."""

    def __init__(
        self,
        plane: DataPlane,
        deadline_s: float = 20,
        at_triton: int = 100,
        admission: Admission | None = None,
        address: str = "10.0.0.1",
    ) -> None:
        self.replies: list[Reply] = []
        self._encoded: list[Reply] = []
        self.session = Session(
            PortService(plane, Metrics().port("zmq"), admission or Admission(1000), deadline_s, at_triton),
            Context(),
            address=address,
            client="somebody",
            on_progress=lambda: None,
        )

    def _encode(self, reply: Reply) -> bytes:
        self._encoded.append(reply)
        return str(len(self._encoded) - 1).encode()

    def pending(self) -> PendingRequest:
        return PendingRequest(lambda data: self.replies.append(self._encoded[int(data)]), self._encode)

    def submit(self, request: Request) -> None:
        self.session.submit(self.pending(), request)

    def predict(self, image: Image, game: int = 0, noise: Noise = FRESH, model: str | None = None) -> None:
        self.submit(Request("predict", image=image, game=game, noise=noise, model=model))

    def seen(self) -> list[tuple[int, int, int]]:
        """Per predict: the frames that the model saw, first byte of the newest and of the oldest slot."""
        chunks = [reply.chunk for reply in self.replies if reply.chunk is not None]
        return [
            (round(chunk.j_left[0, 0] * 10), *(round(value * 255) for value in chunk.j_right[0].tolist()))
            for chunk in chunks
        ]

    def first_noise(self) -> list[float]:
        """Per predict: the first value of the noise that the model was given, clipped to [-1, 1]."""
        return [float(reply.chunk.j_left[0, 1]) for reply in self.replies if reply.chunk is not None]


SEED = 15


@pytest_asyncio.fixture
async def plane(timed_triton: TimedTriton) -> AsyncIterator[DataPlane]:
    connection = TritonConnection(parse_endpoint(timed_triton.endpoint))
    await connection.start()
    models = ModelRegistry(connection, "nitrogen")
    await models.start()
    await models.default.fresh_facts()
    plane = DataPlane(models, random=np.random.default_rng(SEED))
    yield plane
    plane.close()
    await models.close()
    await connection.close()


def raw(value: int) -> RawFrame:
    return RawFrame(bytes([value]) * FRAME_BYTES)


def large(value: int) -> Pixels:
    """An image that has to be resized, which takes its time."""
    return Pixels(np.full((1500, 1500, 3), value, np.uint8))


async def test_replies_come_in_the_order_of_the_requests(plane: DataPlane) -> None:
    client = Client(plane)
    for value, hundredths in ((1, 30), (2, 0), (3, 10), (4, 0)):
        client.predict(raw(value), hundredths)
    client.session.refuse(client.pending(), RequestError("was wrong"))
    assert client.session.in_flight == 5
    await client.session.drain()
    assert [newest for _, newest, _ in client.seen()] == [1, 2, 3, 4]
    assert client.replies[4].error == "was wrong"
    assert client.session.in_flight == 0


async def test_a_model_too_slow_for_real_time_is_told_once(
    plane: DataPlane, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(plane)
    for _ in range(20):
        client.predict(raw(1), game=40)
    await client.session.drain()
    told = [message for message in caplog.messages if "real-time" in message]
    assert len(told) == 1
    assert "its 18 actions last 0.30 s at 60 a second: it is too slow for real-time play" in told[0]


async def test_frames_count_in_order_of_arrival_however_long_they_take_to_decode(plane: DataPlane) -> None:
    client = Client(plane)
    for value in range(1, 13):
        client.predict((large if value % 3 == 1 else raw)(value))
    await client.session.drain()
    expected = [(min(value, 3), value, value - 2 if value > 2 else 0) for value in range(1, 13)]
    assert client.seen() == expected


@pytest.mark.parametrize(
    "noises",
    [[MemoryNoise(0.9)] * 9, [TickNoise(tick) for tick in (0, 3, 6, 7, 7, 20, 50, 2, 3)]],
    ids=["memory", "tick"],
)
async def test_noise_advances_in_order_of_arrival_however_long_frames_take(
    plane: DataPlane, noises: list[Noise]
) -> None:
    client = Client(plane)
    for value, noise in enumerate(noises, 1):
        client.predict((large if value % 3 == 1 else raw)(value), 10 - value, noise)
    await client.session.drain()
    alone, random = ClientNoise(), np.random.default_rng(SEED)
    expected = [np.clip(alone.next(noise, 18, random)[0, 0], -1, 1) for noise in noises]
    assert client.first_noise() == pytest.approx(expected, abs=1e-6)


async def test_noise_is_remembered_from_before_the_models_facts_are_known(timed_triton: TimedTriton) -> None:
    connection = TritonConnection(parse_endpoint(timed_triton.endpoint))
    await connection.start()
    models = ModelRegistry(connection, "nitrogen")
    await models.start()
    plane = DataPlane(models, random=np.random.default_rng(SEED))
    try:
        assert models.default.known_facts is None
        client = Client(plane)
        for _ in range(3):
            client.predict(raw(1), noise=MemoryNoise(1))
            await client.session.drain()
        assert models.default.known_facts is not None
        assert len(client.first_noise()) == 3
        assert len(set(client.first_noise())) == 1
    finally:
        plane.close()
        await models.close()
        await connection.close()


async def test_noise_of_another_horizon_is_not_used_where_a_version_was_swapped(plane: DataPlane) -> None:
    request = Request("predict", image=raw(1), game=0, noise=MemoryNoise(1))
    seen = Seen((raw(1).data,), np.zeros((16, 25), np.float32))
    reply = await plane.answer(request, seen, asyncio.get_running_loop().time() + WITHIN_S)
    assert reply.chunk is not None
    assert reply.chunk.j_left[0, 1] != 0


async def test_noise_is_gone_with_a_reset_and_with_another_model(plane: DataPlane) -> None:
    client = Client(plane)
    for _ in range(2):
        client.predict(raw(1), noise=MemoryNoise(1))
    client.submit(Request("reset"))
    for _ in range(2):
        client.predict(raw(1), noise=MemoryNoise(1))
    client.predict(raw(1), noise=MemoryNoise(1), model="none-such")
    client.predict(raw(1), noise=MemoryNoise(1))
    await client.session.drain()
    first, again, after_reset, then, last = client.first_noise()
    assert first == again
    assert after_reset == then
    assert len({first, after_reset, last}) == 3


async def test_each_client_has_its_own_noise_and_fresh_noise_leaves_it_alone(plane: DataPlane) -> None:
    one, other = Client(plane), Client(plane, address="10.0.0.2")
    for noise in (MemoryNoise(1), FRESH, MemoryNoise(1)):
        one.predict(raw(1), noise=noise)
        other.predict(raw(1), noise=noise)
    one.submit(Request("predict", image=raw(1), seed=3))
    one.predict(raw(1), noise=MemoryNoise(1))
    await one.session.drain()
    await other.session.drain()
    mine, others = one.first_noise(), other.first_noise()
    assert mine[0] == mine[2] == mine[4]
    assert others[0] == others[2]
    assert mine[0] != others[0]


async def test_reset_has_its_place_in_the_order(plane: DataPlane) -> None:
    client = Client(plane)
    client.predict(large(1))
    client.predict(raw(2))
    client.submit(Request("reset"))
    client.predict(raw(3))
    await client.session.drain()
    assert [count for count, *_ in client.seen()] == [1, 2, 1]
    assert client.replies[2] == Reply()


async def test_a_frame_counts_though_its_inference_failed(plane: DataPlane) -> None:
    client = Client(plane)
    client.submit(Request("predict", image=raw(1), game="Sonic"))
    client.predict(raw(2))
    await client.session.drain()
    assert "'Sonic' is unknown" in str(client.replies[0].error)
    assert client.seen() == [(2, 2, 0)]


async def test_a_late_request_gets_an_error_and_is_cancelled_in_triton(
    plane: DataPlane, timed_triton: TimedTriton
) -> None:
    cancelled = await timed_triton.cancelled()
    client = Client(plane, deadline_s=1)
    client.predict(raw(1), NEVER)
    client.predict(raw(2))
    await client.session.drain()
    assert "no answer within 1" in str(client.replies[0].error)
    assert client.replies[0].cause == "deadline"
    assert client.seen() == [(2, 2, 0)]
    await timed_triton.wait_until_cancelled(cancelled + 1)


async def test_a_client_that_leaves_takes_its_requests_along(
    plane: DataPlane, timed_triton: TimedTriton
) -> None:
    begun, cancelled = await timed_triton.begun(), await timed_triton.cancelled()
    client = Client(plane)
    client.predict(raw(1), NEVER)
    await timed_triton.wait_until_begun(begun + 1)
    client.session.close()
    await timed_triton.wait_until_cancelled(cancelled + 1)
    assert client.replies == []


async def test_abandoned_requests_are_answered(plane: DataPlane) -> None:
    client = Client(plane)
    client.predict(raw(1), NEVER)
    client.predict(large(2), NEVER)
    client.session.abandon(StoppingError("it ends"))
    assert [(reply.error, reply.cause) for reply in client.replies] == [("it ends", "stopping")] * 2


@pytest.mark.parametrize("beside", [False, True])
async def test_what_nobody_foresaw_is_answered_and_logged(
    plane: DataPlane, caplog: pytest.LogCaptureFixture, beside: bool
) -> None:
    def fail() -> Request:
        raise ZeroDivisionError("of all things")

    client = Client(plane)
    client.session.decode(client.pending(), fail, beside=beside)
    client.submit(Request("reset"))
    await client.session.drain()
    assert [(reply.error or "")[:14] for reply in client.replies] == ["internal error", ""]
    assert [reply.cause for reply in client.replies] == ["internal", None]
    assert "of all things" in caplog.text


@pytest.mark.parametrize(
    ("game", "message"),
    [(INFINITE, "output actions holds values that are not finite"), (RAISE, "the model was told to raise")],
)
async def test_a_failing_inference_fails_its_own_request_only(
    plane: DataPlane, game: int, message: str
) -> None:
    client = Client(plane)
    client.predict(raw(1), game)
    client.predict(raw(2))
    await client.session.drain()
    assert message in str(client.replies[0].error)
    assert client.replies[0].cause == "model_error"
    assert client.seen() == [(2, 2, 0)]


async def test_busy_decoders_are_named_when_they_made_a_request_late(plane: DataPlane) -> None:
    decoders_go_on = threading.Event()
    busy = [asyncio.create_task(plane.decoders.run(decoders_go_on.wait)) for _ in range(8)]
    client = Client(plane, deadline_s=0.5)
    client.predict(large(1))
    await client.session.drain()
    decoders_go_on.set()
    await asyncio.gather(*busy)
    assert str(client.replies[0].error).startswith(
        "no answer within 0.5 s: the gateway's image decoders were"
    )
    assert client.replies[0].cause == "deadline"


async def test_triton_is_not_blamed_for_what_little_time_the_decoders_left_it(plane: DataPlane) -> None:
    decoders_go_on = threading.Event()
    busy = [asyncio.create_task(plane.decoders.run(decoders_go_on.wait)) for _ in range(8)]
    client = Client(plane, deadline_s=1)
    client.predict(large(1), NEVER)
    asyncio.get_running_loop().call_later(0.6, decoders_go_on.set)
    await client.session.drain()
    await asyncio.gather(*busy)
    assert "the gateway's image decoders were busy" in str(client.replies[0].error)


async def test_a_clients_own_earlier_requests_are_named_when_they_made_one_late(plane: DataPlane) -> None:
    client = Client(plane, deadline_s=1, at_triton=1)
    client.predict(raw(1), NEVER)
    client.predict(raw(2))
    await client.session.drain()
    assert re.match("Triton at .* gave no answer|no answer within 1 s: Triton", str(client.replies[0].error))
    assert "earlier requests of this client were still at Triton" in str(client.replies[1].error)


async def test_timing_adds_up(plane: DataPlane) -> None:
    client = Client(plane)
    client.submit(Request("predict", image=large(1), game=10, timing=True))
    await client.session.drain()
    timing = client.replies[0].timing
    assert timing is not None
    assert timing.infer_ms >= 100
    assert timing.decode_ms > 0
    assert timing.total_ms == pytest.approx(timing.decode_ms + timing.infer_ms, abs=0.01)


async def test_a_client_that_floods_leaves_triton_to_the_others(
    plane: DataPlane, timed_triton: TimedTriton
) -> None:
    """Six run at once in this Triton; a flood of one client's must not take them all."""
    flood, player = Client(plane, at_triton=2), Client(plane, at_triton=2)
    for value in range(1, 9):
        flood.predict(raw(value), 50)
    player.predict(raw(1), 5)
    await player.session.drain()
    assert len(flood.replies) == 0
    assert len(player.replies) == 1
    await flood.session.drain()
    assert [newest for _, newest, _ in flood.seen()] == list(range(1, 9))


async def test_the_second_half_is_for_clients_that_have_nothing_in_flight(plane: DataPlane) -> None:
    admission = Admission(4)
    flood, player, late = (
        Client(plane, admission=admission, address=f"10.0.0.{number}") for number in range(3)
    )
    for _ in range(4):
        flood.predict(raw(1), 10)
    for _ in range(2):
        player.predict(raw(1), 10)
    late.predict(raw(1), 10)
    for client in (flood, player, late):
        await client.session.drain()
    refused = [[reply.error is not None for reply in client.replies] for client in (flood, player, late)]
    assert refused == [[False, False, True, True], [False, True], [False]]
    assert "busy" in str(flood.replies[3].error)
    assert admission.count == 0


async def test_what_a_client_leaves_behind_is_no_longer_counted(plane: DataPlane) -> None:
    admission = Admission(4)
    client = Client(plane, at_triton=1, admission=admission)
    for _ in range(2):
        client.predict(raw(1), NEVER)
    client.session.close()
    assert admission.count == 0


async def test_a_late_answer_is_discarded(plane: DataPlane) -> None:
    """Inferences that take longer than their deadline must not answer the requests that follow."""
    client = Client(plane, deadline_s=0.3)
    for value in range(1, 6):
        client.predict(raw(value), 60 if value % 2 else 0)
        await client.session.drain()
    assert [reply.error is not None for reply in client.replies] == [True, False, True, False, True]
    assert [newest for _, newest, _ in client.seen()] == [2, 4]


async def test_an_address_gets_no_more_than_half(plane: DataPlane) -> None:
    admission = Admission(4)
    clients = [Client(plane, admission=admission) for _ in range(3)]
    elsewhere = Client(plane, admission=admission, address="10.0.0.2")
    for client in (*clients, elsewhere):
        client.predict(raw(1), 10)
    for client in (*clients, elsewhere):
        await client.session.drain()
    refused = [client.replies[0].error is not None for client in (*clients, elsewhere)]
    assert refused == [False, False, True, False]
    assert (admission.count, admission.bytes) == (0, 0)


async def test_decoding_ends_with_its_client(plane: DataPlane) -> None:
    admission = Admission(100)
    for _ in range(5):
        client = Client(plane, admission=admission)
        for value in range(8):
            client.predict(large(value))
        client.session.close()
    async with asyncio.timeout(WITHIN_S):
        while plane.decoders.pending or admission.count:  # noqa: ASYNC110 - threads end it
            await asyncio.sleep(0.01)


async def test_a_clients_images_take_turns_with_others(plane: DataPlane) -> None:
    flood, player = Client(plane), Client(plane)
    for value in range(12):
        flood.predict(large(value))
    player.predict(large(1))
    await player.session.drain()
    assert len(flood.replies) < 12
    await flood.session.drain()
