"""The timed model's Triton, one for all tests that only use it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.gateway.timed_triton import TimedTriton


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def timed_triton(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TimedTriton]:
    """A Triton that runs up to six requests of the timed model at once."""
    triton = TimedTriton(tmp_path_factory.mktemp("timed"), instances=6)
    try:
        await triton.start()
        yield triton
    finally:
        await triton.kill()
