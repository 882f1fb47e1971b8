"""The service of one port, which its sessions share: who answers requests, and how many a client may send."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.data_plane import DataPlane
from gateway.session.admission import Admission
from gateway.telemetry.port_metrics import PortMetrics
from gateway.telemetry.recording_format import Exchange


@dataclass(frozen=True, slots=True)
class PortService:
    """The service that one port gives to its clients.

    `admission`: the limit of all clients together. `deadline_s`: seconds from a request's arrival to its
    reply, at the latest. `at_triton`: requests of one client that are at Triton at once. `record`: takes what
    a recording holds of each predict.
    """

    plane: DataPlane
    metrics: PortMetrics
    admission: Admission
    deadline_s: float
    at_triton: int
    record: Callable[[Exchange], None] | None = None
