"""The Tritons behind an address, and the calls that make one of them serve a version. Free of torch."""

import logging
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from contract.endpoint import Endpoint, parse_endpoints
from contract.failure_text import CHANNEL_OPTIONS, cause_of
from contract.triton_key import TritonKey, wanted_key
from export.errors import ActivationError, TritonEndedError, TritonNotRunningError
from export.formats.format import CONFIG_NAME
from export.repository.triton_config import read_config
from export.repository.versions import Version

logger = logging.getLogger(__name__)

_CONNECT_S = 5.0
_ASK_S = 10.0
_LOOK_AGAIN_S = 1.0
_LOAD_S = 1800.0  # a large model is warmed up, and TensorRT builds its engines, before a load ends
_OPTIONS = (
    *CHANNEL_OPTIONS,
    ("grpc.enable_http_proxy", 0),
    # A Triton that was started again is found at once.
    ("grpc.max_reconnect_backoff_ms", 1000),
)


@dataclass(frozen=True)
class Triton:
    """A connection to a running Triton.

    Attributes:
        address: this Triton's own, even if it was found by a name with several addresses.
    """

    address: str
    stub: service_pb2_grpc.GRPCInferenceServiceStub
    key: TritonKey | None

    def running_version(self, name: str) -> int | None:
        """Return the version of a model that it has ready, None when there is none.

        Raises:
            ActivationError: when it does not answer.
        """
        request = service_pb2.RepositoryIndexRequest(ready=True)
        models = self._call(self.stub.RepositoryIndex, request, "cannot be asked", _ASK_S).models
        numbers = [int(model.version) for model in models if model.name == name and model.version]
        return max(numbers, default=None)

    def serves(self, version: Version) -> bool:
        """Return whether it serves exactly this version, by number and facts.

        Raises:
            ActivationError: when it does not answer.
        """
        if self.running_version(version.model_name) != version.number:
            return False
        request = service_pb2.ModelConfigRequest(name=version.model_name, version=str(version.number))
        config = self._call(self.stub.ModelConfig, request, "cannot be asked", _ASK_S).config
        return _identity(config) == _identity(read_config(version.folder / CONFIG_NAME))

    def load(self, name: str, number: int, repository: Path) -> None:
        """Have it read the model's config, which must name this version, and wait until it serves it.

        Raises:
            ActivationError: when it does not load the version; it goes on serving the previous one.
            TritonEndedError: when it ended meanwhile.
        """
        what = f"could not load version {number} of {name}"
        load = service_pb2.RepositoryModelLoadRequest(model_name=name)
        request = service_pb2.ModelReadyRequest(name=name, version=str(number))
        try:
            self._call(self.stub.RepositoryModelLoad, load, what, _LOAD_S)
            is_ready = self._call(self.stub.ModelReady, request, what, _ASK_S).ready
        except ActivationError as error:
            # This code means a lost connection; Triton has others for a version that it cannot load.
            cause = error.__cause__
            if isinstance(cause, grpc.RpcError) and cause.code() is grpc.StatusCode.UNAVAILABLE:
                raise TritonEndedError(
                    f"Triton at {self.address} ended while it loaded version {number} of {name} "
                    "(its log says more)"
                ) from error
            raise
        if not is_ready:
            raise ActivationError(
                f"Triton at {self.address} loaded {name}, but not version {number}: does it read "
                f"{repository}?"
            )

    def wait_for_return(self, name: str, timeout_s: float) -> int | None:
        """Wait until a Triton that has ended serves a model again; return the version, None on timeout."""
        give_up = time.monotonic() + timeout_s
        while time.monotonic() < give_up:
            with suppress(ActivationError):
                if (number := self.running_version(name)) is not None:
                    return number
            time.sleep(_LOOK_AGAIN_S)
        return None

    def _call(self, method: Callable[..., Any], request: object, what: str, timeout_s: float) -> Any:  # noqa: ANN401 - the stub is untyped
        metadata = None if self.key is None else self.key.metadata
        try:
            return method(request, timeout=timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            detail = cause_of(error.details() or error.code().name)
            if wanted_key(detail) is not None:
                reason = (
                    "it wants a key and got none: give its file with --triton-key-file"
                    if self.key is None
                    else f"the key {self.key.name!r} in {self.key.path} is not its key"
                )
                detail = f"{reason} ({detail})"
            raise ActivationError(f"Triton at {self.address} {what}: {detail}") from error


@contextmanager
def connected_tritons(
    endpoint: str, key: TritonKey | None, start_timeout_s: float = 0.0
) -> Iterator[list[Triton]]:
    """Yield connections to all Tritons that answer at an endpoint's addresses, in their order; at least one.

    Those that do not answer are logged.

    Args:
        endpoint: HOST:PORT, or several with commas between; a host may have several addresses.
        key: of their restricted protocols.
        start_timeout_s: how long to wait for addresses that refuse connections, because a Triton opens its
            port after it has loaded its models. An address that its host no longer has is not waited for.

    Raises:
        TritonNotRunningError: when nothing answers.
        ActivationError: when something answers that does not speak gRPC, or the endpoint is invalid.
    """
    try:
        endpoints = parse_endpoints(endpoint)
    except ValueError as error:
        raise ActivationError(
            f"{endpoint!r} is not an address of Triton's gRPC service: give HOST:PORT"
        ) from error
    _wait_for_starting(endpoints, start_timeout_s)
    addresses, silent = _addresses(endpoints)
    with ExitStack() as stack:
        tritons = []
        for address in addresses:
            problem = _connection_error(address)
            if problem is not None:
                silent.append(f"{address} ({problem.strerror or 'no answer in time'})")
                continue
            channel = stack.enter_context(grpc.insecure_channel(str(address), options=_OPTIONS))
            try:
                grpc.channel_ready_future(channel).result(_CONNECT_S)
            except grpc.FutureTimeoutError as late:
                raise ActivationError(
                    f"{address} takes connections, but does not speak gRPC: give the port of Triton's gRPC "
                    "service with --triton"
                ) from late
            tritons.append(Triton(str(address), service_pb2_grpc.GRPCInferenceServiceStub(channel), key))
        if not tritons:
            raise TritonNotRunningError(", ".join(silent))
        for each in silent:
            logger.warning("no Triton answers at %s: left out, it loads the version at its next start", each)
        yield tritons


def _addresses(endpoints: Iterable[Endpoint]) -> tuple[list[Endpoint], list[str]]:
    """Return every address of some endpoints, and the endpoints that have none, with the reason."""
    addresses: dict[Endpoint, None] = {}
    unknown = []
    for endpoint in endpoints:
        try:
            known = socket.getaddrinfo(*endpoint, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a host name"
            unknown.append(f"{endpoint} ({reason})")
            continue
        addresses |= {Endpoint(str(sockaddr[0]), int(sockaddr[1])): None for *_, sockaddr in known}
    return list(addresses), unknown


def _wait_for_starting(endpoints: Sequence[Endpoint], timeout_s: float) -> None:
    """Wait until no address of some endpoints refuses connections, or until the timeout."""
    give_up = time.monotonic() + timeout_s
    told = False
    while (left_s := give_up - time.monotonic()) > 0 and (starting := _refusing(endpoints)):
        if not told:
            logger.info(
                "Triton at %s takes no connections yet and may be loading its models: waiting at most %g s "
                "(--triton-start-timeout)",
                ", ".join(starting),
                timeout_s,
            )
            told = True
        time.sleep(min(_LOOK_AGAIN_S, left_s))


def _refusing(endpoints: Iterable[Endpoint]) -> list[str]:
    """Return the current addresses where a machine answers, but no program listens."""
    addresses, _ = _addresses(endpoints)
    return [str(one) for one in addresses if isinstance(_connection_error(one), ConnectionRefusedError)]


def _connection_error(address: Endpoint) -> OSError | None:
    """Return why an address takes no connection, sooner than gRPC would; None when it takes one."""
    try:
        socket.create_connection(address, timeout=_CONNECT_S).close()
    except OSError as error:
        return error
    return None


def _identity(config: model_config_pb2.ModelConfig) -> tuple[dict[str, str], int]:
    """Return what distinguishes a version from another one with the same number."""
    return {key: value.string_value for key, value in config.parameters.items()}, config.max_batch_size
