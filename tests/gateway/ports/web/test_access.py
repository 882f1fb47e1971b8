"""Who may use the web port: whose pages, by which names, with which token, from where."""

import logging
from pathlib import Path
from ssl import SSLContext
from typing import Any

import aiohttp
import pytest
from websockets.exceptions import InvalidMessage, InvalidStatus

from gateway.errors import StartError
from gateway.ports.origins import Origins
from gateway.server import Gateway
from gateway.settings import GatewaySettings
from tests.gateway.ports.web.browsers import address, ask, browser, metric
from tests.gateways import local_settings, running_gateway

LISTED = ("https://play.example.com", "http://10.1.2.3:8000")
RESET = {"type": "reset"}
OK = {"status": "ok"}


async def refused(gateway: Gateway, path: str = "/play", **options: Any) -> tuple[int, str]:  # noqa: ANN401
    """The status and the sentence that a WebSocket gets instead."""
    with pytest.raises(InvalidStatus) as told:
        async with browser(gateway, path, **options):
            pass
    return told.value.response.status_code, told.value.response.body.decode()


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://192.168.1.5:5557", "192.168.1.5:5557"),
        ("https://192.168.1.5", "192.168.1.5"),
        ("http://[fe80::1]:5557", "[fe80::1]:5557"),
        ("http://LOCALHOST:5557", "localhost:5557"),
        ("http://nitrogen:5557", "nitrogen:5557"),
        ("http://games.local:5557", "games.local:5557"),
        ("http://games.home.arpa:80", "games.home.arpa"),
        ("https://play.example.com", "gateway:5557"),
        ("https://play.example.com:443", "10.0.0.7"),
        ("http://play.example.com", "play.example.com"),
        ("http://10.1.2.3:8000", "192.168.1.5:5557"),
    ],
)
def test_pages_of_the_server_itself_and_listed_ones_may_play(origin: str, host: str) -> None:
    assert Origins(LISTED).origin_problem(origin, host) is None


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example", "192.168.1.5:5557"),
        ("http://192.168.1.5", "192.168.1.5:5557"),
        ("http://192.168.1.6:5557", "192.168.1.5:5557"),
        ("http://localhost:3000", "localhost:5557"),
        ("http://play.example.com", "192.168.1.5:5557"),
        ("https://play.example.com.evil.example", "192.168.1.5:5557"),
        ("https://play.example.com@evil.example", "192.168.1.5:5557"),
        ("null", "192.168.1.5:5557"),
        ("", ""),
        ("file://", "localhost:5557"),
        ("http://localhost:x", "localhost:x"),
        ("http://[::1", "[::1"),
    ],
)
def test_pages_of_another_origin_may_not(origin: str, host: str) -> None:
    problem = Origins(LISTED).origin_problem(origin, host)
    assert problem is not None
    assert "--web-origins" in problem


@pytest.mark.parametrize(
    "host",
    [
        *(
            "evil.example",
            "evil.example:5557",
            "192.168.1.5.evil.example",
            "local.evil.example",
            "evil.localhost.",
        ),
        *("", "a/b.local", "x@localhost", "localhost:x", "evil.example#.local", "0x7f.1.evil.example"),
    ],
)
def test_a_name_that_anybody_could_own_is_not_this_servers(host: str) -> None:
    if host == "evil.localhost.":  # below a name that nobody can register
        assert Origins(()).host_problem(host) is None
        return
    problem = Origins(()).host_problem(host)
    assert problem is not None
    assert "by the server's address" in problem


async def test_a_page_of_another_site_opens_no_websocket(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with running_gateway() as gateway:
        for path in ("/play", "/", "/anything"):
            status, told = await refused(gateway, path, origin="https://evil.example")
            assert (status, "'https://evil.example' may not play here" in told) == (403, True)
        assert metric(gateway, "refused_total", reason="origin") == 3
        assert "https://evil.example" in caplog.text
        async with browser(gateway) as socket:
            assert await ask(socket, RESET) == OK


async def test_a_name_that_points_here_by_rebinding_gets_neither_page_nor_websocket() -> None:
    async with running_gateway() as gateway:
        name = f"evil.example:{gateway.port_numbers['web']}"
        status, told = await refused(gateway, name="evil.example", origin=f"http://{name}")
        assert (status, "could be anybody's" in told) == (403, True)
        url = address(gateway, "/", "http")
        async with aiohttp.ClientSession(headers={"Host": name}) as session, session.get(url) as page:
            assert (page.status, "could be anybody's" in await page.text()) == (403, True)
        assert metric(gateway, "refused_total", reason="host") == 1


async def test_listed_pages_and_programs_that_are_no_browsers_get_in() -> None:
    async with running_gateway(web_origins=",".join(LISTED)) as gateway:
        for origin in (*LISTED, None):
            async with browser(gateway, origin=origin) as socket:
                assert await ask(socket, RESET) == OK


def test_origins_that_are_none_are_one_sentence() -> None:
    for wrong in ("play.example.com", "https://play.example.com/page", "*", "https://"):
        with pytest.raises(ValueError, match="web_origins"):
            GatewaySettings(web_origins=wrong)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/play?token=correct%20horse", {}),
        ("/?token=correct%20horse", {}),
        ("/play", {"Authorization": "Bearer correct horse"}),
        ("/play?token=wrong", {"Authorization": "api-key correct horse"}),
    ],
)
async def test_who_brings_the_token_gets_in(path: str, headers: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("correct horse\n")
    async with (
        running_gateway(web_token_file=tmp_path / "token") as gateway,
        browser(gateway, path, additional_headers=headers) as socket,
    ):
        await (await socket.ping())
        assert metric(gateway, "clients", access="authorised") == 1


async def test_a_token_with_plus_signs_may_stand_in_a_url_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a+b/c==\n")
    async with running_gateway(web_token_file=tmp_path / "token") as gateway:
        for path in ("/play?token=a+b/c==", "/play?token=a%2Bb%2Fc%3D%3D"):
            async with browser(gateway, path) as socket:
                assert await ask(socket, RESET) == OK
        assert (await refused(gateway, "/play?token=a-b/c=="))[0] == 401


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/play", {}),
        ("/", {}),
        ("/play?token=", {}),
        ("/play?token=correct%20hors", {}),
        ("/play?token=%ff", {}),
        ("/play", {"Authorization": "correct horse"}),
        ("/play", {"Authorization": "Basic correct horse"}),
        ("/play", {"Authorization": "Bearer"}),
    ],
)
async def test_who_does_not_is_told_so(path: str, headers: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("correct horse\n")
    async with running_gateway(web_token_file=tmp_path / "token") as gateway:
        status, told = await refused(gateway, path, additional_headers=headers)
        assert (status, "wants a token" in told) == (401, True)
        assert metric(gateway, "refused_total", reason="token") == 1


async def test_a_page_can_ask_why_it_gets_no_websocket(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("correct horse\n")
    async with (
        running_gateway(web_token_file=tmp_path / "token") as gateway,
        aiohttp.ClientSession() as session,
    ):
        for query, status in (("", 401), ("?token=correct%20horse", 426)):
            async with session.get(address(gateway, f"/play{query}", "http")) as told:
                assert told.status == status
        async with session.get(address(gateway, "/", "http")) as page:
            assert page.status == 200


async def test_a_token_is_never_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    (tmp_path / "token").write_text("correct-horse\n")
    async with running_gateway(web_token_file=tmp_path / "token") as gateway:
        async with browser(gateway, "/play?token=correct-horse", compression=None) as socket:
            await ask(socket, {"type": "info", "seed": -1})
        async with browser(
            gateway, "/?token=correct-horse", additional_headers={"Sec-WebSocket-Protocol": "horse"}
        ):
            pass
        await refused(gateway, "/play?token=wrong-horse")
        await refused(gateway, "/play?token=correct-horse", origin="http://evil.example")
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets")]
    assert any("evil.example" in line for line in ours)
    assert not any("horse" in line for line in ours)


@pytest.mark.parametrize(
    ("settings", "status", "why"),
    [
        ({"allow": "10.0.0.0/8"}, 403, "clients from 127.0.0.1 may not use this gateway"),
        ({"max_connections_per_address": 1}, 503, "1 connections from 127.0.0.1 are open already"),
        ({"max_clients": 1}, 503, "the gateway has 1 clients already"),
    ],
)
async def test_a_connection_that_may_not_be_is_told_so(
    settings: dict[str, Any], status: int, why: str
) -> None:
    async with running_gateway(**settings) as gateway:
        if "allow" in settings:
            assert await refused(gateway) == (status, f"{why}: ask its operator\n")
            return
        async with browser(gateway) as socket:
            assert await ask(socket, RESET) == OK
            got, told = await refused(gateway)
            assert (got, why in told) == (status, True)
            assert await ask(socket, RESET) == OK


async def test_the_port_speaks_tls_where_it_has_a_certificate(certificate: tuple[Path, SSLContext]) -> None:
    path, trusting = certificate
    async with running_gateway(web_tls_cert=path) as gateway:
        url = address(gateway, "/", "https")
        async with aiohttp.ClientSession() as session, session.get(url, ssl=trusting) as page:
            assert page.status == 200
            assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        with pytest.raises((ConnectionError, EOFError, InvalidMessage)):
            async with browser(gateway):
                pass
        assert metric(gateway, "refused_total", reason="tls") == 1


def test_a_file_that_is_no_certificate_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for setting in ("web_tls_cert", "web_token_file"):
        with pytest.raises(StartError, match=f"--{setting.replace('_', '-')}"):
            Gateway(local_settings(**{setting: tmp_path / "empty"}))
