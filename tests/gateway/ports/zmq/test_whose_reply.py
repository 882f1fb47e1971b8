"""No reply is torn, and none reaches another request than its own: seeds under random delays and kills.

The timed model shows each request's noise in its answer, so a reply tells which seed it belongs to.
"""

import asyncio
import itertools
import json
import pickle
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import zmq
import zmq.asyncio

from gateway.server import Gateway
from tests.black_frame import FRAME, PIXELS
from tests.gateways import running_gateway
from tests.stand_ins.timed_answers import first_noise
from tests.stand_ins.timed_triton import TimedTriton, running_triton

CLIENTS = 4
DEADLINE_S = 0.5
KILLS = 2
MAX_HUNDREDTHS = 70
# An answer that does not come within this time was lost.
LOST_AFTER_S = 20

Ask = Callable[[int, int], Awaitable[float | None]]


class ZmqPlayer:
    """A REQ client, whose socket takes the next reply for that to its request, whatever it is."""

    def __init__(self, gateway: Gateway, context: zmq.asyncio.Context) -> None:
        self._socket = context.socket(zmq.REQ)
        self._socket.linger = 0
        self._socket.sndtimeo = 1000 * LOST_AFTER_S
        self._socket.connect(f"tcp://127.0.0.1:{gateway.port_numbers['zmq']}")

    async def ask(self, seed: int, hundredths: int) -> float | None:
        """The first stick value of the reply; None for an error."""
        request = {"type": "predict", "image": PIXELS}
        await self._socket.send(pickle.dumps({**request, "seed": seed, "game": hundredths}))
        reply = pickle.loads(await asyncio.wait_for(self._socket.recv(), LOST_AFTER_S))
        return float(reply["pred"]["j_left"][0, 1]) if reply["status"] == "ok" else None

    def close(self) -> None:
        """Leave."""
        self._socket.close()


class TcpPlayer:
    """A client of the JSON format; it reads one line for each request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, seed: int, hundredths: int) -> float | None:
        """The first stick value of the reply; None for an error."""
        header = {"type": "predict", "seed": seed, "game": hundredths}
        self._writer.write(json.dumps(header).encode() + b"\n" + FRAME)
        line = await asyncio.wait_for(self._reader.readline(), LOST_AFTER_S)
        assert line.endswith(b"\n"), f"a torn reply: {line!r}"
        reply = json.loads(line)
        return float(reply["pred"]["j_left"][0][1]) if reply["status"] == "ok" else None

    def close(self) -> None:
        """Leave."""
        self._writer.close()


@dataclass
class Tally:
    """How many requests got actions, and how many an error."""

    actions: int = 0
    errors: int = 0

    async def wait_for(self, more_actions: int, more_errors: int) -> None:
        """Wait until some more requests got actions, and some more an error."""
        actions, errors = self.actions + more_actions, self.errors + more_errors
        async with asyncio.timeout(LOST_AFTER_S):
            while self.actions < actions or self.errors < errors:  # noqa: ASYNC110 - two figures that grow
                await asyncio.sleep(0.01)


async def play(ask: Ask, first_seed: int, tally: Tally, over: asyncio.Event) -> None:
    """Ask with a seed of its own each time until all is over."""
    chance = random.Random(first_seed)
    for seed in itertools.count(first_seed):
        # The longest take longer than the deadline.
        answer = await ask(seed, chance.choice([0, 1, 5, 10, MAX_HUNDREDTHS]))
        if answer is None:
            tally.errors += 1
            # Triton may be down, and errors then come at once.
            await asyncio.sleep(0.01)
        else:
            tally.actions += 1
            assert answer == pytest.approx(first_noise(seed), abs=6e-4), f"seed {seed} got another's reply"
        if over.is_set():
            return


async def test_each_reply_is_that_to_its_own_request(tmp_path: Path) -> None:
    deadlines = {"zmq_deadline_s": DEADLINE_S, "tcp_deadline_s": DEADLINE_S}
    over = asyncio.Event()
    async with (
        running_triton(TimedTriton(tmp_path, instances=6)) as mortal_triton,
        running_gateway(triton=mortal_triton.endpoint, **deadlines) as gateway,
    ):
        context = zmq.asyncio.Context()
        tcp = [
            TcpPlayer(*await asyncio.open_connection("127.0.0.1", gateway.port_numbers["tcp"]))
            for _ in range(CLIENTS)
        ]
        players: list[ZmqPlayer | TcpPlayer] = [*tcp, *(ZmqPlayer(gateway, context) for _ in range(CLIENTS))]
        tally = Tally()
        games = [
            asyncio.create_task(play(player.ask, 1_000_000 * number, tally, over))
            for number, player in enumerate(players)
        ]
        await tally.wait_for(more_actions=30, more_errors=10)
        for _ in range(KILLS):
            await mortal_triton.kill()
            await tally.wait_for(more_actions=0, more_errors=20)
            await mortal_triton.start()
            await tally.wait_for(more_actions=30, more_errors=10)
        over.set()
        await asyncio.gather(*games)
        for player in players:
            player.close()
        context.term()
