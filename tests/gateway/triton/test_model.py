"""One model of a real Triton: its facts across restarts and swaps, and what the errors say."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from contract.endpoint import parse_endpoint
from gateway.errors import DeadlineError, ModelError, NotServedError, TritonUnavailableError
from gateway.triton.connection import TritonConnection
from gateway.triton.failures import failure
from gateway.triton.model import TritonModel
from gateway.triton.registry import ModelRegistry
from gateway.triton.tensors import ModelInputs
from tests.black_frame import FRAME
from tests.gateway.triton.opened_model import opened_model
from tests.patience import WITHIN_S
from tests.stand_ins.timed_triton import CONTEXT_LENGTH, NEVER, NOISE, RAISE, TimedTriton


@pytest_asyncio.fixture
async def model(timed_triton: TimedTriton) -> AsyncIterator[TritonModel]:
    """A client of the Triton that is always there."""
    async with opened_model(timed_triton.endpoint) as model:
        yield model


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
    """A client that is there before its Triton, and keeps itself up to date."""
    connection = TritonConnection(parse_endpoint(triton.endpoint))
    await connection.start()
    models = ModelRegistry(connection, "nitrogen")
    await models.start()
    yield models.default
    await models.close()
    await connection.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that the client does on its own."""
    async with asyncio.timeout(WITHIN_S):
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
        await model.infer(facts, ModelInputs([FRAME], RAISE, NOISE), 20)
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
    call = asyncio.create_task(early_model.infer(facts, ModelInputs([FRAME], NEVER, NOISE), 60))
    await triton.wait_until_begun(1)
    await triton.kill()
    with pytest.raises(TritonUnavailableError):
        await asyncio.wait_for(call, WITHIN_S)


async def test_a_call_ends_at_its_timeout_and_is_cancelled_in_triton(
    model: TritonModel, timed_triton: TimedTriton
) -> None:
    cancelled = await timed_triton.cancelled()
    with pytest.raises(DeadlineError, match=r"within 0\.5 s"):
        await model.infer(await model.fresh_facts(), ModelInputs([FRAME], NEVER, NOISE), 0.5)
    await timed_triton.wait_until_cancelled(cancelled + 1)


async def test_a_swapped_version_is_refused_and_the_facts_of_the_new_one_are_read(
    early_model: TritonModel, triton: TimedTriton
) -> None:
    triton.write_model(context_length=1, version=1)
    await triton.start()
    await until(lambda: early_model.known_facts is not None)
    old = await early_model.fresh_facts()
    assert (old.version, old.context_length) == (1, 1)
    triton.write_model(context_length=2, version=2)
    await triton.load("nitrogen")
    # Its facts are known by now to nobody but Triton.
    with pytest.raises(NotServedError, match="version 1 is not at ready state"):
        await early_model.infer(old, ModelInputs([FRAME], 0, NOISE), 20)
    new = await early_model.fresh_facts()
    assert (new.version, new.context_length) == (2, 2)
    await early_model.infer(new, ModelInputs([FRAME], 0, NOISE), 20)


async def test_a_request_in_flight_is_answered_by_the_version_it_was_made_for(
    early_model: TritonModel, triton: TimedTriton
) -> None:
    triton.write_model(context_length=2, version=1)
    await triton.start()
    await until(lambda: early_model.known_facts is not None)
    begun = await triton.begun()
    facts = await early_model.fresh_facts()
    call = asyncio.create_task(early_model.infer(facts, ModelInputs([FRAME], 99, NOISE), 20))
    await triton.wait_until_begun(begun + 1)
    triton.write_model(context_length=1, version=2)
    await triton.load("nitrogen")
    await early_model.read_facts()
    assert (await call).j_left[0, 0] == pytest.approx(0.1)


async def test_an_unloaded_model_is_not_served_and_not_waited_for(
    early_model: TritonModel, triton: TimedTriton
) -> None:
    await triton.start()
    await until(lambda: early_model.known_facts is not None)
    facts = await early_model.fresh_facts()
    await triton.unload("nitrogen")
    with pytest.raises(NotServedError, match="has no available versions"):
        await early_model.infer(facts, ModelInputs([FRAME], 0, NOISE), 20)
    with pytest.raises(NotServedError, match="does not serve the model 'nitrogen'"):
        await early_model.fresh_facts()


def test_a_triton_that_ends_refuses_requests_as_one_that_does_not_serve_them() -> None:
    """So they go to another Triton. It says this for a moment that is too short to be met at will."""
    details = (
        "[request id: 1] Server is stopping, scheduler for model has stopped accepting new inference requests"
    )
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details
    )
    made = failure(error, "127.0.0.1:8001", 5.0, "the model 'nitrogen'", key=None, shows_key=False)
    assert type(made) is NotServedError
