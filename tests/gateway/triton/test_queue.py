"""Triton's queue with an operator's bound: refusals are quick honest errors, what is cancelled never runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from contract.endpoint import parse_endpoint
from gateway.errors import BusyError, DeadlineError
from gateway.triton.connection import TritonConnection
from gateway.triton.model import TritonModel
from gateway.triton.rpc import MODEL_INFER
from gateway.triton.tensors import ModelInputs, RequestTemplate
from tests.black_frame import FRAME
from tests.gateway.triton.opened_model import opened_model
from tests.patience import WITHIN_S
from tests.stand_ins.timed_triton import NEVER, NOISE, TimedTriton, running_triton

QUEUE_SIZE = 3


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def triton(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TimedTriton]:
    """A Triton that runs one request at a time, and keeps a few more waiting."""
    folder = tmp_path_factory.mktemp("queue")
    async with running_triton(
        TimedTriton(folder, instances=1, batching=True, queue_size=QUEUE_SIZE)
    ) as triton:
        yield triton


@pytest_asyncio.fixture
async def model(triton: TimedTriton) -> AsyncIterator[TritonModel]:
    async with opened_model(triton.endpoint) as model:
        yield model


@asynccontextmanager
async def running(model: TritonModel, triton: TimedTriton) -> AsyncIterator[None]:
    """One request that runs in Triton until the block's end."""
    begun = await triton.begun()
    call = asyncio.create_task(model.infer(await model.fresh_facts(), ModelInputs([FRAME], NEVER, NOISE), 25))
    await triton.wait_until_begun(begun + 1)
    try:
        yield
    finally:
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)


async def test_a_full_queue_is_busy_at_once_and_facts_stay_fresh(
    model: TritonModel, triton: TimedTriton
) -> None:
    facts = await model.fresh_facts()
    reads = triton.config_reads()
    async with running(model, triton):
        calls = [
            asyncio.create_task(model.infer(facts, ModelInputs([FRAME], 0, NOISE), 20)) for _ in range(10)
        ]
        # One more than the queue holds may wait: for the instance, when its turn was due.
        done: set[asyncio.Task[object]] = set()
        async with asyncio.timeout(WITHIN_S):
            while len(done) < len(calls) - QUEUE_SIZE - 1:
                done, _ = await asyncio.wait(calls, timeout=0.05)
        for call in done:
            assert isinstance(call.exception(), BusyError)
            assert "as many requests waiting as it takes" in str(call.exception())
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert any(not isinstance(answer, BaseException) for answer in answers)
    assert await model.fresh_facts() is facts
    assert triton.config_reads() == reads


async def test_a_request_that_is_cancelled_in_the_queue_never_runs(
    model: TritonModel, triton: TimedTriton
) -> None:
    facts = await model.fresh_facts()
    begun = await triton.begun()
    async with running(model, triton):
        calls = [
            asyncio.create_task(
                model.infer(facts, ModelInputs([FRAME], 0, NOISE), 20, f"left-{begun}-{number}")
            )
            for number in range(2)
        ]
        async with asyncio.timeout(WITHIN_S):
            while any(  # noqa: ASYNC110 - the log has to be read
                f"left-{begun}-{number}" not in triton.log() for number in range(2)
            ):
                await asyncio.sleep(0.02)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    await model.infer(facts, ModelInputs([FRAME], 0, NOISE), 20)
    # The one that ran, and the one after.
    assert await triton.begun() == begun + 2


async def test_a_request_whose_deadline_passes_in_the_queue_never_runs(
    model: TritonModel, triton: TimedTriton
) -> None:
    facts = await model.fresh_facts()
    begun = await triton.begun()
    async with running(model, triton):
        with pytest.raises(DeadlineError, match=r"within 0\.3 s"):
            await model.infer(facts, ModelInputs([FRAME], 0, NOISE), 0.3)
    await model.infer(facts, ModelInputs([FRAME], 0, NOISE), 20)
    assert await triton.begun() == begun + 2


async def test_triton_drops_a_late_request_also_when_nobody_cancels_it(
    model: TritonModel, triton: TimedTriton
) -> None:
    """The time that its request has left travels with it, and Triton's refusal is a deadline's error."""
    facts = await model.fresh_facts()
    connection = TritonConnection(parse_endpoint(triton.endpoint))
    await connection.start()
    try:
        template = RequestTemplate(facts)
        message = template.message(ModelInputs([FRAME], 0, NOISE), timeout_us=100_000)
        begun = await triton.begun()
        async with running(model, triton):
            late = asyncio.create_task(connection.call(MODEL_INFER, message, 20, "the model"))
            done, _ = await asyncio.wait((late,), timeout=0.5)
            assert not done or late.exception() is not None
        with pytest.raises(DeadlineError, match="gave no answer"):
            await late
        assert await triton.begun() == begun + 1
    finally:
        await connection.close()
