"""A real Triton that serves `timed_model/model.py`, whose inference takes as long as a test wants.

A request's game is how many hundredths of a second its inference takes, but for NEVER, INFINITE and RAISE.
"""

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import grpc
import numpy as np
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from export.repository.triton_config import bound_queue
from standalone.triton_server import HOST, TritonPorts, TritonServer, server_command
from standalone.triton_wheel import assemble_backends, find_triton_wheel
from tests.paths import MODEL_CONFIG
from tests.patience import WITHIN_S
from tests.processes import triton_pids
from tests.stack import free_port

MODEL = Path(__file__).parent / "timed_model" / "model.py"
HORIZON = 18
CONTEXT_LENGTH = 3
# For tests that do not look at what it answers.
NOISE = np.zeros((HORIZON, 25), np.float32)
GAMES = [None, *(f"game {index}" for index in range(1, 100)), "never", "infinite", "raise"]
NEVER = GAMES.index("never")
INFINITE = GAMES.index("infinite")
RAISE = GAMES.index("raise")
_ANSWERS_WITHIN = aiohttp.ClientTimeout(total=WITHIN_S)


class TimedTriton:
    """A Triton of its own, with the same ports at each start.

    `folder`: an empty one for its repository, backends and log. `instances`: requests that run at once.
    `loaded`: the models that are loaded at each start. `flags`: more flags of Triton's. `batching`: whether
    the repository's own dynamic batching is left in the config; `queue_size`: an operator's own bound on the
    queue. `grpc_port`: for a second one on another address of this machine.
    """

    def __init__(
        self,
        folder: Path,
        instances: int,
        loaded: Sequence[str] = ("nitrogen",),
        flags: Sequence[str] = (),
        *,
        batching: bool = False,
        queue_size: int | None = None,
        grpc_port: int | None = None,
    ) -> None:
        self._repository = folder / "repository"
        self._instances = instances
        self._batching = batching
        self._queue_size = queue_size
        self._log = folder / "triton.log"
        # Not the kernel's choice: while a Triton is down, another process could be given its port.
        http, grpc_free, metrics = (free_port() for _ in range(3))
        self._ports = TritonPorts(http, grpc_port or grpc_free, metrics)
        self.port = self._ports.grpc
        self.endpoint = f"{HOST}:{self.port}"
        for name in loaded:
            self.write_model(CONTEXT_LENGTH, name)
        wheel = find_triton_wheel()
        backends = folder / "backends"
        assemble_backends(wheel, backends)
        shm_prefix = f"timed_{os.getpid()}_{http}_"
        command = server_command(wheel, backends, self._repository, loaded, self._ports, shm_prefix)
        # The log is then also a record of the calls that Triton got.
        command += ["--log-verbose=1", *flags]
        self._server = TritonServer(command, wheel.environment(), self._ports, self._log, shm_prefix)

    def write_model(
        self,
        context_length: int,
        name: str = "nitrogen",
        version: int | None = None,
        *,
        ours: bool = True,
        loads: bool = True,
    ) -> None:
        """Write what the next start or load serves: the repository's own config, for the timed model.

        `version`: the only one to serve, None for version 1 without saying so. `ours`: whether it says of
        itself what an exported NitroGen model does. `loads`: whether its code can be loaded.
        """
        config = text_format.Parse(MODEL_CONFIG.read_text(), model_config_pb2.ModelConfig())
        config.backend = "python"
        if not self._batching:
            config.ClearField("dynamic_batching")
        if self._queue_size is not None:
            # Batches of one, so that what waits is in the queue and not in a batch.
            config.max_batch_size = 1
            bound_queue(config, self._queue_size)
        config.instance_group[0].count = self._instances
        config.instance_group[0].kind = model_config_pb2.ModelInstanceGroup.KIND_CPU
        config.input[0].dims[0] = context_length
        config.parameters["context_length"].string_value = str(context_length)
        config.parameters["games"].string_value = json.dumps(GAMES)
        config.name = name
        if version is not None:
            config.version_policy.specific.versions.append(version)
        if not ours:
            del config.parameters["action_horizon"]
        folder = self._repository / name / str(version or 1)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MODEL.name).write_text(MODEL.read_text() if loads else "no Python")
        (folder.parent / "config.pbtxt").write_text(text_format.MessageToString(config))

    async def load(self, name: str) -> None:
        """Load a model, or what was written of it since, as `activate` does."""
        async with grpc.aio.insecure_channel(self.endpoint) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            await stub.RepositoryModelLoad(service_pb2.RepositoryModelLoadRequest(model_name=name))

    async def unload(self, name: str) -> None:
        """Unload a model; Triton refuses its requests from then on."""
        async with grpc.aio.insecure_channel(self.endpoint) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            await stub.RepositoryModelUnload(service_pb2.RepositoryModelUnloadRequest(model_name=name))

    async def start(self) -> None:
        """Start Triton and wait until it serves."""
        async with asyncio.timeout(WITHIN_S):
            await self._server.start()

    async def stop(self) -> None:
        """End Triton in order; each idle instance of the model takes it a second, up to three in all."""
        async with asyncio.timeout(WITHIN_S):
            await self._server.stop()

    async def kill(self) -> None:
        """Kill the server without a word to its clients, and wait until nothing of it is left."""
        self.strike()
        await self.stop()

    def strike(self) -> None:
        """Kill the server without a word to its clients; `kill` then waits until nothing of it is left."""
        for pid in triton_pids(f"--http-port={self._ports.http}"):
            os.kill(pid, signal.SIGKILL)

    def log(self) -> str:
        """Return what Triton has logged, over all its starts."""
        return self._log.read_text(errors="replace")

    async def begun(self) -> int:
        """Inferences that the model has begun since Triton's start."""
        return await self._metric("timed_model_begun")

    async def cancelled(self) -> int:
        """Inferences that the model has ended because Triton said that their request is cancelled."""
        return await self._metric("timed_model_cancelled")

    async def wait_until_begun(self, count: int) -> None:
        """Wait until `begun` is `count`."""
        async with asyncio.timeout(WITHIN_S):
            while await self.begun() < count:  # noqa: ASYNC110 - Triton's metrics have to be asked
                await asyncio.sleep(0.02)

    async def wait_until_cancelled(self, count: int) -> None:
        """Wait until `cancelled` is `count`."""
        async with asyncio.timeout(WITHIN_S):
            while await self.cancelled() < count:  # noqa: ASYNC110 - Triton's metrics have to be asked
                await asyncio.sleep(0.02)

    def config_reads(self) -> int:
        """Calls of ModelConfig that Triton has logged, over all its starts."""
        return self._calls("ModelConfig")

    def list_reads(self) -> int:
        """Calls of RepositoryIndex that Triton has logged, over all its starts."""
        return self._calls("RepositoryIndex")

    def _calls(self, method: str) -> int:
        return len(re.findall(rf"Process for {method}, rpc_ok=1, \d+ step START", self.log()))

    async def _metric(self, name: str) -> int:
        url = f"http://{HOST}:{self._ports.metrics}/metrics"
        async with aiohttp.ClientSession(timeout=_ANSWERS_WITHIN) as session, session.get(url) as response:
            found = re.search(rf"^{name} (\S+)$", await response.text(), re.MULTILINE)
        assert found is not None, f"Triton shows no metric {name}"
        return int(float(found[1]))


@asynccontextmanager
async def running_triton(triton: TimedTriton) -> AsyncIterator[TimedTriton]:
    """Start a Triton, and kill it at the end, also when it did not start."""
    try:
        await triton.start()
        yield triton
    finally:
        await triton.kill()
