"""A port for players as the rest of the gateway sees it: its names, its texts and its server.

A new port is a folder beside this file, an entry in `all_ports`, and its settings in `gateway.settings`.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.data_plane import DataPlane
from gateway.session.admission import Admission
from gateway.session.session import PortService
from gateway.settings import GatewaySettings
from gateway.telemetry.live import Live
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.port_metrics import PortMetrics
from gateway.telemetry.recording_format import Exchange


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of the gateway that each of its ports gets.

    Attributes:
        record: takes each predict and `played` for a recording.
        live: what the live page shows.
    """

    settings: GatewaySettings
    plane: DataPlane
    metrics: Metrics
    admission: Admission
    record: Callable[[Exchange], None] | None = None
    live: Live | None = None

    def of_port(self, metrics: PortMetrics, deadline_s: float) -> PortService:
        """Return what the sessions of one port share."""
        return PortService(
            self.plane,
            metrics,
            self.admission,
            deadline_s,
            self.settings.max_at_triton_per_client,
            self.record,
            self.live,
        )


class PortServer(Protocol):
    """Serves one port."""

    async def start(self, listener: socket.socket) -> None:
        """Begin to serve who connects to a socket that listens, in the running event loop."""

    async def stop(self, grace_s: float) -> None:
        """Take no more requests, give those in flight `grace_s` seconds, answer the rest with an error.

        The listening socket is closed, too.
        """


@dataclass(frozen=True, slots=True)
class Port:
    """A kind of port.

    Attributes:
        name: in metrics, logs, recordings, flags and variables; lower-case letters and digits.
        purpose: who uses it, for `GET /`.
        announcement: the line on stdout when it is open, `{}` for its number.
        make_server: raises a StartError for a wrong file in the settings.
    """

    name: str
    purpose: str
    announcement: str
    make_server: Callable[[Services], PortServer]

    @property
    def flag(self) -> str:
        """The flag for its number."""
        return f"--{self.name}-port"

    @property
    def field(self) -> str:
        """The settings' field with its number."""
        return f"{self.name}_port"

    def number(self, settings: GatewaySettings) -> int | None:
        """Return its number in the settings; None when it is off."""
        number: int | None = getattr(settings, self.field)
        return number
