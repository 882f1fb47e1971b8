"""Frames through system shared memory to a real Triton: the same answers, and nothing left behind.

A gateway that starts removes what a killed one has left, whoever that was, in another test process too.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
import pytest_asyncio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from contract.endpoint import parse_endpoint
from contract.tensors import FRAME_BYTES
from gateway.errors import StartError
from gateway.protocol.messages import ActionChunk
from gateway.settings import GatewaySettings
from gateway.triton import shared_memory
from gateway.triton.connection import TritonConnection
from gateway.triton.key import KeyFile
from gateway.triton.model import TritonModel
from gateway.triton.shared_memory import FOLDER, MAX_SLOTS, SLOT_FRAMES, SharedFrames
from gateway.triton.tensors import ModelInputs
from tests.gateway.ports.zmq.peers import until
from tests.gateway.triton.opened_model import opened_model
from tests.gateways import GatewayProcess, gateway_process, running_gateway
from tests.patience import WITHIN_S
from tests.stand_ins.timed_triton import HORIZON, NEVER, TimedTriton, running_triton

NOISE = np.full((HORIZON, 25), 0.5, np.float32)


def frame(value: int) -> bytes:
    return bytes([value]) * FRAME_BYTES


@pytest_asyncio.fixture
async def triton(tmp_path: Path) -> AsyncIterator[TimedTriton]:
    """A Triton for tests that kill it."""
    async with running_triton(TimedTriton(tmp_path, instances=2)) as triton:
        yield triton


@asynccontextmanager
async def sharing(
    triton: TimedTriton, slots: int = MAX_SLOTS
) -> AsyncIterator[tuple[TritonModel, SharedFrames]]:
    """A model whose frames go through shared memory, once Triton knows of it."""
    connection = TritonConnection(parse_endpoint(triton.endpoint), shared_slots=slots)
    await connection.start()
    model = TritonModel(connection, "nitrogen")
    shared = connection.shared_frames
    assert shared is not None
    try:
        await registered(triton, shared.name)
        yield model, shared
    finally:
        await model.close()
        await connection.close()


async def regions(triton: TimedTriton) -> set[str]:
    """Names of the shared memory that Triton knows of."""
    async with grpc.aio.insecure_channel(triton.endpoint) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        status = await stub.SystemSharedMemoryStatus(service_pb2.SystemSharedMemoryStatusRequest())
    return set(status.regions)


async def registered(triton: TimedTriton, name: str) -> None:
    async with asyncio.timeout(WITHIN_S):
        while name not in await regions(triton):  # noqa: ASYNC110 - Triton has to be asked
            await asyncio.sleep(0.02)


async def forget_all(triton: TimedTriton) -> None:
    """Have Triton forget all shared memory, as soon as no request uses it."""
    async with grpc.aio.insecure_channel(triton.endpoint) as channel, asyncio.timeout(WITHIN_S):
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        while await regions(triton):
            with contextlib.suppress(grpc.aio.AioRpcError):
                await stub.SystemSharedMemoryUnregister(service_pb2.SystemSharedMemoryUnregisterRequest())


async def infer(model: TritonModel, *frames: bytes, game: int = 0) -> ActionChunk:
    return await model.infer(await model.fresh_facts(), ModelInputs(frames, game, NOISE), 20)


def held(shared: SharedFrames, slot: int = 0) -> bytes:
    """The bytes of one of the region's slots."""
    slot_bytes = SLOT_FRAMES * FRAME_BYTES
    return (FOLDER / shared.name).read_bytes()[slot * slot_bytes : (slot + 1) * slot_bytes]


async def test_answers_are_the_same(timed_triton: TimedTriton) -> None:
    async with opened_model(timed_triton.endpoint) as plain, sharing(timed_triton) as (model, shared):
        for frames in ([frame(1)], [frame(2), frame(3)], [frame(4), frame(5), frame(6)]):
            one, other = await infer(model, *frames), await infer(plain, *frames)
            assert np.array_equal(one.j_left, other.j_left)
            assert np.array_equal(one.j_right, other.j_right)
            assert one.j_right[0, 0] == pytest.approx(frames[-1][0] / 255)
        # They did go this way: the model sees three frames, and earlier ones are in the next slots.
        assert held(shared, 1).startswith(bytes(FRAME_BYTES) + frame(2) + frame(3))


async def test_more_requests_than_slots_are_all_answered(timed_triton: TimedTriton) -> None:
    async with sharing(timed_triton, slots=2) as (model, _):
        chunks = await asyncio.gather(*(infer(model, frame(value)) for value in range(20)))
    assert [round(chunk.j_right[0, 0] * 255) for chunk in chunks] == list(range(20))


async def test_a_stopped_gateway_leaves_nothing(timed_triton: TimedTriton) -> None:
    async with sharing(timed_triton) as (model, shared):
        await infer(model, frame(1))
        name = shared.name
    assert not (FOLDER / name).exists()
    assert name not in await regions(timed_triton)


async def test_a_cancelled_request_s_slot_is_left_alone_until_triton_is_gone(triton: TimedTriton) -> None:
    async with sharing(triton) as (model, shared):
        begun = await triton.begun()
        call = asyncio.create_task(infer(model, frame(7), game=NEVER))
        await triton.wait_until_begun(begun + 1)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        kept = held(shared)
        assert kept.startswith(bytes(2 * FRAME_BYTES) + frame(7))
        for _ in range(2 * MAX_SLOTS):
            await infer(model, frame(9))
        assert held(shared) == kept
        await triton.kill()
        await triton.start()
        await registered(triton, shared.name)
        async with asyncio.timeout(WITHIN_S):
            while held(shared) == kept:
                await infer(model, frame(9))


async def test_a_triton_that_comes_back_is_told_again(triton: TimedTriton) -> None:
    async with sharing(triton) as (model, shared):
        await infer(model, frame(1))
        await triton.kill()
        await triton.start()
        async with asyncio.timeout(WITHIN_S):
            while await model.ready() is not None:  # noqa: ASYNC110 - the connection has no event for it
                await asyncio.sleep(0.02)
        # Answered at once, over the connection if need be, and through the region as soon as it is known.
        assert (await infer(model, frame(2))).j_right[0, 0] == pytest.approx(2 / 255)
        await registered(triton, shared.name)


async def test_a_region_that_triton_has_forgotten_costs_no_request(timed_triton: TimedTriton) -> None:
    async with sharing(timed_triton) as (model, shared):
        await infer(model, frame(1))
        await forget_all(timed_triton)
        assert (await infer(model, frame(2))).j_right[0, 0] == pytest.approx(2 / 255)
        await registered(timed_triton, shared.name)


async def test_a_triton_that_restricts_it_is_told_of_the_region_by_who_has_the_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "triton").mkdir()
    (tmp_path / "key").write_text("nitrogen=a-secret\n")
    flag = "--grpc-restricted-protocol=shared-memory:nitrogen=a-secret"
    triton = TimedTriton(tmp_path / "triton", instances=1, flags=[flag])
    connection = TritonConnection(
        parse_endpoint(triton.endpoint), key_file=KeyFile(tmp_path / "key"), shared_slots=1
    )
    model = TritonModel(connection, "nitrogen")
    try:
        await triton.start()
        with caplog.at_level("INFO"):
            await connection.start()
            await until(lambda: "go to Triton through the shared memory" in caplog.text, "it is registered")
            assert (await infer(model, frame(3))).j_right[0, 0] == pytest.approx(3 / 255)
            assert connection.shared_frames is not None
            assert held(connection.shared_frames).startswith(bytes(2 * FRAME_BYTES) + frame(3))
            await model.close()
            await connection.close()
    finally:
        await triton.kill()
    assert "keeps the shared memory" not in caplog.text
    assert "a-secret" not in caplog.text


async def play(port: int) -> None:
    """One request of a client of the TCP port."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b'{"type": "predict"}\n' + frame(1))
    assert json.loads(await asyncio.wait_for(reader.readline(), WITHIN_S))["status"] == "ok"
    writer.close()
    await writer.wait_closed()


async def region_of(triton: TimedTriton, gateway: GatewayProcess) -> str:
    """The name of a gateway's region, once Triton knows of it."""
    prefix = f"{shared_memory.PREFIX}{gateway.process.pid}_"
    async with asyncio.timeout(WITHIN_S):
        while True:
            for name in await regions(triton):
                if name.startswith(prefix):
                    return name
            await asyncio.sleep(0.02)


async def test_a_killed_gateway_leaves_nothing_after_the_next_start(timed_triton: TimedTriton) -> None:
    with gateway_process(timed_triton.endpoint, "--triton-shared-memory") as killed:
        left = await region_of(timed_triton, killed)
        await play(killed.tcp)
        killed.kill()
    with gateway_process(timed_triton.endpoint, "--triton-shared-memory") as stopped:
        own = await region_of(timed_triton, stopped)
        await play(stopped.tcp)
        assert not (FOLDER / left).exists()
        assert left not in await regions(timed_triton)
        stopped.process.terminate()
        assert stopped.process.wait(WITHIN_S) == 0
    assert not (FOLDER / own).exists()
    assert own not in await regions(timed_triton)


async def test_the_region_of_a_gateway_that_lives_is_left_alone(timed_triton: TimedTriton) -> None:
    async with sharing(timed_triton) as (model, one), sharing(timed_triton) as (_, other):
        assert {one.name, other.name} <= await regions(timed_triton)
        await infer(model, frame(1))


@pytest.mark.parametrize(
    ("endpoints", "said"),
    [
        (("127.0.0.1:8001", "127.0.0.1:8002"), "--triton names 2"),
        (("192.0.2.1:8001",), r"--triton is '192\.0\.2\.1:8001'"),
        (("no-such-host.invalid:8001",), "needs a Triton on this host"),
    ],
)
def test_only_one_triton_on_this_host_can_share(endpoints: tuple[str, ...], said: str) -> None:
    with pytest.raises(StartError, match=said):
        TritonConnection(*map(parse_endpoint, endpoints), shared_slots=1)


async def test_a_triton_on_this_host_gets_frames_by_itself(
    timed_triton: TimedTriton, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        async with running_gateway(triton=timed_triton.endpoint) as gateway:
            await until(lambda: "through the shared memory" in caplog.text, "it is registered")
            await play(gateway.port_numbers["tcp"])
            shared = gateway.model._connection.shared_frames
            assert shared is not None
            assert held(shared).startswith(bytes(2 * FRAME_BYTES) + frame(1))
    assert shared.name not in await regions(timed_triton)


async def test_a_triton_that_sees_other_memory_gets_frames_over_the_connection(
    timed_triton: TimedTriton,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path)
    with caplog.at_level("INFO"):
        async with running_gateway(triton=timed_triton.endpoint) as gateway:
            await until(lambda: "not through shared memory" in caplog.text, "it has given up")
            await play(gateway.port_numbers["tcp"])
            assert not list(tmp_path.iterdir())  # noqa: ASYNC240 - a folder of the test's own
    assert "Unable to open shared memory region" in caplog.text
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_a_triton_that_restricts_it_gets_frames_over_the_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flag = "--grpc-restricted-protocol=shared-memory:nitrogen=a-secret"
    async with running_triton(TimedTriton(tmp_path, instances=1, flags=[flag])) as triton:
        with caplog.at_level("INFO"):
            async with running_gateway(triton=triton.endpoint) as gateway:
                await until(lambda: "refuses shared memory: it wants a key" in caplog.text, "it has given up")
                await play(gateway.port_numbers["tcp"])


async def test_too_little_room_is_left_to_others(
    timed_triton: TimedTriton, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_memory, "MAX_SLOTS", 2**40)
    connection = TritonConnection(parse_endpoint(timed_triton.endpoint), shared_slots=2**18, must_share=False)
    model = TritonModel(connection, "nitrogen")
    with caplog.at_level("INFO"):
        await connection.start()
        await until(lambda: "would be needed" in caplog.text, "it has given up")
        assert (await infer(model, frame(2))).j_right[0, 0] == pytest.approx(2 / 255)
        await model.close()
        await connection.close()


@pytest.mark.parametrize(
    ("triton", "flags", "shares"),
    [
        ("127.0.0.1:8001", {}, True),
        ("localhost:8001", {}, True),
        ("[::1]:8001", {}, True),
        ("127.0.0.1:8001", {"triton_shared_memory": False}, False),
        ("127.0.0.1:8001,127.0.0.1:8002", {}, False),
        ("192.0.2.1:8001", {}, False),
        ("triton:8001", {}, False),
    ],
)
def test_it_is_tried_where_triton_is_on_this_host(triton: str, flags: dict[str, bool], shares: bool) -> None:
    connection = TritonConnection.from_settings(GatewaySettings(triton=triton, **flags))
    assert (connection.shared_frames is not None) is shares
