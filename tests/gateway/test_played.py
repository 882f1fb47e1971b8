"""`played` on a running gateway: answered at once and without Triton, recorded, and known to both clients."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nitrogen_client
import numpy as np
import pytest
import pytest_asyncio
from nitrogen_client import AsyncModelClient, ModelClient

from gateway.commands.render import main
from gateway.server import Gateway
from gateway.telemetry.recording_format import RecordedPlayed, is_recording, read_recording
from tests.gateways import running_gateway
from tests.pages import page
from tests.stack import JsonClient, MsgpackClient, PickleClient, wait_until
from tests.stand_ins.reference_server import reference_server

ROW = {"by": "human", "buttons": [0] * 20 + [1], "j_left": [0.5, -1.0], "j_right": [0.0, 0.0]}
OF_ARRAYS = {
    "by": np.str_("human"),
    "buttons": np.array([0] * 20 + [1], np.float32),
    "j_left": np.array([0.5, -1]),
    "j_right": (0, np.int64(0)),
}


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway without a Triton, which records."""
    async with running_gateway(record=tmp_path / "recordings") as running:
        yield running


def tell_all(ports: dict[str, int]) -> list[dict[str, Any]]:
    told = {"type": "played", "rows": [ROW, ROW | {"by": "model"}]}
    replies = []
    with JsonClient(ports["tcp"]) as json_client:
        replies.append(json_client.request({**told, "tick": 1}))
    with MsgpackClient(ports["zmq"]) as msgpack_client:
        replies.append(msgpack_client.request(**told, tick=2))
    with PickleClient(ports["zmq"]) as pickle_client:
        replies.append(pickle_client.request(**told, tick=3))
    return replies


async def test_each_port_takes_it_without_a_triton_and_it_is_recorded(
    gateway: Gateway, tmp_path: Path
) -> None:
    replies = await asyncio.to_thread(tell_all, gateway.port_numbers)
    assert replies == [{"status": "ok"}] * 3
    folder = tmp_path / "recordings"

    def files() -> list[Path]:
        return sorted(path for path in folder.iterdir() if is_recording(path.name))

    await asyncio.to_thread(wait_until, lambda: len(files()) == 3, "they are written")
    recorded = [read_recording(path) for path in files()]
    assert all(isinstance(one, RecordedPlayed) for one in recorded)
    assert [one.fields["tick"] for one in recorded] == [1, 2, 3]
    assert [one.fields["port"] for one in recorded] == ["tcp", "zmq", "zmq"]
    for one in recorded:
        assert one.fields["rows"] == [ROW, ROW | {"by": "model"}]
    _, metrics = await asyncio.to_thread(page, gateway.http_port, "/metrics")
    assert 'requests_total{access="anonymous",outcome="ok",port="tcp",type="played"} 1.0' in metrics
    assert "nitrogen_gateway_model_predicts_total{" not in metrics


@pytest.mark.parametrize("kind", [JsonClient, MsgpackClient, PickleClient])
async def test_a_recording_says_how_often_its_client_was_reset(
    gateway: Gateway, tmp_path: Path, kind: type[JsonClient | MsgpackClient | PickleClient]
) -> None:
    def play() -> None:
        port = gateway.port_numbers["tcp" if kind is JsonClient else "zmq"]
        with kind(port) as client:

            def ask(**request: Any) -> None:  # noqa: ANN401 - a request's own
                asked = (
                    client.request(request) if isinstance(client, JsonClient) else client.request(**request)
                )
                assert asked == {"status": "ok"}

            for tick in range(4):
                ask(type="played", tick=tick, rows=[ROW])
                if tick != 1:
                    ask(type="reset")

    await asyncio.to_thread(play)
    folder = tmp_path / "recordings"
    await asyncio.to_thread(
        wait_until, lambda: sum(is_recording(path.name) for path in folder.iterdir()) == 4, "they are written"
    )
    recorded = [read_recording(path).fields for path in sorted(folder.iterdir())]
    assert [(one["tick"], one["episode"]) for one in recorded] == [(0, 0), (1, 1), (2, 1), (3, 2)]


async def test_a_film_is_of_predicts_alone(
    gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await asyncio.to_thread(tell_all, gateway.port_numbers)
    folder = tmp_path / "recordings"
    await asyncio.to_thread(
        wait_until, lambda: sum(is_recording(path.name) for path in folder.iterdir()) == 3, "they are written"
    )
    assert main([str(folder), "--output", str(tmp_path / "film.mp4")]) == 1
    assert "none of the 3 recordings" in capsys.readouterr().err


@pytest.mark.parametrize("protocol", ["auto", "msgpack", "pickle"])
async def test_both_clients_tell_it(gateway: Gateway, tmp_path: Path, protocol: str) -> None:
    port = gateway.port_numbers["zmq"]

    def tell() -> None:
        with ModelClient("127.0.0.1", port, protocol=protocol) as client:
            assert client.played(5, [ROW, OF_ARRAYS]) is None  # type: ignore[func-returns-value]

    await asyncio.to_thread(tell)
    async with AsyncModelClient("127.0.0.1", port, protocol=protocol) as client:
        await client.played(np.int64(5), iter([ROW, OF_ARRAYS]))  # type: ignore[arg-type]
    folder = tmp_path / "recordings"
    await asyncio.to_thread(
        wait_until, lambda: sum(is_recording(path.name) for path in folder.iterdir()) == 2, "they are written"
    )
    for path in folder.iterdir():
        fields = read_recording(path).fields
        assert (fields["tick"], fields["rows"]) == (5, [ROW, ROW])


@pytest.mark.parametrize(
    ("tick", "rows", "why"),
    [
        (-1, [ROW], "tick"),
        (0.5, [ROW], "tick"),
        (0, [], "1 to 64"),
        (0, [ROW] * 65, "1 to 64"),
        (0, ["human"], "row 0"),
        (0, [ROW | {"by": "cat"}], "row 0"),
        (0, [ROW, ROW | {"buttons": [0.5] * 21}], "row 1: buttons must be 0 or 1"),
        (0, [ROW | {"buttons": [-1] * 21}], "buttons must be 0 or 1"),
        (0, [ROW | {"buttons": [0] * 20}], "21 numbers"),
        (0, [ROW | {"j_left": [0, float("nan")]}], "2 numbers from -1 to 1"),
        (0, [ROW | {"j_left": "up"}], "2 numbers from -1 to 1"),
    ],
)
def test_what_is_wrong_is_said_before_it_is_sent(tick: Any, rows: Any, why: str) -> None:  # noqa: ANN401
    with ModelClient("127.0.0.1", 1) as client, pytest.raises(nitrogen_client.ArgumentError, match=why):
        client.played(tick, rows)


def test_a_server_of_the_older_kind_is_not_sent_it() -> None:
    with reference_server() as server, ModelClient("127.0.0.1", server.port) as client:
        with pytest.raises(nitrogen_client.UnsupportedError, match="does not take what was played"):
            client.played(0, [ROW])
        assert server.handled == ["info"]
