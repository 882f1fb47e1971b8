"""Port 5555: what a stranger's handshake may bring, and names that belong to others."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import zmq

from benchmarks.gateway import process
from benchmarks.gateway.strangers import faults, measure
from gateway.commands.keys import main as make_keys
from gateway.server import Gateway
from tests.gateway.conftest import StartGateway
from tests.gateway.ports.zmq.peers import (
    RESET,
    WITHIN_S,
    RawPeer,
    ask,
    clients,
    curve,
    frames_seen,
    knock,
    peer,
    predict,
    refused,
    reply_of,
    resident_bytes,
    until,
)
from tests.gateways import running_gateway
from tests.stand_ins.timed_triton import TimedTriton

# The name that libzmq would give its first nameless client.
RESERVED = b"\0" + struct.pack(">I", 0x6B8B4567)


@asynccontextmanager
async def a_player(gateway: Gateway) -> AsyncIterator[None]:
    """A client that is answered before, during and after."""
    with peer(gateway) as client:
        assert await ask(client) == {"status": "ok"}
        yield
        assert await ask(client) == {"status": "ok"}


async def greeted(gateway: Gateway, mechanism: bytes = b"NULL") -> RawPeer:
    """A connection that has sent its greeting, and been greeted."""
    raw = RawPeer(*await asyncio.open_connection("127.0.0.1", gateway.port_numbers["zmq"]))
    raw.writer.write(RawPeer.greeting(mechanism))
    await asyncio.wait_for(raw.reader.readexactly(64), WITHIN_S)
    return raw


@pytest.mark.parametrize("identity", [RESERVED, b"\0", b"\0anything", b"x" * 256, b"x" * 3000])
async def test_a_name_that_is_not_taken_ends_the_connection_before_it_counts(identity: bytes) -> None:
    async with running_gateway() as gateway, a_player(gateway):
        raw = await greeted(gateway)
        raw.writer.write(RawPeer.ready(Identity=identity))
        assert await raw.ends()
        await raw.close()
        await until(lambda: clients(gateway) == 1, "only the player is left")
        assert refused(gateway, "identity") + refused(gateway, "handshake") == 1


async def test_a_client_with_a_reserved_name_is_cut_each_time_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "gateway.ports")
    async with running_gateway() as gateway:
        with peer(gateway, routing_id=RESERVED) as stranger:
            await knock(stranger)
            await until(lambda: refused(gateway, "identity") >= 2, "it comes again")
            with peer(gateway) as nameless:
                assert await ask(nameless) == {"status": "ok"}
            assert not await stranger.poll(0)
    assert "begins with a zero byte" in caplog.text


async def test_a_keys_owner_may_not_choose_such_a_name_either(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    assert make_keys([str(keys), "--client", "alice"]) == 0
    async with running_gateway(curve_keys=keys) as gateway:
        with peer(gateway, routing_id=RESERVED, **curve(keys, "alice")) as stranger:
            await knock(stranger)
            await until(lambda: refused(gateway, "identity") >= 1, "it is refused")
            assert not await stranger.poll(0)


@pytest.mark.parametrize("what", ["an identity", "other metadata", "a command without an end"])
@pytest.mark.parametrize("mechanism", [b"NULL", b"CURVE"])
async def test_megabytes_in_a_handshake_are_cut_by_their_header(
    tmp_path: Path, mechanism: bytes, what: str
) -> None:
    keys = tmp_path / "keys"
    assert make_keys([str(keys), "--client", "alice"]) == 0
    settings = {} if mechanism == b"NULL" else {"curve_keys": keys}
    megabytes = bytes(6 * 2**20)
    ready = {
        "an identity": RawPeer.ready(Identity=megabytes),
        "other metadata": RawPeer.ready(X_More=megabytes),
        "a command without an end": struct.pack(">BQ", 6, 2**40) + megabytes,
    }[what]
    async with running_gateway(**settings) as gateway:
        before = resident_bytes()
        for _ in range(5):
            raw = await greeted(gateway, mechanism)
            raw.writer.write(ready)
            assert await raw.ends()
            await raw.close()
        await until(lambda: clients(gateway) == clients(gateway, "authorised") == 0, "all are cut")
        assert refused(gateway, "handshake") == 5
        assert resident_bytes() - before < 40 * 2**20


async def test_a_name_in_use_gives_neither_the_replies_nor_the_frames_of_its_owner(
    start_gateway: StartGateway, timed_triton: TimedTriton
) -> None:
    gateway = await start_gateway(idle_timeout_s=60)
    begun = await timed_triton.begun()
    with peer(gateway, zmq.DEALER, routing_id=b"player one") as owner:
        await owner.send(predict())
        assert frames_seen(await reply_of(owner)) == 1
        await owner.send(predict(game=50))
        await timed_triton.wait_until_begun(begun + 2)
        with peer(gateway, routing_id=b"player one") as thief:
            assert frames_seen(await ask(thief, predict())) == 1
            assert not await thief.poll(100)
        assert frames_seen(await reply_of(owner)) == 2
        await owner.send(predict())
        assert frames_seen(await reply_of(owner)) == 3


async def test_a_client_whose_connection_died_silently_comes_back_by_its_name() -> None:
    async with running_gateway() as gateway:
        # Nothing says that the first has gone: its connection stays open.
        with (
            peer(gateway, routing_id=b"player one") as gone,
            peer(gateway, routing_id=b"player one") as back,
        ):
            assert await ask(gone) == {"status": "ok"}
            assert await ask(back) == {"status": "ok"}
            gone.close()
            assert await ask(back) == {"status": "ok"}


async def test_a_connection_that_never_asks_is_closed_soon() -> None:
    async with running_gateway(first_request_timeout_s=0.5) as gateway, a_player(gateway):
        raw = await RawPeer.connect(gateway)
        assert await raw.ends()
        await raw.close()
        assert refused(gateway, "idle") == 1
        assert clients(gateway) == 1


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "GET / HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "not ZeroMQ"),
        (b"\xff" + bytes(8) + b"\x7f\x00\x05", "ZeroMQ 3.2 or newer"),
        (b"\xff" + bytes(8) + b"\x7f\x01\x05\x01\x00", "greeting has no identity"),
        (b"\xff" + bytes(8) + b"\x7f\x01\x01\x00\x00", "use REQ or DEALER"),
        (RawPeer.greeting(b"PLAIN"), "does not know"),
        (RawPeer.greeting(b"NULL") + RawPeer.part(RESET), "before the handshake"),
        (RawPeer.greeting(b"NULL") + RawPeer.ready(b"SUB"), "use REQ or DEALER"),
        (RawPeer.greeting(b"NULL") + b"\x04\x06\x05READY\xff", "use REQ or DEALER"),
        (RawPeer.greeting(b"NULL") + b"\x04\x07\x05READY\xff", "torn"),
    ],
    ids=[
        "HTTP",
        "TLS",
        "ZMTP 1",
        "old, torn",
        "old PUB",
        "PLAIN",
        "early",
        "SUB",
        "no type",
        "torn",
    ],
)
async def test_who_speaks_something_else_is_cut_and_the_log_says_what_it_was(
    first: bytes, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gateway.ports")
    async with running_gateway() as gateway, a_player(gateway):
        raw = RawPeer(*await asyncio.open_connection("127.0.0.1", gateway.port_numbers["zmq"]))
        raw.writer.write(first)
        assert await raw.ends()
        await raw.close()
        assert refused(gateway, "handshake") == 1
    assert said in caplog.text


async def test_a_handshake_that_stands_still_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gateway.ports")
    async with running_gateway(header_timeout_s=0.5) as gateway, a_player(gateway):
        raw = await greeted(gateway)
        assert await raw.ends()
        await raw.close()
    assert "did not shake hands within 0.5 s" in caplog.text


async def test_pings_are_answered() -> None:
    async with running_gateway() as gateway:
        raw = await RawPeer.connect(gateway)
        raw.writer.write(b"\x04\x0b\x04PING\x00\x0acode")
        assert await asyncio.wait_for(raw.reader.readexactly(11), WITHIN_S) == b"\x04\x09\x04PONGcode"
        await raw.close()


@pytest.mark.parametrize("secure", [False, True])
async def test_libzmqs_heartbeats_find_the_gateway_alive(tmp_path: Path, *, secure: bool) -> None:
    keys = tmp_path / "keys"
    assert make_keys([str(keys), "--client", "alice"]) == 0
    async with running_gateway(**({"curve_keys": keys} if secure else {})) as gateway:
        options = curve(keys, "alice") if secure else {}
        with peer(gateway, heartbeat_ivl=50, heartbeat_timeout=300, **options) as client:
            assert await ask(client) == {"status": "ok"}
            with client.get_monitor_socket(zmq.Event.DISCONNECTED) as monitor:
                assert not await monitor.poll(800)
                client.disable_monitor()
            assert await ask(client) == {"status": "ok"}


def test_players_notice_nothing_of_strangers_who_choose_names_in_a_flood(timed_triton: TimedTriton) -> None:
    triton_port = int(timed_triton.endpoint.rpartition(":")[2])
    with process.running_gateway("nitrogen", [triton_port], process.TWO_WORKERS) as gateway:
        conditions = measure(gateway.endpoints.zmq, lambda: set(gateway.pids()), seconds=1.5)
        assert faults(conditions) == []
        assert all(one.attacked.connections > 50 for one in conditions[1:])
        assert gateway.errors() == []
