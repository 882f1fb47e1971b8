"""Several Tritons: what gRPC is told of them, rollouts in which their versions differ, and who lives."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from contract.endpoint import parse_endpoint
from gateway.contexts import Context
from gateway.data_plane import DataPlane
from gateway.errors import NotServedError, TritonUnavailableError
from gateway.protocol.messages import RawFrame, Reply, Request
from gateway.triton.connection import TritonConnection
from gateway.triton.look_up import LookUp
from gateway.triton.registry import ModelRegistry
from gateway.triton.target import channel_options, target_of
from tests.black_frame import FRAME
from tests.patience import WITHIN_S
from tests.stand_ins.timed_triton import TimedTriton

PREDICT = Request("predict", RawFrame(FRAME))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[TimedTriton]]:
    """Two Tritons; the first serves version 1 with a context of one frame, the second version 2 with two."""
    tritons = []
    for version in (1, 2):
        triton = TimedTriton(tmp_path_factory.mktemp(f"version{version}"), instances=2)
        triton.write_model(version, version=version)
        tritons.append(triton)
    try:
        await asyncio.gather(*(triton.start() for triton in tritons))
        yield tritons
    finally:
        await asyncio.gather(*(triton.kill() for triton in tritons))


@asynccontextmanager
async def plane_before(
    *endpoints: str, default: str = "nitrogen"
) -> AsyncIterator[tuple[DataPlane, TritonConnection, list[tuple[str, int]]]]:
    """A data plane, its connection, and what it tells of its dispatches."""
    dispatched: list[tuple[str, int]] = []
    connection = TritonConnection(*map(parse_endpoint, endpoints))
    await connection.start()
    models = ModelRegistry(connection, default)
    await models.start()
    plane = DataPlane(models, on_dispatch=lambda model, count: dispatched.append((model, count)))
    try:
        yield plane, connection, dispatched
    finally:
        plane.close()
        await models.close()
        await connection.close()


async def answer(plane: DataPlane, request_id: str = "") -> Reply:
    """The reply to one predict."""
    seen = plane.accept(PREDICT, FRAME, Context())
    deadline = asyncio.get_running_loop().time() + 4
    return await plane.answer(PREDICT, seen, deadline, request_id=request_id)


async def answers(plane: DataPlane, count: int, at_once: int) -> Sequence[Reply]:
    """The replies to many predicts, `at_once` of them at a time."""
    turns = asyncio.Semaphore(at_once)

    async def one() -> Reply:
        async with turns:
            return await answer(plane)

    return await asyncio.gather(*(one() for _ in range(count)))


@pytest.mark.parametrize("at_once", [1, 16])
async def test_no_request_fails_while_versions_differ(pair: list[TimedTriton], at_once: int) -> None:
    async with plane_before(*(triton.endpoint for triton in pair)) as (plane, _, _):
        replies = await answers(plane, 200, at_once)
    assert len(replies) == 200
    # Each is answered by a version for which it was made: the model tells how many frames it was given.
    assert all(reply.chunk is not None and reply.chunk.j_left[0, 0] > 0 for reply in replies)


async def test_a_version_that_no_triton_has_ends_as_an_error_in_time(pair: list[TimedTriton]) -> None:
    async with plane_before(*(triton.endpoint for triton in pair), default="missing") as (plane, _, _):
        with pytest.raises(NotServedError, match="does not serve the model 'missing'"):
            await asyncio.wait_for(answer(plane), 3)


async def test_a_model_that_only_one_triton_has_is_served(pair: list[TimedTriton]) -> None:
    pair[0].write_model(1, "single", version=1)
    await pair[0].load("single")
    try:
        async with plane_before(*(triton.endpoint for triton in pair), default="single") as (plane, _, _):
            assert len(await answers(plane, 100, 8)) == 100
    finally:
        await pair[0].unload("single")


async def test_a_model_that_was_unloaded_everywhere_ends_as_an_error_in_time(pair: list[TimedTriton]) -> None:
    for triton in pair:
        triton.write_model(1, "brief", version=1)
        await triton.load("brief")
    async with plane_before(*(triton.endpoint for triton in pair), default="brief") as (plane, _, _):
        await answer(plane)
        for triton in pair:
            await triton.unload("brief")
        with pytest.raises(NotServedError, match="does not serve the model 'brief'"):
            await asyncio.wait_for(answer(plane), 3)


async def test_the_life_of_each_endpoint_is_told(pair: list[TimedTriton]) -> None:
    nobody = "127.0.0.1:1"
    lives = (pair[0].endpoint, pair[0].endpoint)
    connection = TritonConnection(*map(parse_endpoint, (pair[0].endpoint, nobody)))
    await connection.start()
    try:
        async with asyncio.timeout(WITHIN_S):
            while not connection.endpoints_up()[lives]:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.02)
        assert connection.endpoints_up() == {lives: True, (nobody, nobody): False}
    finally:
        await connection.close()


async def test_how_many_predicts_are_at_triton_is_told(pair: list[TimedTriton]) -> None:
    async with plane_before(pair[0].endpoint) as (plane, _, dispatched):
        await answers(plane, 30, 5)
        assert {model for model, _ in dispatched} == {"nitrogen"}
        counts = [count for _, count in dispatched]
        assert (counts[0], max(counts)) == (1, 5)
        await answers(plane, 1, 1)
        assert dispatched[-1] == ("nitrogen", 1)


async def test_request_ids_are_in_triton_s_log(pair: list[TimedTriton]) -> None:
    async with plane_before(pair[0].endpoint) as (plane, _, _):
        await answer(plane, "request-4711")
    assert "[request id: request-4711]" in pair[0].log()


async def test_a_host_name_with_several_addresses_is_enough(pair: list[TimedTriton]) -> None:
    port = pair[0].endpoint.rpartition(":")[2]
    async with plane_before(f"localhost:{port}") as (plane, _, _):
        assert len(await answers(plane, 5, 5)) == 5


async def test_names_among_several_endpoints_are_looked_up(pair: list[TimedTriton]) -> None:
    port = pair[0].endpoint.rpartition(":")[2]
    async with plane_before(f"localhost:{port}", "no-such-host.invalid:8001") as (plane, _, _):
        assert len(await answers(plane, 5, 5)) == 5


@pytest.mark.parametrize(
    ("places", "target"),
    [
        (["127.0.0.1:8001"], "dns:///127.0.0.1:8001"),
        (["[::1]:8001"], "dns:///[::1]:8001"),
        (["127.0.0.2:8001", "127.0.0.1:8002"], "ipv4:127.0.0.1:8002,127.0.0.2:8001"),
        (["[::2]:8001", "[::1]:8002"], "ipv6:[::1]:8002,[::2]:8001"),
        (["127.0.0.1:8001", "[::1]:8002"], "ipv6:[::1]:8002,[::ffff:127.0.0.1]:8001"),
        (["no-such-host.invalid:1", "127.0.0.1:8001"], "ipv4:127.0.0.1:8001"),
        (["a.invalid:1", "b.invalid:2"], "dns:///a.invalid:1"),
    ],
)
async def test_targets(places: list[str], target: str) -> None:
    endpoints = list(map(parse_endpoint, places))
    names = LookUp(endpoints)
    await names.refresh()
    assert target_of(endpoints, names.addresses) == target


def service_config(*endpoints: str) -> dict[str, Any]:
    options = dict(channel_options(list(map(parse_endpoint, endpoints)), with_tls=False))
    return {"retries": options["grpc.enable_retries"], **json.loads(options["grpc.service_config"])}


def test_only_a_single_address_is_without_a_second_attempt() -> None:
    assert service_config("127.0.0.1:8001")["retries"] == 0
    for endpoints in (["triton:8001"], ["127.0.0.1:8001", "127.0.0.1:8002"]):
        config = service_config(*endpoints)
        assert config["retries"] == 1
        assert config["loadBalancingConfig"] == [{"round_robin": {}}]
        [method] = config["methodConfig"]
        assert method["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE", "NOT_FOUND", "CANCELLED"]


async def test_without_any_triton_the_error_comes_soon() -> None:
    # Ports that are taken, and at which nobody listens.
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        endpoints = [f"127.0.0.1:{probe.getsockname()[1]}" for probe in (one, other)]
        async with plane_before(*endpoints) as (plane, _, _):
            with pytest.raises(TritonUnavailableError, match="check that it runs"):
                await asyncio.wait_for(answer(plane), 3)
