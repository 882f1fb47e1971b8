"""Tritons behind one host name, as Docker and Kubernetes have them: its addresses change while one plays.

The gateway asks its event loop for a name's addresses, and the loop here answers from a table, as Docker's
DNS would; all else is real. Two Tritons listen on the same port of two of this machine's addresses.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from contract.endpoint import parse_endpoint
from gateway.contexts import Context
from gateway.data_plane import DataPlane
from gateway.errors import GatewayError
from gateway.protocol.messages import RawFrame, Request
from gateway.triton.connection import TritonConnection
from gateway.triton.registry import ModelRegistry
from tests.black_frame import FRAME
from tests.patience import WITHIN_S
from tests.stand_ins.timed_triton import TimedTriton

PREDICT = Request("predict", RawFrame(FRAME))
FIRST, SECOND, NOBODY = "127.0.0.1", "127.0.0.2", "127.0.0.3"
NAME = "triton.invalid"


class LoopWithNames(asyncio.SelectorEventLoop):
    """An event loop that knows one more host name. `addresses`: that name's at this time."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        hosts = self.addresses if host == NAME else [host]
        if not hosts:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        kind = {"family": family, "type": type, "proto": proto, "flags": flags}
        found = []
        for one in hosts:
            found += await super().getaddrinfo(one, port, **kind)
        return found


Run = Callable[[Callable[[LoopWithNames], Coroutine[Any, Any, None]]], None]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Runs a test in the loop that has the names."""
    with asyncio.Runner(loop_factory=LoopWithNames) as runner:

        def run_test(test: Callable[[LoopWithNames], Coroutine[Any, Any, None]]) -> None:
            loop = runner.get_loop()
            assert isinstance(loop, LoopWithNames)
            loop.addresses = []
            runner.run(test(loop))

        yield run_test


@pytest.fixture(scope="module")
def pair(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[TimedTriton]]:
    """Two Tritons with the same port, on the first and on the second address."""
    first = TimedTriton(tmp_path_factory.mktemp("first"), instances=2)
    second = TimedTriton(
        tmp_path_factory.mktemp("second"),
        instances=2,
        flags=[f"--grpc-address={SECOND}"],
        grpc_port=first.port,
    )

    async def start(_: LoopWithNames) -> None:
        await asyncio.gather(first.start(), second.start())

    async def kill(_: LoopWithNames) -> None:
        await asyncio.gather(first.kill(), second.kill())

    try:
        run(start)
        yield [first, second]
    finally:
        run(kill)


class Player:
    """Plays without end; `answers` counts what came, `errors` holds what else."""

    def __init__(self, plane: DataPlane) -> None:
        self.answers = 0
        self.errors: list[str] = []
        self._plane = plane

    async def play(self) -> None:
        while True:
            seen = self._plane.accept(PREDICT, FRAME, Context())
            deadline = asyncio.get_running_loop().time() + 4
            try:
                await self._plane.answer(PREDICT, seen, deadline)
                self.answers += 1
            except GatewayError as error:
                self.errors.append(str(error))
                await asyncio.sleep(0.01)


@asynccontextmanager
async def playing(port: int) -> AsyncIterator[tuple[Player, TritonConnection]]:
    """A player on a gateway's inside whose setting is the name, and nothing else."""
    connection = TritonConnection(parse_endpoint(f"{NAME}:{port}"))
    await connection.start()
    models = ModelRegistry(connection, "nitrogen")
    await models.start()
    plane = DataPlane(models)
    player = Player(plane)
    task = asyncio.create_task(player.play())
    try:
        yield player, connection
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        plane.close()
        await models.close()
        await connection.close()


async def more(count: Callable[[], Any], what: str) -> None:
    """Wait until a count that only grows has grown by ten."""
    wanted = await value(count) + 10
    try:
        async with asyncio.timeout(WITHIN_S):
            while await value(count) < wanted:  # noqa: ASYNC110 - Triton's metrics have to be asked
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {WITHIN_S} s: {what}") from None


async def value(count: Callable[[], Any]) -> int:
    found = count()
    return int(await found if asyncio.iscoroutine(found) else found)


async def until_up(connection: TritonConnection, expected: dict[tuple[str, str], bool]) -> None:
    """Wait until the metrics would show this."""
    try:
        async with asyncio.timeout(WITHIN_S):
            while connection.endpoints_up() != expected:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{connection.endpoints_up()} is not {expected}") from None


def test_a_triton_that_was_added_to_a_name_gets_requests_and_one_that_was_removed_none(
    run: Run, pair: list[TimedTriton]
) -> None:
    first, second = pair

    async def test(loop: LoopWithNames) -> None:
        loop.addresses = [FIRST]
        async with playing(first.port) as (player, _):
            await more(first.begun, "the first Triton gets requests")
            loop.addresses = [SECOND, FIRST]
            await more(second.begun, "the added Triton gets requests")
            await more(first.begun, "the first Triton still gets requests")
            loop.addresses = [SECOND]
            async with asyncio.timeout(WITHIN_S):
                begun = -1
                while begun != (begun := await first.begun()):
                    await more(lambda: player.answers, "there are answers all the time")
            assert player.errors == []

    run(test)


def test_each_address_of_a_name_is_told_of(run: Run, pair: list[TimedTriton]) -> None:
    port = pair[0].port
    endpoint = f"{NAME}:{port}"

    async def test(loop: LoopWithNames) -> None:
        loop.addresses = [FIRST, SECOND]
        async with playing(port) as (player, connection):
            one, other = ((endpoint, f"{address}:{port}") for address in (FIRST, SECOND))
            await until_up(connection, {one: True, other: True})
            pair[1].strike()
            await until_up(connection, {one: True, other: False})
            await more(lambda: player.answers, "the one that lives answers")
            assert player.errors == []
            await pair[1].kill()
            await pair[1].start()
            await until_up(connection, {one: True, other: True})
            loop.addresses = [FIRST]
            await until_up(connection, {one: True})

    run(test)


def test_an_address_where_nobody_has_ever_answered_is_not_told_of_beside_one_that_has(
    run: Run, pair: list[TimedTriton]
) -> None:
    port = pair[0].port

    async def test(loop: LoopWithNames) -> None:
        loop.addresses = [FIRST, NOBODY]
        async with playing(port) as (player, connection):
            await until_up(connection, {(f"{NAME}:{port}", f"{FIRST}:{port}"): True})
            await more(lambda: player.answers, "there are answers")
        loop.addresses = [NOBODY]
        async with playing(port) as (_, connection):
            await until_up(connection, {(f"{NAME}:{port}", f"{NOBODY}:{port}"): False})

    run(test)


def test_a_name_that_nobody_knows_yet_is_found_later(
    run: Run, pair: list[TimedTriton], caplog: pytest.LogCaptureFixture
) -> None:
    async def test(loop: LoopWithNames) -> None:
        async with playing(pair[0].port) as (player, connection):
            await more(lambda: len(player.errors), "there are errors")
            assert list(connection.endpoints_up().values()) == [False]
            loop.addresses = [FIRST]
            await more(lambda: player.answers, "there are answers")
            # A name that is gone for a while, as Docker's of a stopped container, keeps its addresses.
            loop.addresses = []
            errors = len(player.errors)
            async with asyncio.timeout(WITHIN_S):
                while caplog.text.count("cannot be looked up") < 2:  # noqa: ASYNC110 - a line has no event
                    await asyncio.sleep(0.02)
            await more(lambda: player.answers, "there are answers")
            assert len(player.errors) == errors

    with caplog.at_level("WARNING"):
        run(test)


def test_a_triton_that_comes_back_with_another_address_is_found(run: Run, pair: list[TimedTriton]) -> None:
    async def test(loop: LoopWithNames) -> None:
        loop.addresses = [SECOND]
        async with playing(pair[0].port) as (player, _):
            await more(lambda: player.answers, "there are answers")
            pair[1].strike()
            await more(lambda: len(player.errors), "there are errors")
            loop.addresses = [FIRST]
            await more(lambda: player.answers, "there are answers")
        await pair[1].kill()
        await pair[1].start()

    run(test)
