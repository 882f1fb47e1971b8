"""Port 5555's clients: their formats, their contexts, and what becomes of one that floods or comes back."""

import asyncio
import logging
import pickle
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq

from gateway.server import Gateway
from tests.gateway.conftest import StartGateway
from tests.gateway.ports.zmq.peers import (
    RESET,
    ask,
    clients,
    frames_seen,
    peer,
    predict,
    refused,
    reply_of,
    until,
)
from tests.gateways import running_gateway
from tests.patience import WITHIN_S
from tests.stand_ins.timed_triton import NEVER, TimedTriton


async def test_each_request_is_answered_in_its_own_format_and_in_order() -> None:
    async with running_gateway() as gateway:
        with peer(gateway, zmq.DEALER) as dealer:
            for _ in range(3):
                await dealer.send_multipart([b"", pickle.dumps({"type": "reset"}, 4)])
                await dealer.send(msgpack.packb({"type": "nonsense"}))
                await dealer.send(pickle.dumps({"type": "reset"}, 0))
                await dealer.send_multipart([b"", RESET])
            replies = [await asyncio.wait_for(dealer.recv_multipart(), WITHIN_S) for _ in range(12)]
    assert [len(reply) for reply in replies] == [2, 1, 1, 2] * 3
    for first, second, third, fourth in zip(*[iter(reply[-1] for reply in replies)] * 4, strict=True):
        assert pickle.loads(first) == pickle.loads(third) == msgpack.unpackb(fourth) == {"status": "ok"}
        assert "nonsense" in msgpack.unpackb(second)["message"]


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"type": "nonsense"}, "bad_request"),
        ({"type": "predict", "image": b"none"}, "bad_image"),
        ({"type": "info"}, "triton_unavailable"),
        ({"type": "predict", "image": print}, "unsafe_pickle"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_error_names_its_cause_to_programs(fields: dict[str, Any], cause: str) -> None:
    async with running_gateway() as gateway:
        with peer(gateway) as client:
            await client.send(pickle.dumps(fields))
            reply = pickle.loads(await asyncio.wait_for(client.recv(), WITHIN_S))
            assert set(reply) == {"status", "message", "cause"}
            assert (reply["status"], reply["cause"]) == ("error", cause)
            if cause != "unsafe_pickle":
                assert (await ask(client, msgpack.packb(fields)))["cause"] == cause


async def test_without_pickle_a_pickle_is_told_so_in_a_pickle() -> None:
    async with running_gateway(pickle=False) as gateway:
        with peer(gateway) as client:
            for message in (pickle.dumps({"type": "reset"}), b"", b"nonsense"):
                await client.send(message)
                reply = pickle.loads(await asyncio.wait_for(client.recv(), WITHIN_S))
                assert reply["status"] == "error"
                assert "send msgpack" in reply["message"]
            assert await ask(client) == {"status": "ok"}


async def test_a_dealer_that_probes_gets_the_reply_to_its_request_first() -> None:
    async with running_gateway() as gateway:
        with peer(gateway, zmq.DEALER, probe_router=1) as dealer:
            await dealer.send_multipart([b"", RESET])
            assert await reply_of(dealer) == {"status": "ok"}


async def test_a_message_of_several_parts_gets_an_error_in_its_format() -> None:
    async with running_gateway() as gateway:
        with peer(gateway, zmq.DEALER) as dealer:
            await dealer.send_multipart([b"", RESET, RESET])
            assert "several parts" in (await reply_of(dealer))["message"]
            await dealer.send_multipart([RESET] * 10)
            assert "several parts" in (await reply_of(dealer))["message"]
            await dealer.send(RESET)
            assert await reply_of(dealer) == {"status": "ok"}


async def test_a_message_beyond_the_limit_gets_an_error_and_far_beyond_it_loses_the_connection() -> None:
    async with running_gateway(max_message_bytes=10_000) as gateway:
        with peer(gateway) as client:
            reply = await ask(client, msgpack.packb({"type": "reset", "more": bytes(20_000)}))
            assert "at most 10000" in reply["message"]
            assert await ask(client) == {"status": "ok"}
        with peer(gateway) as client:
            await client.send(msgpack.packb({"type": "reset", "more": bytes(50_000)}))
            await until(lambda: clients(gateway) == 0, "the connection is dropped")


async def test_actions_come_in_msgpack(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    with peer(gateway) as client:
        reply = await ask(client, predict(game=5))
    assert (reply["status"], reply["repeat"]) == ("ok", 1)
    shapes = {name: array["shape"] for name, array in reply["pred"].items()}
    assert shapes == {"j_left": [18, 2], "j_right": [18, 2], "buttons": [18, 21]}
    right = np.frombuffer(reply["pred"]["j_right"]["data"], "<f4").reshape(18, 2)
    assert round(float(right[1, 0]) * 255) == 5


async def test_a_flood_gets_busy_replies_in_order_and_beyond_some_none(
    start_gateway: StartGateway, timed_triton: TimedTriton
) -> None:
    gateway = await start_gateway(max_in_flight_per_client=2, zmq_deadline_s=20)
    begun = await timed_triton.begun()
    with peer(gateway, zmq.DEALER) as flood, peer(gateway) as other:
        for _ in range(2):
            await flood.send(predict(game=99))
        await timed_triton.wait_until_begun(begun + 2)
        for _ in range(100):
            await flood.send(predict())
        await until(lambda: refused(gateway, "flood") == 92, "all are read")
        assert (await ask(other, predict()))["status"] == "ok"
        replies = [await reply_of(flood) for _ in range(10)]
        assert [reply["status"] for reply in replies] == ["ok"] * 2 + ["error"] * 8
        assert all("in flight" in reply["message"] for reply in replies[2:])
        assert {reply["cause"] for reply in replies[2:]} == {"busy"}
        await flood.send(predict())
        assert (await reply_of(flood))["status"] == "ok"


async def test_a_client_that_comes_back_by_its_identity_finds_its_context(
    start_gateway: StartGateway,
) -> None:
    gateway = await start_gateway()
    for expected in (1, 2, 3, 3):
        with peer(gateway, routing_id=b"player one") as client:
            assert frames_seen(await ask(client, predict())) == expected
    for _ in range(2):
        with peer(gateway) as client:
            assert frames_seen(await ask(client, predict())) == 1


async def test_identities_are_remembered_up_to_a_number() -> None:
    async with running_gateway(max_contexts=5) as gateway:
        for number in range(8):
            with peer(gateway, routing_id=b"player %d" % number) as client:
                assert await ask(client) == {"status": "ok"}
        assert len(gateway.ports["zmq"]._contexts) == 5


async def test_a_late_reply_is_not_taken_for_that_to_the_next_request(
    start_gateway: StartGateway, timed_triton: TimedTriton
) -> None:
    gateway = await start_gateway()
    begun, cancelled = await timed_triton.begun(), await timed_triton.cancelled()
    with peer(gateway, routing_id=b"player one") as client:
        await client.send(predict(game=NEVER))
        await timed_triton.wait_until_begun(begun + 1)
    with peer(gateway, routing_id=b"player one") as client:
        assert "pred" not in await ask(client)
        await timed_triton.wait_until_cancelled(cancelled + 1)
        assert frames_seen(await ask(client, predict())) == 1


async def test_the_requests_of_a_client_that_left_are_cancelled(
    start_gateway: StartGateway, timed_triton: TimedTriton
) -> None:
    gateway = await start_gateway()
    begun, cancelled = await timed_triton.begun(), await timed_triton.cancelled()
    with peer(gateway) as client:
        await client.send(predict(game=NEVER))
        await timed_triton.wait_until_begun(begun + 1)
    await timed_triton.wait_until_cancelled(cancelled + 1)
    assert not gateway.ports["zmq"]._connections


async def test_a_client_is_named_by_its_address_and_identity(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gateway.session.session"):
        async with running_gateway() as gateway:
            with peer(gateway, routing_id=b"a\n\xff") as client:
                await ask(client, msgpack.packb({"type": "nonsense"}))
    assert "127.0.0.1/610aff" in caplog.text


async def test_when_it_stops_new_requests_are_told_so(
    start_gateway: StartGateway, timed_triton: TimedTriton
) -> None:
    gateway: Gateway = await start_gateway()
    begun = await timed_triton.begun()
    with peer(gateway) as busy, peer(gateway) as late:
        assert await ask(late) == {"status": "ok"}
        await busy.send(predict(game=99))
        await timed_triton.wait_until_begun(begun + 1)
        stopping = asyncio.create_task(gateway.stop())
        await until(lambda: gateway.ports["zmq"]._acceptor._is_closed, "it begins to stop")
        refusal = await ask(late)
        assert "stopping" in refusal["message"]
        assert refusal["cause"] == "stopping"
        assert (await reply_of(busy))["status"] == "ok"
        await asyncio.wait_for(stopping, WITHIN_S)
