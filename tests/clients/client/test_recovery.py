"""Lost, late and missing replies, servers that come back, and what a client makes of silence."""

import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import nitrogen_client as client_package
import pytest
from nitrogen_client import ModelClient

from tests.black_frame import PIXELS
from tests.clients.client.background import Background, gateway_in
from tests.clients.client.kinds import KINDS, MakeClient, connected
from tests.patience import WITHIN_S
from tests.stack import free_port, wait_until
from tests.stand_ins.reference_server import reference_server
from tests.stand_ins.scripted_server import INFO, OK, packed, packed_chunk, scripted_server


def is_predict(message: bytes) -> bool:
    return b"predict" in message


def silent_to_predicts(_: int, message: bytes) -> bytes | None:
    return None if is_predict(message) else INFO


def always_busy(_: int, message: bytes) -> bytes:
    busy = packed(status="error", message="the gateway is busy with as many requests as it takes")
    return busy if is_predict(message) else INFO


@KINDS
def test_a_late_reply_is_never_taken_for_the_next_one(kind: MakeClient) -> None:
    def script(_: int, message: bytes) -> bytes | None:
        if not is_predict(message):
            return INFO
        return None if b"seed\x01" in message else packed_chunk(0.25)

    with scripted_server(script) as server, connected(kind, server.port) as client:
        with pytest.raises(client_package.ReplyTimeoutError, match=r"within 0\.3 s") as raised:
            client.predict(PIXELS, seed=1, timeout_s=0.3)
        assert isinstance(raised.value, TimeoutError)
        (number,) = [i for i, message in enumerate(server.messages) if is_predict(message)]
        server.reply_late(number, packed_chunk(0.75))
        wait_until(lambda: server.has_replied_late, "the late reply is sent")
        assert [client.predict(PIXELS, seed=2)["j_left"][0, 0] for _ in range(2)] == [0.25, 0.25]


@KINDS
def test_a_reply_that_is_lost_with_its_server_is_asked_for_again(kind: MakeClient) -> None:
    with (
        scripted_server(silent_to_predicts) as first,
        connected(kind, first.port) as client,
        ThreadPoolExecutor(1) as threads,
    ):
        playing = threads.submit(client.predict, PIXELS)
        wait_until(lambda: any(map(is_predict, first.messages)), "the request has arrived")
        first.close()
        with scripted_server(lambda _, m: packed_chunk(0.5) if is_predict(m) else INFO, first.port):
            prediction = playing.result(WITHIN_S)
    assert (prediction["j_left"][0, 0], prediction.times_sent) == (0.5, 2)
    assert prediction.is_first_of_connection


@KINDS
def test_without_retries_a_lost_reply_is_an_error_at_once(kind: MakeClient) -> None:
    with (
        scripted_server(silent_to_predicts) as server,
        connected(kind, server.port, retries=0) as client,
        ThreadPoolExecutor(1) as threads,
    ):
        playing = threads.submit(client.predict, PIXELS)
        wait_until(lambda: any(map(is_predict, server.messages)), "the request has arrived")
        server.close()
        with pytest.raises(client_package.ConnectionLostError):
            playing.result(5)


@KINDS
def test_a_busy_server_is_asked_only_so_often(kind: MakeClient) -> None:
    with scripted_server(always_busy) as server, connected(kind, server.port, retries=3) as client:
        with pytest.raises(client_package.ServerBusyError):
            client.predict(PIXELS)
        assert sum(map(is_predict, server.messages)) == 4


@KINDS
def test_a_busy_server_is_not_waited_for_beyond_the_time(kind: MakeClient) -> None:
    with scripted_server(always_busy) as server, connected(kind, server.port, retries=1000) as client:
        began = time.monotonic()
        with pytest.raises(client_package.ServerBusyError):
            client.predict(PIXELS, timeout_s=1)
        assert time.monotonic() - began < 5


@KINDS
def test_the_next_server_at_an_address_may_speak_another_format(kind: MakeClient) -> None:
    port = free_port()
    with connected(kind, port) as client:
        with scripted_server(lambda *_: INFO, port) as server:
            assert client.info()["ckpt_path"] == "ng.pt"
        # The client is idle now, and msgpack would put the next server out of service.
        with reference_server(port) as server:
            client.reset()
            assert client.info()["ckpt_path"] == "models/ng.pt"
            assert not server.is_stuck
        with scripted_server(lambda *_: INFO, port):
            assert client.info()["ckpt_path"] == "ng.pt"


@KINDS
def test_a_server_that_is_not_there_is_no_connection(kind: MakeClient) -> None:
    says = "is the server running there"
    with (
        connected(kind, free_port()) as client,
        pytest.raises(client_package.ConnectionFailedError, match=says) as raised,
    ):
        client.reset(timeout_s=0.3)
    assert isinstance(raised.value, ConnectionError)


@KINDS
def test_a_server_that_starts_within_the_time_is_reached(kind: MakeClient) -> None:
    port = free_port()
    with connected(kind, port) as client, ThreadPoolExecutor(1) as threads:
        with pytest.raises(client_package.ConnectionFailedError):
            client.reset(timeout_s=0.2)
        waiting = threads.submit(client.reset)
        with scripted_server(lambda *_: OK, port):
            assert waiting.result(WITHIN_S) is None


@KINDS
def test_a_port_that_is_no_zeromq_is_no_connection(kind: MakeClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        over = threading.Event()

        def answer_as_another_program() -> None:
            listener.settimeout(0.05)
            while not over.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b" " * 100)
                connection.close()

        with ThreadPoolExecutor(1) as threads, connected(kind, port) as client:
            program = threads.submit(answer_as_another_program)
            try:
                with pytest.raises(client_package.ConnectionFailedError):
                    client.reset(timeout_s=0.5)
            finally:
                over.set()
            program.result(5)


def ask_until(stopped: Future[object], client: ModelClient) -> None:
    while not stopped.done():
        client.reset()


@KINDS
def test_a_gateway_that_stops_says_so_and_its_successor_answers(kind: MakeClient, loop: Background) -> None:
    port = free_port()
    with (
        connected(kind, port, retries=0) as told,
        connected(kind, port) as patient,
        gateway_in(loop, zmq_port=port) as gateway,
        ThreadPoolExecutor(1) as threads,
    ):
        for client in (told, patient):
            client.reset()
        stopping = threads.submit(loop.run, gateway.stop())
        with pytest.raises(client_package.ServerStoppingError):
            ask_until(stopping, told)
        waiting = threads.submit(patient.reset)
        stopping.result(WITHIN_S)
        with gateway_in(loop, zmq_port=port):
            assert waiting.result(WITHIN_S) is None
            told.reset()


@KINDS
def test_a_closed_client_says_so_and_closing_twice_is_nothing(kind: MakeClient, loop: Background) -> None:
    with gateway_in(loop) as gateway:
        client = kind(host="127.0.0.1", port=gateway.port_numbers["zmq"])
        client.reset()
        if isinstance(client, ModelClient):
            client.close()
            client.close()
            with pytest.raises(client_package.ClientClosedError):
                client.reset()
        else:
            client.close()


def test_a_context_manager_closes() -> None:
    with scripted_server(lambda *_: OK) as server:
        with ModelClient("localhost", server.port, timeout_s=5) as client:
            assert (client.host, client.port) == ("localhost", server.port)
            client.reset()
        with pytest.raises(client_package.ClientClosedError):
            client.reset()
