"""Two Tritons behind one gateway process, under sixteen clients: one dies, both die, they come back."""

import asyncio
import json
import pickle
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import zmq.asyncio

from tests.black_frame import FRAME, PIXELS
from tests.gateways import GatewayProcess, gateway_process
from tests.pages import page
from tests.patience import WITHIN_S
from tests.stack import wait_until
from tests.stand_ins.timed_triton import TimedTriton

pytestmark = pytest.mark.slow

INFERENCE = 1  # hundredths of a second
CLIENTS_OF_EACH_PORT = 8
ERROR_WITHIN_S = 4.0
BACK_WITHIN_S = 2.0


@dataclass
class Client:
    """A client in closed loop. `answers`: when each came, whether it was ok, and what it said if not."""

    port: str
    answers: list[tuple[float, bool, str]] = field(default_factory=list)
    longest_s: float = 0.0

    def answered(self, begun: float, reply: dict[str, object]) -> None:
        now = time.monotonic()
        self.longest_s = max(self.longest_s, now - begun)
        self.answers.append((now, reply["status"] == "ok", str(reply.get("message", ""))))

    def count(self, *, ok: bool) -> int:
        return sum(was_ok is ok for _, was_ok, _ in self.answers)

    def errors(self) -> list[str]:
        return [message for _, ok, message in self.answers if not ok]

    async def play_tcp(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        header = json.dumps({"type": "predict", "game": INFERENCE}).encode() + b"\n"
        try:
            while True:
                begun = time.monotonic()
                writer.write(header + FRAME)
                self.answered(begun, json.loads(await reader.readline()))
                await asyncio.sleep(0.02)
        finally:
            writer.close()

    async def play_zmq(self, port: int) -> None:
        image = PIXELS
        payload = pickle.dumps({"type": "predict", "image": image, "game": INFERENCE})
        with zmq.asyncio.Context() as context, context.socket(zmq.REQ) as client:
            client.linger = 0
            client.connect(f"tcp://127.0.0.1:{port}")
            while True:
                begun = time.monotonic()
                await client.send(payload)
                self.answered(begun, pickle.loads(await client.recv()))
                await asyncio.sleep(0.02)


@asynccontextmanager
async def gateway_of(*tritons: TimedTriton) -> AsyncIterator[GatewayProcess]:
    """A gateway process that is ready."""
    with gateway_process(",".join(triton.endpoint for triton in tritons)) as gateway:
        ready = partial(wait_until, lambda: page(gateway.http, "/readyz")[0] == 200, "the gateway is ready")
        await asyncio.to_thread(ready)
        yield gateway


async def until_each(clients: list[Client], count: int, *, ok: bool) -> None:
    """Wait until each client has got this many more replies that are ok, or errors."""
    wanted = [client.count(ok=ok) + count for client in clients]
    async with asyncio.timeout(WITHIN_S):
        while any(  # noqa: ASYNC110 - clients have no event for it
            client.count(ok=ok) < want for client, want in zip(clients, wanted, strict=True)
        ):
            await asyncio.sleep(0.01)


@dataclass
class Story:
    """The events, in their order."""

    begun_at_first: list[int]
    errors_with_one_dead: list[str]
    begun_when_back: int
    errors_with_one_back: list[str]
    errors_with_one_stopped: list[str]
    errors_with_both_dead: list[list[str]]
    longest_s: float
    back_after_s: float


async def tell(folder: Path) -> Story:
    tritons = [TimedTriton(folder / name, instances=4) for name in ("a", "b")]
    first, second = tritons
    clients = [Client(port) for port in ("zmq", "tcp") for _ in range(CLIENTS_OF_EACH_PORT)]
    players: list[asyncio.Task[None]] = []

    def errors() -> list[str]:
        return [message for client in clients for message in client.errors()]

    try:
        await asyncio.gather(*(triton.start() for triton in tritons))
        async with gateway_of(*tritons) as gateway:
            players += [
                asyncio.create_task(
                    client.play_tcp(gateway.tcp) if client.port == "tcp" else client.play_zmq(gateway.zmq)
                )
                for client in clients
            ]
            await until_each(clients, 5, ok=True)
            begun_at_first = [await triton.begun() for triton in tritons]
            first.strike()
            await until_each(clients, 20, ok=True)
            errors_with_one_dead = errors()
            await first.kill()
            await first.start()
            await first.wait_until_begun(50)
            begun_when_back = await first.begun()
            await until_each(clients, 5, ok=True)
            errors_with_one_back = errors()
            await first.stop()
            await until_each(clients, 5, ok=True)
            errors_with_one_stopped = errors()
            await first.start()
            await first.wait_until_begun(50)
            for triton in tritons:
                triton.strike()
            await until_each(clients, 3, ok=False)
            await asyncio.gather(*(triton.kill() for triton in tritons))
            longest_s = max(client.longest_s for client in clients)
            errors_with_both_dead = [client.errors() for client in clients]
            await second.start()
            ready = time.monotonic()
            await until_each(clients, 1, ok=True)
            back = max(
                next(when for when, ok, _ in client.answers if ok and when > ready) for client in clients
            )
            for player in players:
                player.cancel()
            await asyncio.gather(*players, return_exceptions=True)
    finally:
        await asyncio.gather(*(triton.kill() for triton in tritons))
    return Story(
        begun_at_first,
        errors_with_one_dead,
        begun_when_back,
        errors_with_one_back,
        errors_with_one_stopped,
        errors_with_both_dead,
        longest_s,
        back - ready,
    )


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("two")
    for name in ("a", "b"):
        (folder / name).mkdir()
    return asyncio.run(tell(folder))


def test_both_tritons_are_used(story: Story) -> None:
    assert min(story.begun_at_first) > sum(story.begun_at_first) / 4


def test_no_client_sees_an_error_when_one_triton_is_killed(story: Story) -> None:
    assert story.errors_with_one_dead == []


def test_no_client_sees_an_error_when_one_triton_is_stopped(story: Story) -> None:
    assert story.errors_with_one_stopped == []


def test_a_triton_that_comes_back_is_used_again(story: Story) -> None:
    assert story.begun_when_back >= 50
    assert story.errors_with_one_back == []


def test_every_client_gets_errors_in_time_when_both_are_killed(story: Story) -> None:
    assert story.longest_s < ERROR_WITHIN_S
    for errors in story.errors_with_both_dead:
        assert len(errors) >= 3
        assert "Triton" in errors[0]


def test_every_client_gets_actions_soon_after_a_triton_is_ready(story: Story) -> None:
    assert story.back_after_s < BACK_WITHIN_S
