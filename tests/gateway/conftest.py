"""The timed model's Triton, one for all tests that only use it, and gateways in front of it."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme

from gateway.server import Gateway
from tests.gateways import running_gateway
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

    async def start(**settings: Any) -> Gateway:  # noqa: ANN401
        return await stack.enter_async_context(
            running_gateway(**{"triton": timed_triton.endpoint, **settings})
        )

    async with AsyncExitStack() as stack:
        yield start


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A gateway's certificate and key in one file, and the context of a client that trusts it."""
    authority = trustme.CA()
    path = tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return path, context
