"""`/live` on a running gateway: what it shows, whom it lets look, and that no player waits for onlookers."""

import asyncio
import base64
import socket

import aiohttp
import cv2
import numpy as np
import pytest

from contract.tensors import FRAME_SHAPE
from gateway.ports.http.live import is_of_this_machine
from gateway.server import Gateway
from tests.black_frame import FRAME
from tests.gateway.conftest import StartGateway
from tests.gateway.onlookers import looking, playing
from tests.gateways import running_gateway
from tests.pages import page
from tests.patience import WITHIN_S
from tests.stack import JsonClient
from tests.stand_ins.timed_answers import frame
from tests.stand_ins.timed_triton import HORIZON


async def test_whoever_looks_sees_the_player_the_picture_and_the_pad(start_gateway: StartGateway) -> None:
    gateway: Gateway = await start_gateway()
    async with playing(gateway.port_numbers["tcp"], game=2):
        async with looking(gateway.http_port) as onlooker:
            player = await onlooker.player()
        assert (player["port"], player["model"], player["game"]) == ("tcp", "nitrogen", "2")
        assert player["client"].startswith("127.0.0.1:")
        async with looking(gateway.http_port, player["id"]) as onlooker:
            shown = await onlooker.next("chosen")
            while "played" not in shown or "png" not in shown:
                shown = await onlooker.next("chosen")
            listed = await onlooker.player()
    image = cv2.imdecode(np.frombuffer(base64.b64decode(shown["png"]), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(image, frame(40))
    assert len(shown["pred"]["buttons"]) == HORIZON
    assert (shown["played"][0]["by"], shown["played"][0]["buttons"]) == ("human", [1] * 21)
    assert listed["actions_per_s"] > 0
    assert listed["stages_ms"]["total"] >= listed["stages_ms"]["infer"] > 0


async def test_errors_are_shown_with_what_clients_were_told(start_gateway: StartGateway) -> None:
    gateway: Gateway = await start_gateway()

    def fail() -> None:
        with JsonClient(gateway.port_numbers["tcp"]) as client:
            client.request({"type": "predict", "game": "<script>alert(1)</script>"}, FRAME)
            client.request({"type": "predict", "len": 3}, b"\x89PN")

    await asyncio.to_thread(fail)
    async with looking(gateway.http_port) as onlooker:
        errors = (await onlooker.next("players"))["errors"]
    assert "<script>alert(1)</script>" in errors["bad_request"]["last"][0]["sentence"]
    assert errors["bad_image"]["count"] == 1


async def test_a_hostile_name_stays_within_its_event(start_gateway: StartGateway) -> None:
    gateway: Gateway = await start_gateway()
    hostile = "</script>\n\nevent: chosen\ndata: {}\n\n\u2028\ud800"
    async with playing(gateway.port_numbers["tcp"], game=hostile), looking(gateway.http_port) as onlooker:
        player = await onlooker.player()
    assert player["game"].startswith("</script>\\n\\nevent: chosen\\n")


async def test_nobody_waits_for_an_onlooker_who_reads_nothing(start_gateway: StartGateway) -> None:
    gateway: Gateway = await start_gateway()
    # Pictures that fill what the system keeps for a reader, who has little room himself.
    noise = np.random.default_rng(7).integers(0, 256, FRAME_SHAPE, np.uint8).tobytes()
    async with playing(gateway.port_numbers["tcp"], noise):
        async with looking(gateway.http_port) as onlooker:
            id_ = (await onlooker.player())["id"]
        socket_ = socket.socket()
        socket_.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        socket_.connect(("127.0.0.1", gateway.http_port))
        reader, writer = await asyncio.open_connection(sock=socket_)
        request = f"GET /live/events?player={id_} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        writer.write(request.encode())
        # It has begun, and nothing more of it is read.
        await reader.readline()
        async with looking(gateway.http_port, id_) as onlooker:
            numbers = [(await onlooker.next("chosen"))["picture"] for _ in range(8)]
        assert numbers == sorted(set(numbers))
        writer.close()


async def test_one_onlooker_too_many_is_told_so_and_places_come_back(start_gateway: StartGateway) -> None:
    gateway: Gateway = await start_gateway()
    url = f"http://127.0.0.1:{gateway.http_port}/live/events"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=20)) as session:
        kept = [await session.get(url) for _ in range(8)]
        async with session.get(url) as refused:
            assert (refused.status, await refused.text()) == (
                503,
                "8 pages are open already: close one, or try again later\n",
            )
        kept[0].close()
        async with asyncio.timeout(WITHIN_S):
            while True:
                async with session.get(url) as response:
                    if response.status == 200:
                        break
        for response in kept:
            response.close()


async def test_the_page_and_its_parts_are_served_under_a_strict_policy(start_gateway: StartGateway) -> None:
    gateway: Gateway = await start_gateway()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{gateway.http_port}") as session:
        for path in ("/live", "/live/", "/live/main.js", "/common/style.css"):
            async with session.get(path) as response:
                assert response.status == 200, path
                assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        for path in (
            "/live/../server.py",
            "/live/%2e%2e/play/index.html",
            "/common/nothing.js",
            "/play/main.js",
        ):
            async with session.get(path) as response:
                assert response.status == 404, path


async def test_a_page_under_a_name_that_anybody_could_own_is_refused(start_gateway: StartGateway) -> None:
    gateway: Gateway = await start_gateway(live="all")
    async with aiohttp.ClientSession(f"http://127.0.0.1:{gateway.http_port}") as session:
        for path in ("/live", "/live/events", "/live/main.js", "/common/pad.js"):
            async with session.get(path, headers={"Host": "evil.example.com:8080"}) as response:
                assert response.status == 403
                assert "'evil.example.com:8080', which could be anybody's" in await response.text()
        for host in ("localhost:8080", "192.168.1.5", "[::1]:8080"):
            async with session.get("/live", headers={"Host": host}) as response:
                assert response.status == 200


async def test_a_page_of_another_origin_is_refused(start_gateway: StartGateway) -> None:
    gateway: Gateway = await start_gateway(live="all")
    own = f"http://127.0.0.1:{gateway.http_port}"
    async with aiohttp.ClientSession(own) as session:
        for origin, status in ((own, 200), ("http://evil.example", 403), ("null", 403)):
            async with session.get("/live/events", headers={"Origin": origin}) as response:
                assert response.status == status


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Real-IP"])
@pytest.mark.parametrize(("live", "status"), [("local", 403), ("all", 200)])
async def test_who_comes_through_a_proxy_is_not_of_this_machine(
    start_gateway: StartGateway, header: str, live: str, status: int
) -> None:
    gateway: Gateway = await start_gateway(live=live)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{gateway.http_port}") as session:
        for path in ("/live", "/live/events"):
            async with session.get(path, headers={header: "for=203.0.113.9"}) as response:
                assert response.status == status
                assert status == 200 or "through a proxy" in await response.text()


@pytest.mark.parametrize(
    ("peer", "own", "is_own"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.2", "127.0.0.1", True),
        ("::1", "::1", True),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1", True),
        ("192.168.1.5", "192.168.1.5", True),
        ("192.168.1.6", "192.168.1.5", False),
        ("172.18.0.1", "172.18.0.4", False),
        ("fe80::1%eth0", "fe80::2%eth0", False),
    ],
)
def test_this_machines_own_addresses_are_told_from_others(peer: str, own: str, is_own: bool) -> None:
    assert is_of_this_machine(peer, own) is is_own


async def test_off_there_is_no_page_and_nothing_is_kept() -> None:
    async with running_gateway(live="off") as gateway:
        for path in ("/live", "/live/events", "/common/style.css"):
            assert (await asyncio.to_thread(page, gateway.http_port, path))[0] == 404
        assert "/live" not in (await asyncio.to_thread(page, gateway.http_port, "/"))[1]


async def test_the_front_page_names_it() -> None:
    async with running_gateway() as gateway:
        assert (
            "  /live     who plays, in a browser\n"
            in (await asyncio.to_thread(page, gateway.http_port, "/"))[1]
        )


async def test_the_events_end_in_order_before_their_connection_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.ports.http.connections._MAX_CONNECTION_S", 2.0)
    async with running_gateway() as gateway, looking(gateway.http_port) as onlooker:
        await onlooker.next("players")
        async with asyncio.timeout(WITHIN_S):
            await onlooker.end()  # raises for events that are cut


async def test_a_gateway_that_stops_ends_the_events(start_gateway: StartGateway) -> None:
    async with running_gateway() as gateway, looking(gateway.http_port) as onlooker:
        await onlooker.next("players")
        await gateway.stop()
        async with asyncio.timeout(WITHIN_S):
            await onlooker.end()
