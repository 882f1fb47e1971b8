"""The gateway in one process: both ports, the default game, the end, with inference times set by the test."""

import asyncio
import json
import pickle
import socket
from typing import Any

import pytest
import zmq
import zmq.asyncio

from gateway.server import Gateway
from gateway.settings import GatewaySettings
from tests.black_frame import FRAME, PIXELS
from tests.gateway.conftest import StartGateway
from tests.patience import WITHIN_S
from tests.stand_ins.timed_answers import first_noise
from tests.stand_ins.timed_triton import NEVER, TimedTriton


def pickled(**request: Any) -> bytes:  # noqa: ANN401
    return pickle.dumps({"type": "predict", "image": PIXELS, **request})


@pytest.mark.parametrize("envelope", [[], [b""]])
async def test_a_dealer_beyond_its_limit_is_refused_in_order(
    start_gateway: StartGateway, envelope: list[bytes]
) -> None:
    gateway = await start_gateway(max_in_flight_per_client=2)
    with zmq.asyncio.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.sndtimeo = 1000 * WITHIN_S
        dealer.connect(f"tcp://127.0.0.1:{gateway.port_numbers['zmq']}")
        for hundredths in (50, 0, 0, 0):
            await dealer.send_multipart([*envelope, pickled(game=hundredths)])
        replies = [await asyncio.wait_for(dealer.recv_multipart(), WITHIN_S) for _ in range(4)]
    assert all(reply[:-1] == envelope for reply in replies)
    outcomes = [pickle.loads(reply[-1]) for reply in replies]
    assert [outcome["status"] for outcome in outcomes] == ["ok", "ok", "error", "error"]
    assert "in flight" in outcomes[2]["message"]


async def test_tcp_beyond_its_limit_waits_instead(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(max_in_flight_per_client=2)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port_numbers["tcp"])
    requests = [
        f'{{"type": "predict", "game": {20 - 2 * index}, "seed": {index}}}\n'.encode() + FRAME
        for index in range(10)
    ]
    writer.write(b"".join(requests))
    writer.write_eof()
    replies = [json.loads(line) for line in (await asyncio.wait_for(reader.read(), WITHIN_S)).splitlines()]
    firsts = [reply["pred"]["j_left"][0][1] for reply in replies]
    assert firsts == pytest.approx([first_noise(seed) for seed in range(10)], abs=6e-4)
    writer.close()
    await writer.wait_closed()


async def test_the_default_game_is_used_and_shown(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(game="game 5")
    with zmq.asyncio.Context() as context, context.socket(zmq.REQ) as client:
        client.sndtimeo = client.rcvtimeo = 1000 * WITHIN_S
        client.connect(f"tcp://127.0.0.1:{gateway.port_numbers['zmq']}")
        for fields, game_id in (({}, 5), ({"game": None}, 0), ({"game": "game 3"}, 3)):
            await client.send(pickled(**fields))
            reply = pickle.loads(await client.recv())
            assert round(float(reply["pred"]["j_right"][1, 0]) * 255) == game_id
        await client.send(pickle.dumps({"type": "info"}))
        assert pickle.loads(await client.recv())["info"]["selected_game"] == "game 5"


async def test_a_default_game_that_the_model_does_not_have_is_logged(
    start_gateway: StartGateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await start_gateway(game="game X")
    await asyncio.wait_for(gateway.model.read_facts(), WITHIN_S)
    (record,) = [record for record in caplog.records if record.name == "gateway.data_plane"]
    assert record.levelname == "ERROR"
    assert record.getMessage().startswith(
        "the gateway's --game (NITROGEN_GAME) is wrong: the game 'game X' is unknown; the games are: 0 "
    )


async def test_stop_answers_what_is_in_flight(start_gateway: StartGateway, timed_triton: TimedTriton) -> None:
    gateway = await start_gateway()
    begun = await timed_triton.begun()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port_numbers["tcp"])
    idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", gateway.port_numbers["tcp"])
    with zmq.asyncio.Context() as context, context.socket(zmq.REQ) as client:
        client.sndtimeo = client.rcvtimeo = 1000 * WITHIN_S
        client.connect(f"tcp://127.0.0.1:{gateway.port_numbers['zmq']}")
        await client.send(pickled(game=NEVER))
        writer.write(b'{"type": "predict", "game": 50}\n' + FRAME)
        await timed_triton.wait_until_begun(begun + 2)
        await asyncio.wait_for(gateway.stop(), WITHIN_S)
        assert "stopping" in pickle.loads(await client.recv())["message"]
    async with asyncio.timeout(WITHIN_S):
        assert json.loads(await reader.readline())["status"] == "ok"
        assert await reader.read() == b""
        assert "stopping" in json.loads(await idle_reader.readline())["message"]
        assert await idle_reader.read() == b""
    for open_writer in (writer, idle_writer):
        open_writer.close()
        await open_writer.wait_closed()


async def test_a_port_in_use_leaves_nothing_open(
    start_gateway: StartGateway, timed_triton: TimedTriton
) -> None:
    first = await start_gateway()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    with pytest.raises(Exception, match=f"port {first.http_port} is in use"):
        await start_gateway_on(timed_triton.endpoint, free, first.http_port)
    socket.create_server(("127.0.0.1", free)).close()


async def start_gateway_on(triton: str, zmq_port: int, http_port: int) -> None:
    settings = GatewaySettings(
        triton=triton, host="127.0.0.1", zmq_port=zmq_port, tcp_port=0, web_port=0, http_port=http_port
    )
    await Gateway(settings).start()
