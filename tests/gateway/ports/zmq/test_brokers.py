"""Port 5555 behind brokers, and REQ sockets that number their requests: answered, and each its own client."""

import asyncio
import contextlib
import pickle
from collections.abc import Iterator
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq
import zmq.asyncio

from gateway.server import Gateway
from tests.gateway.conftest import StartGateway
from tests.gateway.ports.zmq.peers import RESET, ask, frames_seen, peer, predict, refused, reply_of, until
from tests.gateways import running_gateway
from tests.patience import WITHIN_S
from tests.stand_ins.brokers import broker, brokers
from tests.stand_ins.timed_triton import TimedTriton

OK = msgpack.packb({"status": "ok"})
RECOVERING = {"req_correlate": 1, "req_relaxed": 1}


@contextlib.contextmanager
def client_of(port: int, kind: int = zmq.REQ, **options: Any) -> Iterator["zmq.asyncio.Socket"]:  # noqa: ANN401
    """A client of a broker."""
    with zmq.asyncio.Context() as context, context.socket(kind) as client:
        client.linger = 0
        for name, value in options.items():
            setattr(client, name, value)
        client.connect(f"tcp://127.0.0.1:{port}")
        yield client


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [{}, {"req_correlate": 1}, RECOVERING, {"probe_router": 1}],
    ids=["plain", "correlated", "both", "probing"],
)
async def test_a_req_client_is_answered(count: int, options: dict[str, int]) -> None:
    async with running_gateway() as gateway:
        with brokers(gateway.port_numbers["zmq"], count) as port, client_of(port, **options) as client:
            for _ in range(3):
                assert await ask(client) == {"status": "ok"}
                await client.send(pickle.dumps({"type": "nonsense"}))
                assert pickle.loads(await asyncio.wait_for(client.recv(), WITHIN_S))["status"] == "error"


async def test_a_message_without_an_empty_part_is_told_so_through_a_broker() -> None:
    async with running_gateway() as gateway:
        with broker(gateway.port_numbers["zmq"]) as port, client_of(port, zmq.DEALER) as dealer:
            await dealer.send(RESET)
            assert "no empty one" in (await reply_of(dealer))["message"]
            await dealer.send_multipart([b"", RESET])
            assert await reply_of(dealer) == {"status": "ok"}


async def test_each_player_behind_a_broker_has_its_own_context(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(broker(gateway.port_numbers["zmq"]))
        names = [{}, {}, {"routing_id": b"anna"}, {"routing_id": b"emil"}, RECOVERING, {"req_correlate": 1}]
        players = [stack.enter_context(client_of(port, **options)) for options in names]
        for expected in (1, 2, 3, 3):
            for player in players:
                assert frames_seen(await ask(player, predict())) == expected
        assert await ask(players[0]) == {"status": "ok"}
        seen = [frames_seen(await ask(player, predict())) for player in players]
        assert seen == [1, 3, 3, 3, 3, 3]


async def test_a_client_that_numbers_its_requests_keeps_its_context(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    with peer(gateway, **RECOVERING) as client, peer(gateway, **RECOVERING) as other:
        for expected in (1, 2, 3, 3):
            assert frames_seen(await ask(client, predict())) == expected
        assert frames_seen(await ask(other, predict())) == 1


async def test_a_relaxed_client_gets_the_reply_to_its_newest_request(
    start_gateway: StartGateway, timed_triton: TimedTriton
) -> None:
    gateway = await start_gateway()
    begun = await timed_triton.begun()
    with peer(gateway, **RECOVERING) as client:
        await client.send(predict(game=50))
        await timed_triton.wait_until_begun(begun + 1)
        reply = await ask(client, predict(game=3))
        right = np.frombuffer(reply["pred"]["j_right"]["data"], "<f4").reshape(18, 2)
        assert round(float(right[1, 0]) * 255) == 3


async def test_contexts_end_with_the_broker_unless_every_name_was_chosen() -> None:
    async with running_gateway() as gateway:
        contexts = gateway.ports["zmq"]._contexts
        with broker(gateway.port_numbers["zmq"]) as port, client_of(port, routing_id=b"anna") as client:
            assert await ask(client) == {"status": "ok"}
            assert len(contexts) == 1
        await until(lambda: not len(contexts), "a nameless broker's are dropped")
        with (
            broker(gateway.port_numbers["zmq"], routing_id=b"broker") as port,
            client_of(port) as nameless,
            client_of(port, routing_id=b"anna") as named,
        ):
            for client in (nameless, named):
                assert await ask(client) == {"status": "ok"}
            assert len(contexts) == 2
        await until(lambda: len(contexts) == 1, "the named player's stays")
        assert contexts.paths(("127.0.0.1", b"broker")) == [(b"anna",)]
        await until(lambda: not gateway.ports["zmq"]._connections, "all have left")


async def test_a_flood_behind_a_broker_leaves_its_other_players_their_turn(
    start_gateway: StartGateway, timed_triton: TimedTriton
) -> None:
    gateway: Gateway = await start_gateway(max_in_flight_per_client=1, max_in_flight=8)
    begun = await timed_triton.begun()
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(broker(gateway.port_numbers["zmq"]))
        flood = stack.enter_context(client_of(port, zmq.DEALER))
        player = stack.enter_context(client_of(port))
        await flood.send_multipart([b"", predict(game=99)])
        await timed_triton.wait_until_begun(begun + 1)
        for _ in range(20):
            await flood.send_multipart([b"", predict()])
        await until(lambda: refused(gateway, "flood") == 16, "all are read")
        assert (await ask(player, predict()))["status"] == "ok"
        replies = [await reply_of(flood) for _ in range(5)]
        assert [reply["status"] for reply in replies] == ["ok"] + ["error"] * 4
        assert refused(gateway, "slow_reader") == 0


async def test_many_players_behind_one_broker_all_get_their_replies() -> None:
    async with running_gateway() as gateway:
        with broker(gateway.port_numbers["zmq"]) as port, zmq.asyncio.Context() as context:
            players = [context.socket(zmq.REQ) for _ in range(200)]
            for player in players:
                player.linger = 0
                player.connect(f"tcp://127.0.0.1:{port}")
            for _ in range(2):
                replies = await asyncio.gather(*(ask(player) for player in players))
                assert replies == [{"status": "ok"}] * len(players)
            for player in players:
                player.close()
        assert refused(gateway, "slow_reader") == 0


async def test_a_client_that_plays_a_broker_is_bounded() -> None:
    limits = {"max_connections_per_address": 20, "max_in_flight_per_client": 1, "max_in_flight": 4}
    async with running_gateway(**limits) as gateway:
        with peer(gateway, zmq.DEALER) as dealer, peer(gateway) as player:
            for number in range(100):
                await dealer.send_multipart([b"%d" % number, b"", RESET])
                assert await dealer.recv_multipart() == [b"%d" % number, b"", OK]
            for number in range(500):
                await dealer.send_multipart([b"%d" % number, b"", RESET])
            assert await ask(player) == {"status": "ok"}
            server = gateway.ports["zmq"]
            await until(
                lambda: not any(one.clients.sessions for one in server._connections), "all are answered"
            )
            assert len(server._contexts) == 20 + 1
            assert refused(gateway, "slow_reader") == 0
