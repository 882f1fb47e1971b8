"""Eight clients of a gateway in closed loop, and all that they got."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.gateways import GatewayProcess
from tests.pictures import picture
from tests.stack import JsonClient, PickleClient, wait_until

CLIENTS = 8
SEEDS = 2
# A game plays between two requests; without this pause the loads of new versions take minutes on two cores.
PAUSE_S = 0.1


@dataclass
class Played:
    """One reply, and when its request was sent and it came (monotonic seconds)."""

    client: int
    seed: int
    sent: float
    came: float
    reply: dict[str, Any]

    @property
    def port(self) -> str:
        return port_of(self.client)


def port_of(client: int) -> str:
    return "zmq" if client % 2 else "tcp"


@contextmanager
def client_of(gateway: GatewayProcess, client: int) -> Iterator[Callable[..., dict[str, Any]]]:
    """A client that asks again and again for the actions to one picture, with seeds and other options."""
    shown = picture(client)
    if port_of(client) == "zmq":
        with PickleClient(gateway.zmq) as pickles:
            yield lambda **options: pickles.request(type="predict", image=shown, **options)
    else:
        with JsonClient(gateway.tcp) as lines:
            yield lambda **options: lines.request({"type": "predict", **options}, shown.tobytes())


class Match:
    """Eight clients in closed loop, four on each port, until `finish`."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway = gateway
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(CLIENTS)
        self.played: list[list[Played]] = [[] for _ in range(CLIENTS)]
        self._players = [self._pool.submit(self._play, client) for client in range(CLIENTS)]

    def _play(self, client: int) -> None:
        with client_of(self._gateway, client) as ask:
            for turn in itertools.count():
                sent = time.monotonic()
                reply = ask(seed=turn % SEEDS)
                self.played[client].append(Played(client, turn % SEEDS, sent, time.monotonic(), reply))
                if self._over.wait(PAUSE_S):
                    return

    def wait_for(self, times: int) -> None:
        """Wait until every client has got `times` more replies."""
        counts = [len(played) + times for played in self.played]

        def reached() -> bool:
            return any(player.done() for player in self._players) or all(
                len(played) >= count for played, count in zip(self.played, counts, strict=True)
            )

        wait_until(reached, f"{times} more replies for each client")

    def finish(self) -> list[Played]:
        """Let every client get its last reply; what they got."""
        self._over.set()
        try:
            for player in self._players:
                player.result(60)
        finally:
            self._pool.shutdown()
        return list(itertools.chain.from_iterable(self.played))
