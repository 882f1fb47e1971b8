"""The turns of port 5555's connections: whoever floods shares them, and leaves the loop to who plays."""

import asyncio
import functools
from collections import Counter

from gateway.ports.zmq.turns import Turns


async def test_each_of_a_crowd_gets_its_turn_and_the_event_loop_goes_round_meanwhile() -> None:
    turns = Turns()
    made: Counter[int] = Counter()

    def flood(who: int) -> None:
        made[who] += 1
        turns.wait(functools.partial(flood, who))

    for who in range(100):
        turns.wait(functools.partial(flood, who))
    most = 0
    while made.total() < 1000:
        before = made.total()
        await asyncio.sleep(0)
        most = max(most, made.total() - before)
    assert 0 < most < 20
    assert max(made.values()) - min(made[who] for who in range(100)) <= 1
