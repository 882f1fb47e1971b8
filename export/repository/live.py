"""Switching a running Triton from one published version of a model to another, without a pause.

Triton (with explicit model control) loads the new version beside the old one and moves requests over when
it is ready; a version that does not load leaves the old one serving.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from export.errors import ActivationError, RepositoryError
from export.repository.versions import find_version, history, serve_version

logger = logging.getLogger(__name__)

_CONNECT_S = 5.0
_ASK_S = 10.0
_LOAD_S = 1800.0  # a large model is warmed up, and TensorRT builds its engines, before a load ends


def activate(repository: Path, name: str, number: int, endpoint: str | None) -> None:
    """Make a running Triton serve a published version, also after its next start.

    Args:
        repository: the repository's folder, the one that Triton reads.
        name: the model's name.
        number: the version to serve.
        endpoint: HOST:PORT of Triton's gRPC service; None to change only what the next start loads.

    Raises:
        RepositoryError: when there is no such version, or the repository cannot be written.
        ActivationError: when Triton cannot be reached, and then nothing is changed; or when it does not load
            the version, and then the one that it ran before is what it loads next, too.
    """
    find_version(repository, name, number)
    if endpoint is None:
        serve_version(repository, name, number)
        return
    with _connected(endpoint) as triton:
        running = _running_version(triton, endpoint, name)
        _switch(triton, endpoint, repository, name, number, _before(repository, name, running))


def rollback(repository: Path, name: str, endpoint: str | None) -> int:
    """Serve the version that was served before the current one.

    `endpoint`: as for `activate`; with one, the current version is the one that Triton runs.

    Returns:
        Its number.

    Raises:
        RepositoryError: when no earlier one is left; otherwise as `activate`.
    """
    if endpoint is None:
        past = history(repository, name)[:-1]
        serve_version(repository, name, _last(past, repository, name), after=past[:-1])
        return past[-1]
    with _connected(endpoint) as triton:
        running = _running_version(triton, endpoint, name)
        past = _before(repository, name, running)[:-1]
        target = _last(past, repository, name)
        _switch(triton, endpoint, repository, name, target, past[:-1], restored=[*past, *running])
        return target


def _before(repository: Path, name: str, running: list[int]) -> list[int]:
    """Numbers of the versions served so far, the one that Triton runs last.

    What was published after it has not been served by this Triton.
    """
    past = history(repository, name)
    if running and running[0] in past:
        return past[: past.index(running[0]) + 1]
    return [*past[:-1], *running] if running else past


def _last(past: list[int], repository: Path, name: str) -> int:
    if not past:
        raise RepositoryError(
            f"there is no earlier version of {name} in {repository} to go back to: see nitrogen-export list"
        )
    return past[-1]


def _switch(
    triton: service_pb2_grpc.GRPCInferenceServiceStub,
    endpoint: str,
    repository: Path,
    name: str,
    number: int,
    after: list[int],
    restored: list[int] | None = None,
) -> None:
    """Have Triton read the model's new config, and wait until it serves the version."""
    before = after if restored is None else restored
    serve_version(repository, name, number, after=after)
    try:
        request = service_pb2.RepositoryModelLoadRequest(model_name=name)
        what = f"Triton at {endpoint} could not load version {number} of {name}"
        _call(triton.RepositoryModelLoad, request, what, _LOAD_S)
        ready_request = service_pb2.ModelReadyRequest(name=name, version=str(number))
        if not _call(triton.ModelReady, ready_request, what, _ASK_S).ready:
            raise ActivationError(
                f"Triton at {endpoint} loaded {name}, but not version {number}: does it read {repository}?"
            )
    except ActivationError:
        left = [other for other in before if other != number]
        if left:
            serve_version(repository, name, left[-1], after=left[:-1])
        raise
    logger.info("Triton at %s serves version %d of %s", endpoint, number, name)


@contextmanager
def _connected(endpoint: str) -> Iterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    with grpc.insecure_channel(endpoint, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            grpc.channel_ready_future(channel).result(_CONNECT_S)
        except grpc.FutureTimeoutError as error:
            raise ActivationError(
                f"no Triton answers at {endpoint}: give its gRPC address with --triton, "
                "or change only what its next start loads with --triton none"
            ) from error
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def _running_version(
    triton: service_pb2_grpc.GRPCInferenceServiceStub, endpoint: str, name: str
) -> list[int]:
    """The version of a model that Triton has ready; empty when there is none."""
    request = service_pb2.RepositoryIndexRequest(ready=True)
    models = _call(triton.RepositoryIndex, request, f"Triton at {endpoint} cannot be asked", _ASK_S).models
    return sorted(int(model.version) for model in models if model.name == name and model.version)[-1:]


def _call(method: Callable[..., Any], request: object, what: str, timeout_s: float) -> Any:  # noqa: ANN401 - the stub is untyped
    try:
        return method(request, timeout=timeout_s)
    except grpc.RpcError as error:
        detail = (error.details() or error.code().name).splitlines()[0]
        raise ActivationError(f"{what}: {detail}") from error
