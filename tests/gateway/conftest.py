"""The timed model's Triton, one for all tests that only use it, and gateways in front of it."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from gateway.server import Gateway
from gateway.settings import GatewaySettings
from tests.stand_ins.timed_triton import TimedTriton, running_triton


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def timed_triton(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TimedTriton]:
    """A Triton that runs up to six requests of the timed model at once."""
    async with running_triton(TimedTriton(tmp_path_factory.mktemp("timed"), instances=6)) as triton:
        yield triton


StartGateway = Callable[..., Any]


@pytest_asyncio.fixture
async def start_gateway(timed_triton: TimedTriton) -> AsyncIterator[StartGateway]:
    """Starts gateways in this process, on ports of their own, with a test's settings."""
    gateways: list[Gateway] = []

    async def start(**settings: Any) -> Gateway:  # noqa: ANN401
        ports: dict[str, Any] = {"zmq_port": 0, "tcp_port": 0, "http_port": 0, "host": "127.0.0.1"}
        gateway = Gateway(GatewaySettings(**{"triton": timed_triton.endpoint, **ports, **settings}))
        await gateway.start()
        gateways.append(gateway)
        return gateway

    yield start
    for gateway in gateways:
        await gateway.stop()
