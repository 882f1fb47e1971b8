"""The asyncio client's own cases: cancelled requests, tasks that share a client, and its event loop."""

import asyncio

import nitrogen_client as client_package
import pytest
from nitrogen_client import AsyncModelClient

from tests.black_frame import PIXELS
from tests.patience import WITHIN_S
from tests.stand_ins.scripted_server import INFO, OK, packed_chunk, scripted_server


def silent_to_the_first_seed(_: int, message: bytes) -> bytes | None:
    if b"predict" not in message:
        return INFO
    return None if b"seed\x01" in message else packed_chunk(0.25)


async def until_predicts(messages: list[bytes], count: int) -> None:
    """Wait until `count` predicts have arrived."""
    async with asyncio.timeout(WITHIN_S):
        while sum(b"predict" in message for message in messages) < count:  # noqa: ASYNC110 - a thread's list
            await asyncio.sleep(0.01)


async def test_a_cancelled_request_leaves_no_reply_behind() -> None:
    with scripted_server(silent_to_the_first_seed) as server:
        async with AsyncModelClient("127.0.0.1", server.port, timeout_s=10) as client:
            request = asyncio.create_task(client.predict(PIXELS, seed=1))
            await until_predicts(server.messages, 1)
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request
            server.reply_late(len(server.messages) - 1, packed_chunk(0.75))
            assert (await client.predict(PIXELS, seed=2))["j_left"][0, 0] == 0.25


async def test_a_request_that_is_cancelled_in_its_queue_leaves_the_others_their_turns() -> None:
    with scripted_server(silent_to_the_first_seed) as server:
        async with AsyncModelClient("127.0.0.1", server.port, timeout_s=10) as client:
            first = asyncio.create_task(client.predict(PIXELS, seed=1, timeout_s=1))
            await until_predicts(server.messages, 1)
            second, third = (asyncio.create_task(client.predict(PIXELS, seed=2)) for _ in range(2))
            await asyncio.sleep(0)
            second.cancel()
            results = await asyncio.gather(first, second, third, return_exceptions=True)
    assert isinstance(results[0], client_package.ReplyTimeoutError)
    assert isinstance(results[1], asyncio.CancelledError)
    assert results[2]["j_left"][0, 0] == 0.25


async def test_tasks_that_share_a_client_get_their_own_replies() -> None:
    def echo_the_seed(_: int, message: bytes) -> bytes:
        if b"predict" not in message:
            return INFO
        return packed_chunk(message[message.index(b"seed") + 4] / 128)

    with scripted_server(echo_the_seed) as server:
        async with AsyncModelClient("127.0.0.1", server.port, timeout_s=10) as client:
            chunks = await asyncio.gather(*(client.predict(PIXELS, seed=seed) for seed in range(20)))
    assert [chunk["j_left"][0, 0] * 128 for chunk in chunks] == list(range(20))


async def test_the_turns_of_other_tasks_count_as_time() -> None:
    with scripted_server(silent_to_the_first_seed) as server:
        async with AsyncModelClient("127.0.0.1", server.port, timeout_s=10) as client:
            slow = asyncio.create_task(client.predict(PIXELS, seed=1, timeout_s=1))
            await until_predicts(server.messages, 1)
            with pytest.raises(client_package.ReplyTimeoutError, match="other tasks"):
                await client.predict(PIXELS, seed=2, timeout_s=0.1)
            with pytest.raises(client_package.ReplyTimeoutError, match="no reply"):
                await slow


async def test_the_event_loop_goes_on_while_a_server_is_silent() -> None:
    with scripted_server(silent_to_the_first_seed) as server:
        async with AsyncModelClient("127.0.0.1", server.port, timeout_s=10) as client:
            slow = asyncio.create_task(client.predict(PIXELS, seed=1, timeout_s=1))
            turns = 0
            while not slow.done():
                await asyncio.sleep(0.01)
                turns += 1
            with pytest.raises(client_package.ReplyTimeoutError):
                await slow
    assert turns > 5  # some hundred where nothing else runs; two of a loop that waits with the client


async def test_an_async_context_manager_closes() -> None:
    with scripted_server(lambda *_: OK) as server:
        async with AsyncModelClient("localhost", server.port, timeout_s=5) as client:
            await client.reset()
            assert (client.host, client.port) == ("localhost", server.port)
        await client.close()
        with pytest.raises(client_package.ClientClosedError):
            await client.reset()


async def test_a_client_that_was_closed_before_its_first_request_is_closed() -> None:
    client = AsyncModelClient()
    await client.close()
    with pytest.raises(client_package.ClientClosedError):
        await client.reset()


def test_a_client_belongs_to_one_event_loop() -> None:
    with scripted_server(lambda *_: OK) as server:
        client = AsyncModelClient("127.0.0.1", server.port, timeout_s=5)

        async def reset_and_leave() -> None:
            await client.reset()

        async def reset_elsewhere() -> None:
            with pytest.raises(client_package.NitrogenError, match="another event loop"):
                await client.reset()

        with asyncio.Runner() as first, asyncio.Runner() as second:
            first.run(reset_and_leave())
            second.run(reset_elsewhere())
            first.run(client.close())
