"""A gateway in its own process (`gateway.worker`), which is started again whenever it dies."""

import asyncio
import json
import logging
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import StartError
from gateway.ports.all_ports import PORTS
from gateway.settings import GatewaySettings

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.5
_MAX_PAUSE_S = 30.0
# A process that lived this long did not die of its start.
_HEALTHY_S = 30.0
_MAX_EARLY_DEATHS = 6
# Longer than a stopping gateway gives its requests, and below the ten seconds of `docker stop`.
_STOP_WITHIN_S = 9.0


@dataclass(frozen=True, slots=True)
class Told:
    """A child's report once it listens: its ports, and, where asked, why it cannot use its model.

    Attributes:
        ports: the players' ports by their names, 0 for one that is off.
    """

    ports: dict[str, int]
    http_port: int
    reason: str | None


class GatewayChild:
    """One gateway process.

    Args:
        name: what the log calls it.
        settings: the gateway's.
        http_socket: a Unix socket for health and metrics. Without one they are on the settings' HTTP port,
            and the child looks for its model before it reports that it listens.
    """

    def __init__(self, name: str, settings: GatewaySettings, http_socket: Path | None = None) -> None:
        self._name = name
        self._settings = settings
        self._http_socket = http_socket
        self._process: asyncio.subprocess.Process | None = None

    @property
    def is_running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> Told:
        """Start the process, and wait until it listens; after a restart, on the same ports.

        Raises:
            StartError: it does not start.
        """
        arguments = [] if self._http_socket is None else [str(self._http_socket)]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.worker", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._process = process
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - made with pipes
        process.stdin.write(self._settings.model_dump_json().encode() + b"\n")
        line = await process.stdout.readline()
        if not line:
            raise StartError(f"{self._name} did not start: it ended with {_ending(await process.wait())}")
        said = json.loads(line)
        if isinstance(said, str):
            raise StartError(f"{self._name} did not start: {said}")
        told = Told(**said)
        ports = {port.field: told.ports[port.name] or None for port in PORTS}
        self._settings = self._settings.model_copy(update={**ports, "http_port": told.http_port})
        return told

    async def keep_running(self) -> None:
        """Start the process again each time it dies, with growing pauses; runs until cancelled.

        Raises:
            StartError: it died soon after its start, several times in a row.
        """
        loop = asyncio.get_running_loop()
        early_deaths = 0
        while self._process is not None:
            begun = loop.time()
            ending = _ending(await self._process.wait())
            early_deaths = 1 if loop.time() - begun > _HEALTHY_S else early_deaths + 1
            if early_deaths == _MAX_EARLY_DEATHS:
                raise StartError(
                    f"{self._name} died {early_deaths} times, each within {_HEALTHY_S:g} s of its start, the "
                    f"last time with {ending}: its log above says why"
                )
            logger.error("%s ended with %s: starting it again", self._name, ending)
            await asyncio.sleep(min(_FIRST_PAUSE_S * 2 ** (early_deaths - 1), _MAX_PAUSE_S))
            try:
                await self.start()
            except (StartError, OSError, ValueError) as error:
                logger.error("%s was not started: %s", self._name, error)
            else:
                logger.warning("%s is running again", self._name)

    async def stop(self) -> None:
        """Let the process finish what is in flight, and end it."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None  # noqa: S101 - it was made with a pipe
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), self._settings.drain_delay_s + _STOP_WITHIN_S)
        except TimeoutError:
            process.kill()
            await process.wait()


def _ending(code: int) -> str:
    """Return how a process ended, from Python's exit code."""
    if code >= 0:
        return f"exit code {code}"
    return f"signal {signal.Signals(-code).name}"
