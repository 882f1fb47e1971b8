"""CURVE on port 5555: who has a key comes in, who has none does not, and nothing has to be restarted."""

import asyncio
import shutil
from pathlib import Path

import pytest
import zmq
import zmq.auth
import zmq.utils.z85

from gateway.commands.keys import main as make_keys
from gateway.errors import StartError
from tests.gateway.ports.zmq.peers import (
    RESET,
    ask,
    clients,
    curve,
    knock,
    metric,
    peer,
    refused,
    reply_of,
    until,
)
from tests.gateways import running_gateway
from tests.patience import WITHIN_S
from tests.stack import MsgpackClient


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder of keys with a client, alice."""
    folder = tmp_path / "keys"
    assert make_keys([str(folder), "--client", "alice"]) == 0
    return folder


async def test_a_client_with_a_key_may_number_its_requests(keys: Path) -> None:
    async with running_gateway(curve_keys=keys) as gateway:
        with peer(gateway, **curve(keys, "alice"), req_correlate=1, req_relaxed=1) as client:
            for _ in range(3):
                assert await ask(client) == {"status": "ok"}
        assert len(gateway.ports["zmq"]._contexts) <= 1


async def test_a_client_that_has_a_key_is_answered_and_counted_as_authorised(keys: Path) -> None:
    async with running_gateway(curve_keys=keys, allow="127.0.0.1") as gateway:
        with peer(gateway, **curve(keys, "alice")) as client:
            assert await ask(client) == {"status": "ok"}
            assert clients(gateway, "authorised") == 1
        sample = 'nitrogen_gateway_requests_total{access="authorised",outcome="ok",port="zmq",type="reset"}'
        assert metric(gateway, sample) == 1


async def test_the_documented_client_is_answered(keys: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.copy(keys / "server.key", moved)
    shutil.copy(keys / "secrets" / "alice.key_secret", moved)

    def play(port: int) -> dict[str, object]:
        with MsgpackClient(port, moved, "alice") as client:
            return client.request(type="reset")

    async with running_gateway(curve_keys=keys) as gateway:
        assert await asyncio.to_thread(play, gateway.port_numbers["zmq"]) == {"status": "ok"}


async def test_a_gateway_without_keys_says_so_to_who_comes_with_some(
    keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with running_gateway() as gateway:
        with peer(gateway, **curve(keys, "alice")) as client:
            await knock(client)
            await until(lambda: refused(gateway, "key") >= 1, "the client is refused")
    assert "uses CURVE keys, but this gateway has none" in caplog.text
    assert "right keys" not in caplog.text


@pytest.mark.parametrize("who", ["plain", "with an unknown key", "with a wrong key of the gateway"])
async def test_a_client_without_the_right_keys_is_refused(keys: Path, who: str) -> None:
    options: dict[str, bytes] = {}
    if who != "plain":
        options = curve(keys, "alice")
        public, secret = zmq.curve_keypair()
        if who == "with an unknown key":
            options |= {"curve_publickey": public, "curve_secretkey": secret}
        else:
            options |= {"curve_serverkey": public}
    async with running_gateway(curve_keys=keys) as gateway:
        with peer(gateway, **options) as stranger, peer(gateway, **curve(keys, "alice")) as alice:
            await knock(stranger)
            # Either side may be the first to see that the keys do not fit.
            await until(
                lambda: refused(gateway, "key") + refused(gateway, "handshake") >= 1,
                "the stranger is refused",
            )
            assert await ask(alice) == {"status": "ok"}
            assert not await stranger.poll(0)
            await until(lambda: clients(gateway, "authorised") == 1 or who != "plain", "only alice is in")


async def test_a_new_key_counts_without_a_restart(keys: Path) -> None:
    async with running_gateway(curve_keys=keys) as gateway:
        with peer(gateway, **curve(keys, "alice")) as client:
            assert await ask(client) == {"status": "ok"}
        assert make_keys([str(keys), "--client", "bob"]) == 0
        with peer(gateway, **curve(keys, "bob")) as client:
            assert await ask(client) == {"status": "ok"}


async def test_a_removed_key_keeps_new_connections_out(keys: Path) -> None:
    async with running_gateway(curve_keys=keys) as gateway:
        with peer(gateway, **curve(keys, "alice")) as early:
            assert await ask(early) == {"status": "ok"}
            (keys / "clients" / "alice.key").unlink()
            with peer(gateway, **curve(keys, "alice")) as late:
                await knock(late)
                await until(lambda: refused(gateway, "key") == 1, "it is refused")
            assert await ask(early) == {"status": "ok"}


async def test_a_key_that_is_none_keeps_nobody_else_out(keys: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = keys / "clients"
    (folder / "torn.key").write_text('curve\n    public-key = "abc"\n')
    (folder / "empty.key").write_text("")
    (folder / "folder.key").mkdir()
    (folder / "foreign.key").write_text('curve\n    public-key = "' + "\N{SNOWMAN}" * 20 + '"\n')
    (folder / "notes.txt").write_text("who is who")
    async with running_gateway(curve_keys=keys) as gateway:
        with peer(gateway, **curve(keys, "alice")) as client:
            assert await ask(client) == {"status": "ok"}
    assert caplog.text.count("is ignored") >= 4
    assert "notes" not in caplog.text


async def test_when_the_folder_vanishes_nobody_new_comes_in(keys: Path) -> None:
    async with running_gateway(curve_keys=keys) as gateway:
        options = curve(keys, "alice")
        with peer(gateway, **options) as early:
            assert await ask(early) == {"status": "ok"}
            shutil.rmtree(keys)
            with peer(gateway, **options) as late:
                await knock(late)
                await until(lambda: refused(gateway, "key") == 1, "it is refused")
            assert await ask(early) == {"status": "ok"}


async def test_a_pickle_is_taken_from_an_authorised_client_too(keys: Path) -> None:
    async with running_gateway(curve_keys=keys) as gateway:
        with peer(gateway, zmq.DEALER, **curve(keys, "alice")) as client:
            await client.send(b"\x80\x04}\x94.")
            assert b"unknown request type" in await asyncio.wait_for(client.recv(), WITHIN_S)
            await client.send(RESET)
            assert await reply_of(client) == {"status": "ok"}


async def test_a_context_belongs_to_the_key_not_to_the_identity_alone(keys: Path) -> None:
    assert make_keys([str(keys), "--client", "bob"]) == 0
    async with running_gateway(curve_keys=keys) as gateway:
        for name in ("alice", "bob", "alice"):
            with peer(gateway, routing_id=b"player one", **curve(keys, name)) as client:
                assert await ask(client) == {"status": "ok"}
        assert len(gateway.ports["zmq"]._contexts) == 2


def broken(keys: Path, how: str) -> None:
    secret = keys / "server.key_secret"
    public, other = zmq.curve_keypair()
    match how:
        case "no folder":
            shutil.rmtree(keys)
        case "no secret":
            secret.unlink()
        case "no clients":
            shutil.rmtree(keys / "clients")
        case "empty":
            secret.write_text("")
        case "public only":
            shutil.copy(keys / "server.key", secret)
        case "two halves":
            secret.write_text(f'public-key = "{public.decode()}"\nsecret-key = "{public.decode()}"\n')
        case "short":
            secret.write_text(f'public-key = "{public.decode()}"\nsecret-key = "{other.decode()[:-1]}"\n')
        case "no Z85":
            secret.write_text(f'public-key = "{public.decode()}"\nsecret-key = "{"~" * 40}"\n')


@pytest.mark.parametrize(
    "how",
    ["no folder", "no secret", "no clients", "empty", "public only", "two halves", "short", "no Z85"],
)
async def test_keys_that_cannot_be_used_stop_the_start_with_a_sentence(keys: Path, how: str) -> None:
    broken(keys, how)
    secret = keys / "server.key_secret"
    text = secret.read_text() if secret.exists() else ""
    with pytest.raises(StartError, match=r"--curve-keys .* cannot be used") as raised:
        async with running_gateway(curve_keys=keys):
            pass
    assert not any(len(word) >= 39 and word in text for word in str(raised.value).split())
