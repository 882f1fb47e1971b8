"""Runs the wheel's Triton: start, readiness, restart after a death, stop."""

import asyncio
import itertools
import logging
import os
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from contract.failure_text import cause_of
from standalone import keeper
from standalone.errors import StandaloneError
from standalone.triton_wheel import TritonWheel, assemble_backends, find_triton_wheel

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"  # Triton has no protection of its own: only the gateway faces the network
_GRACE_S = 2.5  # from SIGTERM to SIGKILL; Triton alone takes 1.3 s to unload a model
_POLL_S = 0.1
_counter = itertools.count()
_FIRST_PAUSE_S, _MAX_PAUSE_S, _HEALTHY_S = 0.2, 10.0, 30.0
_LOGGED = re.compile(r"[IWEF]\d{4} \d\d:\S+ +\d+ \S+\] ")
_ERROR = re.compile(rf"(?=[EF]){_LOGGED.pattern}|error: |failed ")
# Where there is no GPU.
_HARMLESS = "CudaDriverHelper has not been initialized"


@dataclass(frozen=True)
class TritonPorts:
    """Triton's three ports, all on the loopback interface."""

    http: int
    grpc: int
    metrics: int


def server_command(
    wheel: TritonWheel,
    backends: Path,
    repository: Path,
    models: Sequence[str],
    ports: TritonPorts,
    shm_prefix: str,
) -> list[str]:
    """Return the tritonserver command line that serves some models of a repository."""
    return [
        str(wheel.server),
        f"--model-repository={repository}",
        f"--backend-directory={backends}",
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in models),
        "--disable-auto-complete-config",
        "--exit-timeout-secs=1",
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        *(f"--{protocol}-address={HOST}" for protocol in ("http", "grpc", "metrics")),
        f"--http-port={ports.http}",
        f"--grpc-port={ports.grpc}",
        f"--metrics-port={ports.metrics}",
    ]


class TritonServer:
    """One Triton under a keeper process, restarted whenever it dies until `stop` is called.

    Args:
        command: the program to run.
        environment: the program's variables.
        log: the file that its output is appended to.
        shm_prefix: that of `command`.
        scratch: a folder that is deleted when it stops, even if this process was killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: dict[str, str],
        ports: TritonPorts,
        log: Path,
        shm_prefix: str,
        scratch: Path | None = None,
    ) -> None:
        removed = "" if scratch is None else str(scratch)
        self._command = [sys.executable, keeper.__file__, shm_prefix, removed, str(_GRACE_S), *command]
        self._environment = environment
        self._ports = ports
        self._log = log
        self._log_start = 0
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start Triton and wait until it serves.

        Raises:
            StandaloneError: when it ends before that; the message has its last error.
        """
        process = await self._spawn()
        async with aiohttp.ClientSession() as session:
            while not await self._is_ready(session):
                if process.returncode is not None:
                    raise StandaloneError(f"Triton ended at its start with {self._end(process.returncode)}")
                await asyncio.sleep(_POLL_S)

    async def keep_running(self) -> None:
        """Start Triton again each time it dies, with growing pauses; runs until cancelled."""
        loop = asyncio.get_running_loop()
        pause_s = _FIRST_PAUSE_S
        while self._process is not None:
            started = loop.time()
            code = await self._process.wait()
            if loop.time() - started > _HEALTHY_S:
                pause_s = _FIRST_PAUSE_S
            logger.warning("Triton ended with %s; starting it again", self._end(code))
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _MAX_PAUSE_S)
            await self._spawn()

    async def stop(self) -> None:
        """End Triton and everything it started; at most a little over `_GRACE_S`."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None  # noqa: S101 - it was made with a pipe
        process.stdin.close()  # the keeper's sign to end
        await process.wait()

    async def _spawn(self) -> asyncio.subprocess.Process:
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for this process, which then ends Triton in order
            )
        return self._process

    async def _is_ready(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"http://{HOST}:{self._ports.http}/v2/health/ready") as response:
                return response.status == 200
        except aiohttp.ClientConnectionError:
            return False

    def _end(self, code: int) -> str:
        """Return the keeper's exit code, and the last error that Triton has logged since its start."""
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
        lines = [line for line in lines if line.strip()] or ["it wrote no log"]
        killed_by = code - 128 if code - 128 in set(signal.Signals) else None
        ended = f"exit code {code}" + (f" ({signal.Signals(killed_by).name})" if killed_by else "")
        errors = [index for index, line in enumerate(lines) if _ERROR.match(line) and _HARMLESS not in line]
        if errors and lines[errors[-1]] == keeper.LOST_A_STUB and _stub_said_why(lines, errors):
            errors.pop()
        if killed_by and not errors:
            return ended
        begin = errors[-1] if errors else len(lines) - 1
        end = next((index for index in range(begin + 1, len(lines)) if _LOGGED.match(lines[index])), None)
        text = _LOGGED.sub("", "\n".join(lines[begin:end]))
        # Triton quotes what it logs.
        return f"{ended}: " + cause_of(text.strip('"').replace("\\n", "\n"))


def _stub_said_why(lines: list[str], errors: list[int]) -> bool:
    """Return whether the error before the last one is a stub's own, after which Triton logged nothing."""
    return len(errors) > 1 and not any(map(_LOGGED.match, lines[errors[-2] : errors[-1]]))


def local_triton(
    repository: Path, models: Sequence[str], ports: TritonPorts, folder: Path, *, owns_folder: bool = False
) -> TritonServer:
    """Return the wheel's Triton for some models of a repository, not yet started.

    Args:
        repository: the model repository.
        models: names of the models to load.
        ports: Triton's own.
        folder: takes its backends and its log.
        owns_folder: whether the folder is deleted when Triton has ended.

    Raises:
        StandaloneError: when the wheel is not usable here.
    """
    wheel = find_triton_wheel()
    backends = folder / "backends"
    assemble_backends(wheel, backends)
    # Marks this Triton's shared memory, so that left-overs can be removed.
    prefix = f"nitrogen_{os.getpid()}_{next(_counter)}_"
    command = server_command(wheel, backends, repository, models, ports, prefix)
    log, scratch = folder / "triton.log", folder if owns_folder else None
    return TritonServer(command, wheel.environment(), ports, log, prefix, scratch)
