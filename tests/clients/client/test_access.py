"""CURVE keys of the clients: the files that `nitrogen-gateway keys` makes, and keys that do not fit."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nitrogen_client as client_package
import numpy as np
import pytest
from nitrogen_client import ModelClient

from gateway.commands.keys import main as make_keys
from gateway.server import Gateway
from tests.black_frame import PIXELS
from tests.clients.client.background import Background, gateway_in
from tests.clients.client.kinds import KINDS, MakeClient, connected
from tests.stand_ins.scripted_server import packed, scripted_server


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gateway's folder of keys with a client, alice, and another gateway's with one, mallory."""
    folder = tmp_path_factory.mktemp("curve") / "keys"
    assert make_keys([str(folder), "--client", "alice"]) == 0
    assert make_keys([str(folder / "other"), "--client", "mallory"]) == 0
    return folder


@pytest.fixture(scope="module")
def gateway(loop: Background, keys: Path) -> Iterator[Gateway]:
    with gateway_in(loop, curve_keys=keys) as made:
        yield made


def files(keys: Path, name: str = "alice") -> dict[str, Path]:
    return {"client_key": keys / "secrets" / f"{name}.key_secret", "server_key": keys / "server.key"}


@KINDS
def test_a_client_with_its_keys_is_let_in(kind: MakeClient, gateway: Gateway, keys: Path) -> None:
    with connected(kind, gateway.port_numbers["zmq"], **files(keys)) as client:
        assert client.reset() is None


@KINDS
def test_the_files_may_be_named_by_texts(kind: MakeClient, gateway: Gateway, keys: Path) -> None:
    texts = {name: str(path) for name, path in files(keys).items()}
    with connected(kind, gateway.port_numbers["zmq"], **texts) as client:
        assert client.reset() is None


@KINDS
def test_a_key_that_the_gateway_does_not_know_is_refused_at_once(
    kind: MakeClient, gateway: Gateway, keys: Path
) -> None:
    theirs = {"client_key": files(keys / "other", "mallory")["client_key"], "server_key": keys / "server.key"}
    with connected(kind, gateway.port_numbers["zmq"], **theirs) as client:
        for _ in range(2):
            with pytest.raises(client_package.AccessRefusedError, match="key"):
                client.reset()


@KINDS
def test_a_key_counts_as_soon_as_the_gateway_has_it(
    kind: MakeClient, loop: Background, tmp_path: Path
) -> None:
    folder = tmp_path / "keys"
    assert make_keys([str(folder), "--client", "bob"]) == 0
    public = folder / "clients" / "bob.key"
    away = tmp_path / "bob.key"
    shutil.move(public, away)
    with (
        gateway_in(loop, curve_keys=folder) as own,
        connected(kind, own.port_numbers["zmq"], **files(folder, "bob")) as client,
    ):
        with pytest.raises(client_package.AccessRefusedError):
            client.reset()
        shutil.move(away, public)
        assert client.reset() is None


@KINDS
def test_another_gateways_key_is_no_connection(kind: MakeClient, gateway: Gateway, keys: Path) -> None:
    wrong = {**files(keys), "server_key": keys / "other" / "server.key"}
    with (
        connected(kind, gateway.port_numbers["zmq"], **wrong) as client,
        pytest.raises(client_package.ConnectionFailedError, match="key"),
    ):
        client.reset(timeout_s=1)


@KINDS
def test_a_client_without_keys_is_told_that_they_are_missing(kind: MakeClient, gateway: Gateway) -> None:
    with (
        connected(kind, gateway.port_numbers["zmq"]) as client,
        pytest.raises(client_package.ConnectionFailedError, match="key"),
    ):
        client.reset(timeout_s=1)


@KINDS
def test_keys_for_a_gateway_without_are_told_too(kind: MakeClient, loop: Background, keys: Path) -> None:
    with (
        gateway_in(loop) as plain,
        connected(kind, plain.port_numbers["zmq"], **files(keys)) as client,
        pytest.raises(client_package.ConnectionFailedError, match="key"),
    ):
        client.reset(timeout_s=1)


def test_a_key_file_that_cannot_be_used_is_named(keys: Path, tmp_path: Path) -> None:
    good = files(keys)
    torn = tmp_path / "torn.key_secret"
    torn.write_text(good["client_key"].read_text()[:-10])
    empty = tmp_path / "empty.key"
    empty.write_text("")
    cases = [
        ({"client_key": good["client_key"]}, "server_key"),
        ({"server_key": good["server_key"]}, "client_key"),
        ({**good, "client_key": tmp_path / "none.key_secret"}, "none.key_secret"),
        ({**good, "client_key": torn}, "torn.key_secret"),
        ({**good, "server_key": empty}, "empty.key"),
        ({**good, "server_key": tmp_path}, tmp_path.name),
        ({**good, "client_key": keys / "clients" / "alice.key"}, "has no secret key"),
    ]
    for arguments, says in cases:
        with pytest.raises(client_package.KeyFileError, match=says) as raised:
            ModelClient(**arguments)
        assert not any(len(word) >= 38 and word in torn.read_text() for word in str(raised.value).split('"'))


def test_no_secret_is_shown(keys: Path) -> None:
    with ModelClient(**files(keys)) as client:
        address = client._address
    secret = address.keys.secret.decode()
    assert secret not in f"{client!r} {address!r} {address} {address.keys!r}"


@pytest.mark.parametrize(
    "arguments",
    [
        {"host": ""},
        {"host": "tcp://server"},
        {"host": None},
        {"host": "server:5555"},
        {"port": 0},
        {"port": 65536},
        {"port": "5555"},
        {"timeout_s": 0},
        {"timeout_s": float("nan")},
        {"timeout_s": "10"},
        {"timeout_s": True},
        {"timeout_s": float("inf")},
        {"timeout_s": 3e6},
        {"timeout_s": 10**400},
        {"port": True},
        {"port": 5555.0},
        {"port": np.array([5555, 5556])},
        {"seed": int},
        {"retries": 1.5},
        {"retries": -1},
        {"protocol": "json"},
        {"seed": -1},
        {"seed": True},
        {"seed": 0.5},
        {"game": 1.5},
        {"model": 3},
        {"timing": 1},
        {"noise": "stale"},
        {"noise": None},
        {"noise": {}},
        {"noise": {"seed": 1}},
        {"noise": {"memory": 1, "tick": 1}},
        {"noise": {"memory": 1.1}},
        {"noise": {"memory": float("nan")}},
        {"noise": {"memory": True}},
        {"noise": {"memory": "1"}},
        {"noise": {"tick": -1}},
        {"noise": {"tick": 0.5}},
    ],
    ids=str,
)
def test_an_argument_that_cannot_be_meant_is_refused(arguments: dict[str, object]) -> None:
    (name,) = arguments
    with pytest.raises(client_package.ArgumentError, match=name) as raised:
        ModelClient(**arguments)  # type: ignore[arg-type]
    assert isinstance(raised.value, ValueError)


def test_a_seed_is_noise_by_itself() -> None:
    with pytest.raises(client_package.ArgumentError, match="seed 3 already fixes the noise"):
        ModelClient(seed=3, noise={"memory": 1})
    with ModelClient(seed=3) as client, pytest.raises(client_package.ArgumentError, match="or seed=None"):
        client.predict(PIXELS, noise={"tick": 5})


ROWS = {"buttons": np.zeros((4, 21)), "j_left": np.zeros((4, 2)), "j_right": np.zeros((4, 2))}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"tick": -1}, "tick must be an integer"),
        ({"tick": 1.5}, "tick must be an integer"),
        ({"previous": ROWS, "delay": -1}, "delay must be an integer"),
        ({"previous": ROWS, "delay": True}, "delay must be an integer"),
        ({"delay": 2}, "delay is 2 without previous"),
        ({"previous": [ROWS]}, "previous must be a dict of buttons, j_left, j_right"),
        ({"previous": {"buttons": ROWS["buttons"]}}, "j_left must be at most 256 rows of 2 numbers"),
        ({"previous": ROWS | {"buttons": np.zeros((4, 20))}}, "buttons must be at most 256 rows of 21"),
        ({"previous": ROWS | {"buttons": np.full((4, 21), -1)}}, "numbers from 0 to 1"),
        ({"previous": ROWS | {"j_left": np.full((4, 2), np.nan)}}, "numbers from -1 to 1"),
        ({"previous": ROWS | {"j_left": np.full((4, 2), 1.5)}}, "numbers from -1 to 1"),
        ({"previous": ROWS | {"j_left": np.full((4, 2), 1e300)}}, "numbers from -1 to 1"),
        ({"previous": ROWS | {"j_left": [["x", "y"]] * 4}}, "j_left must be"),
        ({"previous": ROWS | {"j_left": np.zeros(2)}}, "j_left must be"),
        ({"previous": ROWS | {"j_left": np.zeros((257, 2))}}, "j_left must be at most 256"),
        ({"previous": ROWS | {"j_left": np.zeros((3, 2))}}, "must have as many rows of each part"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_rows_are_refused_before_they_are_sent(arguments: dict[str, Any], why: str) -> None:
    with ModelClient() as client, pytest.raises(client_package.ArgumentError, match=why) as raised:
        client.predict(PIXELS, **arguments)
    assert len(str(raised.value)) < 300


def test_numbers_may_be_numpys() -> None:
    with ModelClient(port=np.int64(5555), timeout_s=np.float32(3), retries=np.uint8(2)) as client:
        assert (repr(client), client.timeout_s) == ("ModelClient('localhost', 5555)", 3.0)


@KINDS
@pytest.mark.parametrize("option", [{"seed": 2**64}, {"game": "\ud800"}, {"model": "\ud800"}], ids=ascii)
def test_what_does_not_fit_into_msgpack_is_refused(kind: MakeClient, option: dict[str, object]) -> None:
    frame = PIXELS
    reply = packed(status="ok", info={})
    with scripted_server(lambda *_: reply) as server, connected(kind, server.port) as client:
        with pytest.raises(client_package.ArgumentError, match="cannot be sent as msgpack"):
            client.predict(frame, **option)
        assert client.info() == {}
