"""Clients that nobody closes, and clients that a forked process closes while its parent uses them."""

import os
import subprocess
import sys

import pytest

from tests.stand_ins.scripted_server import packed, scripted_server

LEFT_IN_ASYNCIO = """
import asyncio, gc, sys
from nitrogen_client import AsyncModelClient

async def main():
    client = AsyncModelClient("127.0.0.1", int(sys.argv[1]), timeout_s=10)
    await client.reset()

asyncio.run(main())
gc.collect()
"""
LEFT_IN_A_CYCLE = """
import gc, sys
from nitrogen_client import ModelClient

client = ModelClient("127.0.0.1", int(sys.argv[1]), timeout_s=10)
client.reset()
client.itself = client
del client
gc.collect()
"""
LEFT_TO_THE_END = """
import sys
from nitrogen_client import ModelClient

client = ModelClient("127.0.0.1", int(sys.argv[1]), timeout_s=10)
client.reset()
"""
# The child's alarm ends it, should it wait for the lock.
CLOSED_IN_A_CHILD = """
import os, signal, sys
from nitrogen_client import ClientClosedError, ModelClient

client = ModelClient("127.0.0.1", int(sys.argv[1]), timeout_s=10)
client.reset()
with client._turn:
    child = os.fork()
    if not child:
        signal.alarm(20)
        client.close()
        try:
            client.reset()
        except ClientClosedError:
            os._exit(0)
        os._exit(1)
assert os.waitpid(child, 0)[1] == 0
client.reset()
client.close()
"""
CLOSED_IN_A_CHILD_OF_ASYNCIO = """
import asyncio, os, sys
from nitrogen_client import AsyncModelClient

async def main():
    client = AsyncModelClient("127.0.0.1", int(sys.argv[1]), timeout_s=10)
    await client.reset()
    async with client._turn:
        child = os.fork()
        if not child:
            try:
                client.close().send(None)
            except StopIteration:
                os._exit(0)
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    await client.reset()
    await client.close()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(LEFT_IN_ASYNCIO, id="asyncio"),
        pytest.param(LEFT_IN_A_CYCLE, id="cycle"),
        pytest.param(LEFT_TO_THE_END, id="end"),
        pytest.param(CLOSED_IN_A_CHILD, id="child"),
        pytest.param(CLOSED_IN_A_CHILD_OF_ASYNCIO, id="child of asyncio"),
    ],
)
def test_a_program_ends(program: str) -> None:
    reply = packed(status="ok")
    with scripted_server(lambda *_: reply) as server:
        done = subprocess.run(
            [sys.executable, "-c", program, str(server.port)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
