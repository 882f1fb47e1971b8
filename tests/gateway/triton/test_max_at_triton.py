"""How many requests are at Triton at once, with the repository's own config, which bounds nothing itself."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from gateway.server import Gateway
from gateway.triton.tensors import ModelInputs
from tests.black_frame import FRAME
from tests.gateway.triton.opened_model import opened_model
from tests.gateways import running_gateway
from tests.paths import MODEL_CONFIG
from tests.stand_ins.timed_triton import GAMES, NEVER, NOISE, TimedTriton, running_triton

MAX_AT_TRITON = 3
MAX_BATCH_SIZE = 16


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def triton(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TimedTriton]:
    """A Triton with the repository's own dynamic batching."""
    folder = tmp_path_factory.mktemp("triton")
    async with running_triton(TimedTriton(folder, instances=1, batching=True)) as triton:
        yield triton


@pytest_asyncio.fixture
async def gateway(triton: TimedTriton) -> AsyncIterator[Gateway]:
    async with running_gateway(triton=triton.endpoint, max_at_triton=MAX_AT_TRITON) as gateway:
        yield gateway


async def ask(gateway: Gateway, game: str | None) -> dict[str, object]:
    """One predict on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port_numbers["tcp"])
    try:
        writer.write(json.dumps({"type": "predict", "game": game}).encode() + b"\n" + FRAME)
        reply: dict[str, object] = json.loads(await reader.readline())
        return reply
    finally:
        writer.close()


@pytest.mark.parametrize("form", ["nitrogen", "nitrogen-onnx"])
def test_the_exported_config_leaves_triton_its_next_batch(form: str) -> None:
    """With a queue policy Triton readies no batch while one runs (`benchmarks/export/queue_policy.py`)."""
    text = (MODEL_CONFIG.parents[1] / form / "config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert config.HasField("dynamic_batching")
    assert not config.dynamic_batching.HasField("default_queue_policy")
    assert config.dynamic_batching.priority_levels == 0


async def test_one_more_than_may_be_there_is_busy_at_once(triton: TimedTriton, gateway: Gateway) -> None:
    begun = await triton.begun()
    running = [asyncio.create_task(ask(gateway, GAMES[NEVER])) for _ in range(MAX_AT_TRITON)]
    await triton.wait_until_begun(begun + 1)
    async with asyncio.timeout(3):  # before the first of them has its deadline
        reply = await ask(gateway, None)
    assert reply["status"] == "error"
    assert "send the request again later" in str(reply["message"])
    assert not any(task.done() for task in running)
    # The deadline's, all of them: they are counted no longer, and the next player gets actions.
    assert {(await task)["status"] for task in running} == {"error"}
    assert (await ask(gateway, None))["status"] == "ok"


async def test_what_is_cancelled_in_the_queue_costs_at_most_the_batches_that_were_ready(
    triton: TimedTriton,
) -> None:
    async with opened_model(triton.endpoint) as model:
        facts = await model.fresh_facts()
        begun = await triton.begun()
        running = asyncio.create_task(model.infer(facts, ModelInputs([FRAME], NEVER, NOISE), 25))
        await triton.wait_until_begun(begun + 1)
        late = [
            asyncio.create_task(model.infer(facts, ModelInputs([FRAME], 0, NOISE), 1.0)) for _ in range(60)
        ]
        outcomes = await asyncio.gather(*late, return_exceptions=True)
        assert {type(outcome).__name__ for outcome in outcomes} == {"DeadlineError"}
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await model.infer(facts, ModelInputs([FRAME], 0, NOISE), 20)
        # Besides the first and the last.
        assert await triton.begun() - begun - 2 <= 2 * MAX_BATCH_SIZE
