"""`--workers`: several processes behind one set of ports, which look like one gateway from outside."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.sync.client import connect

from gateway import child
from gateway.child import GatewayChild
from gateway.errors import StartError
from tests.black_frame import FRAME
from tests.gateway.onlookers import looking, playing
from tests.gateways import GatewayProcess, gateway_process, local_settings
from tests.pages import page
from tests.patience import WITHIN_S
from tests.stack import JsonClient, PickleClient, wait_until
from tests.stand_ins.timed_triton import HORIZON, TimedTriton


@pytest.fixture(scope="module")
def gateway(timed_triton: TimedTriton) -> Iterator[GatewayProcess]:
    with gateway_process(timed_triton.endpoint, "--workers=2") as gateway:
        wait_until(lambda: page(gateway.http, "/readyz")[0] == 200, "a worker is ready")
        yield gateway


def worker_pids(gateway: GatewayProcess) -> list[int]:
    """Process ids of the workers."""
    pid = gateway.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children]


def answered(gateway: GatewayProcess) -> dict[str, float]:
    """Predicts answered well, by worker."""
    pattern = r"^nitrogen_gateway_requests_total\{(.*)\} (\S+)$"
    counts: dict[str, float] = {}
    for labels, value in re.findall(pattern, page(gateway.http, "/metrics")[1], re.MULTILINE):
        if 'type="predict"' in labels and 'outcome="ok"' in labels:
            worker = re.findall(r'worker="(\d+)"', labels)[0]
            counts[worker] = counts.get(worker, 0) + float(value)
    return counts


def play(gateway: GatewayProcess) -> None:
    """One request on each port, each by a connection of its own."""
    with JsonClient(gateway.tcp) as lines:
        assert lines.request({"type": "predict"}, FRAME)["status"] == "ok"
    with PickleClient(gateway.zmq) as pickles:
        assert pickles.request(type="info")["status"] == "ok"
    with connect(f"ws://127.0.0.1:{gateway.web}/play") as browser:
        browser.send('{"type": "reset"}')
        assert browser.recv(WITHIN_S) == '{"status":"ok"}'


def test_the_kernel_shares_out_the_connections(gateway: GatewayProcess) -> None:
    for _ in range(40):
        play(gateway)
    assert len(answered(gateway)) == 2
    assert sum(answered(gateway).values()) == 40


def test_each_worker_says_whether_it_is_ready_and_what_it_serves(gateway: GatewayProcess) -> None:
    def shown(metric: str) -> set[tuple[str, str]]:
        pattern = rf"^nitrogen_gateway_{metric}\{{(.*)\}} (\S+)$"
        return set(re.findall(pattern, page(gateway.http, "/metrics")[1], re.MULTILINE))

    workers = ('worker="0"', 'worker="1"')
    wait_until(lambda: shown("ready") == {(worker, "1.0") for worker in workers}, "both are ready")
    horizons = {(f'model="nitrogen",version="",{worker}', f"{HORIZON}.0") for worker in workers}
    wait_until(lambda: shown("model_horizon") == horizons, "both know the model")


async def test_the_live_page_shows_all_of_them_as_one_gateway(gateway: GatewayProcess) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(playing(gateway.tcp))
        async with looking(gateway.http) as onlooker:
            found = await onlooker.next("players")
            while found["count"] < 5:
                found = await onlooker.next("players")
        ids = {player["id"] for player in found["players"]}
        assert len(ids) == 5
        for id_ in ids:
            async with looking(gateway.http, id_) as onlooker:
                assert (await onlooker.next("chosen"))["id"] == id_


def test_a_worker_that_dies_is_started_again(gateway: GatewayProcess) -> None:
    victim, survivor = worker_pids(gateway)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in worker_pids(gateway), "the dead worker has gone")
    for _ in range(10):
        play(gateway)
    wait_until(lambda: len(worker_pids(gateway)) == 2, "another worker runs")
    assert survivor in worker_pids(gateway)
    wait_until(
        lambda: len(set(re.findall(r'worker="(\d+)"', page(gateway.http, "/metrics")[1]))) == 2, "both"
    )


def test_a_signal_ends_them_all(timed_triton: TimedTriton) -> None:
    with gateway_process(timed_triton.endpoint, "--workers=2") as gateway:
        pids = worker_pids(gateway)
        with JsonClient(gateway.tcp) as idle:
            assert idle.request({"type": "info"})["status"] == "ok"
            gateway.process.send_signal(signal.SIGTERM)
            assert "stopping" in json.loads(idle.line())["message"]
        assert gateway.process.wait(WITHIN_S) == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_workers_end_with_their_parent_and_leave_nothing(timed_triton: TimedTriton) -> None:
    with gateway_process(timed_triton.endpoint, "--workers=2") as gateway:
        pids = worker_pids(gateway)
        folder = Path(_words_of(pids[0])[-1]).parent
        assert len(list(folder.iterdir())) == len(pids)
        gateway.process.kill()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "no worker is left")
        assert not folder.exists()


def _words_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().strip("\0").split("\0")


@pytest.mark.parametrize("flag", ["--zmq-port", "--tcp-port", "--web-port"])
def test_a_port_in_use_is_one_sentence(gateway: GatewayProcess, flag: str) -> None:
    port = {"--zmq-port": gateway.zmq, "--tcp-port": gateway.tcp, "--web-port": gateway.web}[flag]
    command = [sys.executable, "-m", "gateway", "--host=127.0.0.1", "--workers=2", "--zmq-port=0"]
    command += ["--tcp-port=0", "--web-port=0", "--http-port=0", f"{flag}={port}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert ended.returncode == 1
    assert f"port {port} is in use" in ended.stderr


def test_what_stops_a_worker_stops_the_start(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("")
    command = [sys.executable, "-m", "gateway", "--host=127.0.0.1", "--workers=2", "--zmq-port=0"]
    command += ["--tcp-port=0", "--web-port=0", "--http-port=0", f"--tcp-token-file={token}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert ended.returncode == 1
    assert "is empty" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_a_gateway_that_dies_again_and_again_ends_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(child, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(child, "_MAX_EARLY_DEATHS", 3)
    settings = local_settings()
    mortal = GatewayChild("the gateway", settings)
    told = await mortal.start()
    # From now on it cannot start: its port is another's.
    assert mortal._process is not None
    mortal._process.send_signal(signal.SIGABRT)
    await mortal._process.wait()
    with (
        socket.create_server(("127.0.0.1", told.ports["zmq"])),
        pytest.raises(StartError, match=r"the gateway died 3 times, each within 30 s .* with exit code 1"),
    ):
        await mortal.keep_running()
    assert "ended with signal SIGABRT: starting it again" in caplog.text
    assert f"port {told.ports['zmq']} is in use" in caplog.text
    await mortal.stop()
