"""The Triton client: facts across restarts, and what the errors say."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest
import pytest_asyncio

from gateway.errors import DeadlineError, TritonUnavailableError
from gateway.triton import TritonModel
from tests.gateway.timed_model import CONTEXT_LENGTH, HORIZON, NEVER, TimedModel, serving

FRAME = bytes(196_608)
NOISE = np.zeros((HORIZON, 25), np.float32)


@pytest_asyncio.fixture
async def service() -> TimedModel:
    return TimedModel()


@pytest_asyncio.fixture
async def model(service: TimedModel) -> AsyncIterator[TritonModel]:
    """A client of a port that `service` is served on when a test does so."""
    async with serving(service) as port:
        pass
    model = TritonModel(f"127.0.0.1:{port}", "nitrogen")
    await model.start()
    yield model
    await model.close()


def port_of(model: TritonModel) -> int:
    return int(model.endpoint.rpartition(":")[2])


async def until(condition: Callable[[], bool], within_s: float = 3) -> None:
    """Wait for something that the client does on its own."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - the client has no event for it, and needs none
            await asyncio.sleep(0.02)


async def facts_come(model: TritonModel) -> None:
    """Wait until Triton's return is noticed."""
    known = model.known_facts
    await until(lambda: model.known_facts is not known)


async def test_without_triton_every_call_fails_at_once(model: TritonModel) -> None:
    for _ in range(3):
        begun = time.monotonic()
        with pytest.raises(TritonUnavailableError, match="check that it runs"):
            await model.fresh_facts()
        assert time.monotonic() - begun < 1
    assert model.known_facts is None
    assert "is unavailable" in str(await model.ready())


async def test_many_callers_share_one_reading(model: TritonModel, service: TimedModel) -> None:
    async with serving(service, port_of(model)):
        await facts_come(model)
        reads = service.config_reads
        facts = await asyncio.gather(*(model.fresh_facts() for _ in range(50)))
        assert all(fact is facts[0] for fact in facts)
        assert service.config_reads == reads


async def test_facts_are_read_again_after_a_restart(model: TritonModel, service: TimedModel) -> None:
    async with serving(service, port_of(model)):
        await facts_come(model)
        assert (await model.fresh_facts()).context_length == CONTEXT_LENGTH
    with pytest.raises(TritonUnavailableError):
        await model.fresh_facts()
    known = model.known_facts
    assert known is not None
    assert known.context_length == CONTEXT_LENGTH
    service.context_length = 2
    async with serving(service, port_of(model)):
        await facts_come(model)
        assert (await model.fresh_facts()).context_length == 2


async def test_facts_are_read_again_by_themselves(model: TritonModel, service: TimedModel) -> None:
    async with serving(service, port_of(model)):
        await until(lambda: model.known_facts is not None)
    service.context_length = 2
    async with serving(service, port_of(model)):
        await until(lambda: model.known_facts is not None and model.known_facts.context_length == 2)


async def test_a_call_in_flight_fails_when_triton_goes(model: TritonModel, service: TimedModel) -> None:
    async with serving(service, port_of(model)):
        await facts_come(model)
        facts = await model.fresh_facts()
        call = asyncio.create_task(model.infer(facts, [FRAME], NEVER, NOISE, 20))
        await asyncio.wait_for(service.started.acquire(), 5)
    with pytest.raises(TritonUnavailableError):
        await asyncio.wait_for(call, 3)


async def test_a_call_ends_at_its_timeout(model: TritonModel, service: TimedModel) -> None:
    async with serving(service, port_of(model)):
        await facts_come(model)
        with pytest.raises(DeadlineError, match="within"):
            await model.infer(await model.fresh_facts(), [FRAME], NEVER, NOISE, 0.2)
        await asyncio.wait_for(service.cancelled.wait(), 5)
