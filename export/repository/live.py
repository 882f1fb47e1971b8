"""Switching a running Triton from one published version of a model to another, without a pause.

Triton (with explicit model control) loads the new version beside the old one and moves requests over when
it is ready; a version that does not load leaves the old one serving.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from export.errors import ActivationError, RepositoryError
from export.repository.versions import find_version, history, serve_version

logger = logging.getLogger(__name__)

_CONNECT_S = 5.0


def activate(
    repository: Path, name: str, number: int, endpoint: str | None, *, after: Sequence[int] | None = None
) -> None:
    """Make a running Triton serve a published version, also after its next start.

    Args:
        repository: the repository's folder, the one that Triton reads.
        name: the model's name.
        number: the version to serve.
        endpoint: HOST:PORT of Triton's gRPC service; None to change only what the next start loads.
        after: as for `serve_version`.

    Raises:
        RepositoryError: when there is no such version, or the repository cannot be written.
        ActivationError: when Triton cannot be reached or cannot load the version; what was served before
            goes on being served.
    """
    find_version(repository, name, number)
    served = history(repository, name)
    serve_version(repository, name, number, after=after)
    if endpoint is None:
        return
    try:
        _load(endpoint, name, number)
    except ActivationError:
        if served:
            serve_version(repository, name, served[-1], after=served)
        raise


def rollback(repository: Path, name: str, endpoint: str | None) -> int:
    """Serve the version that was served before the current one.

    Returns:
        Its number.

    Raises:
        RepositoryError: when no earlier one is left; otherwise as `activate`.
    """
    served = history(repository, name)
    if len(served) < 2:
        raise RepositoryError(
            f"there is no earlier version of {name} in {repository} to go back to: see nitrogen-export list"
        )
    activate(repository, name, served[-2], endpoint, after=served[:-2])
    return served[-2]


def _load(endpoint: str, name: str, number: int) -> None:
    """Have Triton read the model's config again, and wait until it serves the version."""
    with grpc.insecure_channel(endpoint, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            grpc.channel_ready_future(channel).result(_CONNECT_S)
            stub.RepositoryModelLoad(service_pb2.RepositoryModelLoadRequest(model_name=name))
            request = service_pb2.ModelReadyRequest(name=name, version=str(number))
            ready = stub.ModelReady(request).ready
        except grpc.FutureTimeoutError as error:
            raise ActivationError(
                f"no Triton answers at {endpoint}: give its gRPC address with --triton, "
                "or change only what its next start loads with --triton none"
            ) from error
        except grpc.RpcError as error:
            raise ActivationError(
                f"Triton at {endpoint} could not load version {number} of {name}, and serves what it served "
                f"before: {(error.details() or 'no details').splitlines()[0]}"
            ) from error
    if not ready:
        raise ActivationError(
            f"Triton at {endpoint} loaded {name}, but not version {number}: does it read this repository?"
        )
    logger.info("Triton at %s serves version %d of %s", endpoint, number, name)
