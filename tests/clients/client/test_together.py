"""Several clients at once, threads, tasks and processes that share one, and a gateway that is killed."""

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import nitrogen_client as client_package
import pytest
from nitrogen_client import AsyncModelClient, ModelClient

from gateway.server import Gateway
from tests.clients.client.background import Background, gateway_in
from tests.clients.client.kinds import KINDS, MakeClient, WaitingClient, connected
from tests.gateways import gateway_process
from tests.patience import WITHIN_S
from tests.stack import free_port, wait_until
from tests.stand_ins.timed_answers import frame, frames_seen, newest_first_byte
from tests.stand_ins.timed_triton import TimedTriton


@KINDS
def test_a_busy_gateway_is_asked_again_within_the_time(
    kind: MakeClient, loop: Background, triton: TimedTriton
) -> None:
    begun = loop.run(triton.begun())
    with (
        gateway_in(loop, triton=triton.endpoint, max_in_flight=4) as small,
        ModelClient("127.0.0.1", small.port_numbers["zmq"]) as one,
        ModelClient("127.0.0.1", small.port_numbers["zmq"]) as two,
        connected(kind, small.port_numbers["zmq"], retries=0) as impatient,
        connected(kind, small.port_numbers["zmq"]) as patient,
        ThreadPoolExecutor(2) as threads,
    ):
        for quick in (impatient, patient):
            quick.reset()
        busy = [threads.submit(other.predict, frame(), game=99) for other in (one, two)]
        loop.run(triton.wait_until_begun(begun + 2))
        with pytest.raises(client_package.ServerBusyError):
            impatient.predict(frame())
        prediction = patient.predict(frame())
        assert prediction.times_sent > 1
        # A gateway that refuses a request does not keep its frame.
        assert frames_seen(prediction) == 1
        assert all(other.result(WITHIN_S).times_sent == 1 for other in busy)


def test_players_outlive_a_gateway_that_is_killed_in_the_middle(
    loop: Background, triton: TimedTriton
) -> None:
    port = free_port()
    begun = loop.run(triton.begun())
    with (
        connected(ModelClient, port, timeout_s=30) as one,
        connected(WaitingClient, port, timeout_s=30) as two,
        ThreadPoolExecutor(2) as threads,
    ):
        with gateway_process(triton.endpoint, zmq=port) as killed:
            assert [frames_seen(player.predict(frame(1))) for player in (one, two)] == [1, 1]
            playing = [threads.submit(player.predict, frame(2), game=99) for player in (one, two)]
            loop.run(triton.wait_until_begun(begun + 4))
            killed.kill()
        with gateway_process(triton.endpoint, zmq=port):
            for prediction in (player.result(WITHIN_S) for player in playing):
                assert newest_first_byte(prediction) == 2
                assert prediction.times_sent == 2
                assert prediction.is_first_of_connection
                assert frames_seen(prediction) == 1
            assert [frames_seen(player.predict(frame(3))) for player in (one, two)] == [2, 2]


def test_threads_that_share_a_client_take_turns_and_get_their_own_replies(gateway: Gateway) -> None:
    with connected(ModelClient, gateway.port_numbers["zmq"]) as shared, ThreadPoolExecutor(6) as threads:
        predictions = list(threads.map(lambda first: shared.predict(frame(first)), range(1, 31)))
    assert [newest_first_byte(prediction) for prediction in predictions] == list(range(1, 31))


def test_clients_in_threads_do_not_wait_for_each_other(loop: Background, gateway: Gateway) -> None:
    barrier = threading.Barrier(2)

    def play(first: int) -> list[int]:
        with connected(ModelClient, gateway.port_numbers["zmq"]) as own:
            own.reset()
            barrier.wait(WITHIN_S)
            predictions = [own.predict(frame(first + i), game=10) for i in range(5)]
        assert [frames_seen(prediction) for prediction in predictions] == [1, 2, 3, 3, 3]
        return [newest_first_byte(prediction) for prediction in predictions]

    with ThreadPoolExecutor(2) as threads:
        players = [threads.submit(play, first) for first in (10, 20)]
        assert [player.result(WITHIN_S) for player in players] == [list(range(10, 15)), list(range(20, 25))]


def test_eight_asyncio_clients_play_at_the_same_time(gateway: Gateway) -> None:
    async def play(first: int) -> list[tuple[int, int]]:
        async with AsyncModelClient("127.0.0.1", gateway.port_numbers["zmq"], timeout_s=20) as player:
            predictions = [await player.predict(frame(first + i), game=2) for i in range(5)]
        return [(frames_seen(prediction), newest_first_byte(prediction)) for prediction in predictions]

    async def play_all() -> list[list[tuple[int, int]]]:
        return await asyncio.gather(*(play(10 * number) for number in range(8)))

    expected = [[(min(i + 1, 3), 10 * number + i) for i in range(5)] for number in range(8)]
    assert asyncio.run(play_all()) == expected


def test_the_turn_of_another_thread_counts_as_time(gateway: Gateway) -> None:
    with connected(ModelClient, gateway.port_numbers["zmq"]) as shared, ThreadPoolExecutor(1) as threads:
        shared.reset()
        slow = threads.submit(shared.predict, frame(), game=99)
        wait_until(shared._turn.locked, "the other thread's request is under way")
        with pytest.raises(client_package.ReplyTimeoutError, match="other threads"):
            shared.reset(timeout_s=0.1)
        assert slow.result(WITHIN_S).times_sent == 1


FORKED = """
import os, sys
import numpy as np
from nitrogen_client import AsyncModelClient, ModelClient

client = ModelClient("127.0.0.1", int(sys.argv[1]), timeout_s=10)
frame = np.zeros((256, 256, 3), np.uint8)
client.predict(frame)
child = os.fork()
seen = [round(float(client.predict(frame)["j_left"][0, 0]) * 10) for _ in range(2)]
sys.stdout.write(f"{'parent' if child else 'child'} {seen}\\n")
sys.stdout.flush()
client.close()
if child:
    sys.exit(os.waitpid(child, 0)[1])
os._exit(0)
"""


def test_a_forked_process_has_a_connection_of_its_own(gateway: Gateway) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED, str(gateway.port_numbers["zmq"])],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["child [1, 2]", "parent [2, 3]"]
