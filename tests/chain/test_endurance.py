"""Thousands of requests of all kinds, good and bad: nothing of them stays in the gateway.

`python -m benchmarks.gateway.memory` does the same with 100,000.
"""

import re
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from benchmarks.gateway.all_kinds import ALL_KINDS, FLAGS, send_requests
from benchmarks.gateway.process import RunningGateway, running_gateway
from tests.patience import WITHIN_S
from tests.stack import Stack, wait_until

pytestmark = pytest.mark.slow

CLIENTS = 2
WARM_UP, REQUESTS = 1000, 2000  # of all clients
# In so few requests memory is still finding its level; a frame kept of each sixtieth would exceed it.
MAX_GROWTH = 0.05
# A model's name that nobody knows is looked up in Triton for up to half a second.
QUICK_KINDS = [kind for kind in ALL_KINDS if kind.name != "pickle: unknown model"]


@dataclass
class Endured:
    """A gateway after all the requests, and its resident memory in bytes."""

    gateway: RunningGateway
    after_warm_up: int
    at_the_end: int


def in_flight(gateway: RunningGateway) -> list[float]:
    """Requests that are not answered yet, of each port."""
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.http_port}/metrics", timeout=WITHIN_S) as page:
        text = page.read().decode()
    return [float(value) for value in re.findall(r"^nitrogen_gateway_in_flight\{.*\} (\S+)$", text, re.M)]


@pytest.fixture(scope="module")
def endured(tiny_stack: Stack) -> Iterator[Endured]:
    def send(count: int, seed: int) -> int:
        with ThreadPoolExecutor(CLIENTS) as pool:
            share = count // CLIENTS
            clients = [
                pool.submit(send_requests, gateway.endpoints, share, seed + number, QUICK_KINDS)
                for number in range(CLIENTS)
            ]
            for client in clients:
                client.result()
        wait_until(lambda: not any(in_flight(gateway)), "every request is answered or dropped")
        return gateway.resident_bytes()

    with running_gateway("nitrogen", [tiny_stack.triton_grpc_port], flags=FLAGS) as gateway:
        yield Endured(gateway, send(WARM_UP, 0), send(REQUESTS, CLIENTS))


def test_memory_does_not_grow(endured: Endured) -> None:
    assert endured.at_the_end < (1 + MAX_GROWTH) * endured.after_warm_up


def test_nothing_is_in_flight_when_all_is_answered(endured: Endured) -> None:
    assert set(in_flight(endured.gateway)) == {0}


def test_no_request_is_an_error_of_the_gateway_itself(endured: Endured) -> None:
    assert endured.gateway.errors() == []
