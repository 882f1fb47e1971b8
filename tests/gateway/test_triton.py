"""The Triton client against a real Triton: facts across restarts, and what the errors say."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from gateway.errors import DeadlineError, ModelError, TritonUnavailableError
from gateway.triton import TritonModel
from tests.gateway.timed_triton import CONTEXT_LENGTH, HORIZON, NEVER, RAISE, TimedTriton

FRAME = bytes(196_608)
NOISE = np.zeros((HORIZON, 25), np.float32)


@pytest_asyncio.fixture
async def model(timed_triton: TimedTriton) -> AsyncIterator[TritonModel]:
    """A client of the Triton that is always there."""
    model = TritonModel(timed_triton.endpoint, "nitrogen")
    await model.start()
    yield model
    await model.close()


@pytest_asyncio.fixture
async def triton(tmp_path: Path) -> AsyncIterator[TimedTriton]:
    """A Triton that does not run until the test starts it."""
    triton = TimedTriton(tmp_path, instances=1)
    try:
        yield triton
    finally:
        await triton.kill()


@pytest_asyncio.fixture
async def early_model(triton: TimedTriton) -> AsyncIterator[TritonModel]:
    """A client that is there before its Triton."""
    model = TritonModel(triton.endpoint, "nitrogen")
    await model.start()
    yield model
    await model.close()


async def until(condition: Callable[[], bool], within_s: float = 10) -> None:
    """Wait for something that the client does on its own."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - the client has no event for it, and needs none
            await asyncio.sleep(0.02)


async def test_without_triton_calls_fail_and_do_not_wait_for_it(early_model: TritonModel) -> None:
    for _ in range(3):
        # Waiting would end in a DeadlineError.
        with pytest.raises(TritonUnavailableError, match="check that it runs"):
            await early_model.fresh_facts()
    assert early_model.known_facts is None
    assert "is unavailable" in str(await early_model.ready())


async def test_many_callers_share_one_reading(model: TritonModel, timed_triton: TimedTriton) -> None:
    facts = await model.fresh_facts()
    with pytest.raises(ModelError):
        await model.infer(facts, [FRAME], RAISE, NOISE, 20)
    reads = timed_triton.config_reads()
    for _ in range(2):
        all_facts = await asyncio.gather(*(model.fresh_facts() for _ in range(50)))
        assert all(facts is all_facts[0] for facts in all_facts)
    assert timed_triton.config_reads() == reads + 1


async def test_facts_are_read_again_after_a_restart(early_model: TritonModel, triton: TimedTriton) -> None:
    await triton.start()
    await until(lambda: early_model.known_facts is not None)
    assert (await early_model.fresh_facts()).context_length == CONTEXT_LENGTH
    await triton.stop()
    with pytest.raises(TritonUnavailableError):
        await early_model.fresh_facts()
    known = early_model.known_facts
    assert known is not None
    assert known.context_length == CONTEXT_LENGTH
    triton.write_model(context_length=2)
    await triton.start()
    await until(lambda: early_model.known_facts is not known)
    assert (await early_model.fresh_facts()).context_length == 2


async def test_facts_are_read_again_by_themselves_after_a_crash(
    early_model: TritonModel, triton: TimedTriton
) -> None:
    await triton.start()
    await until(lambda: early_model.known_facts is not None)
    await triton.kill()
    triton.write_model(context_length=2)
    await triton.start()
    await until(lambda: early_model.known_facts is not None and early_model.known_facts.context_length == 2)


async def test_a_call_in_flight_fails_when_triton_is_killed(
    early_model: TritonModel, triton: TimedTriton
) -> None:
    await triton.start()
    await until(lambda: early_model.known_facts is not None)
    facts = await early_model.fresh_facts()
    call = asyncio.create_task(early_model.infer(facts, [FRAME], NEVER, NOISE, 60))
    await triton.wait_until_begun(1)
    await triton.kill()
    with pytest.raises(TritonUnavailableError):
        await asyncio.wait_for(call, 10)


async def test_a_call_ends_at_its_timeout_and_is_cancelled_in_triton(
    model: TritonModel, timed_triton: TimedTriton
) -> None:
    cancelled = await timed_triton.cancelled()
    with pytest.raises(DeadlineError, match=r"within 0\.5 s"):
        await model.infer(await model.fresh_facts(), [FRAME], NEVER, NOISE, 0.5)
    await timed_triton.wait_until_cancelled(cancelled + 1)
