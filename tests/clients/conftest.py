"""An event loop in a thread, and in it a gateway before a Triton whose answers tell what it was asked."""

from collections.abc import Iterator

import pytest

from gateway.server import Gateway
from tests.clients.client.background import Background, background, gateway_in, timed_triton_in
from tests.stand_ins.timed_triton import TimedTriton


@pytest.fixture(scope="module")
def loop() -> Iterator[Background]:
    """The event loop of a module's servers."""
    with background() as made:
        yield made


@pytest.fixture(scope="module")
def triton(loop: Background, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TimedTriton]:
    """A real Triton with the timed model."""
    with timed_triton_in(loop, tmp_path_factory.mktemp("timed")) as made:
        yield made


@pytest.fixture(scope="module")
def gateway(loop: Background, triton: TimedTriton) -> Iterator[Gateway]:
    """A gateway before it, whose requests end after two seconds."""
    with gateway_in(loop, triton=triton.endpoint, game="game 5", zmq_deadline_s=2) as made:
        yield made
