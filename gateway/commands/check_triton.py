"""Checking Triton itself, as the gateway uses it."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from contract.triton_key import TritonKey
from gateway.commands.probing import Finding, ForeignError, Place, ProbeError, connect, finding, shown
from gateway.triton.key import refused_key


def check_triton(
    place: Place, model: str, key: TritonKey | None = None, *, is_named: bool
) -> Iterator[Finding]:
    """Yield whether Triton's gRPC port answers, serves the model, and accepts the key.

    Args:
        place: Triton's gRPC port.
        model: name of the model that it should serve.
        key: for its restricted protocols.
        is_named: whether the caller named the port; else it need not be reachable.

    Raises:
        ProbeError: there is no connection, or no Triton.
    """
    where = f"triton {place.port}"
    try:
        connect(place).close()
    except ProbeError:
        if is_named:
            raise
        hint = f"not reachable at {place}: only the gateway needs it; --triton HOST:PORT names another"
        yield Finding(where, "connection", "note", hint)
        return
    with grpc.insecure_channel(str(place), options=(("grpc.enable_http_proxy", 0),)) as channel:
        triton = _Triton(service_pb2_grpc.GRPCInferenceServiceStub(channel), place, key)
        yield finding(where, "server live", triton.live)
        yield finding(where, f"model {model} ready", lambda: triton.ready(model))
        if key is not None:
            yield finding(where, "key", lambda: triton.takes_key(model))


class _Triton:
    """Calls to one Triton, with the key if there is one."""

    def __init__(
        self, stub: service_pb2_grpc.GRPCInferenceServiceStub, place: Place, key: TritonKey | None
    ) -> None:
        self._stub = stub
        self._place = place
        self._key = key

    def live(self) -> str:
        if not self._ask(self._stub.ServerLive, service_pb2.ServerLiveRequest()).live:
            raise ProbeError("Triton answers that it is not live: look at its log")
        return "live"

    def ready(self, model: str) -> str:
        if not self._ask(self._stub.ModelReady, service_pb2.ModelReadyRequest(name=model)).ready:
            raise ProbeError(
                f"Triton does not serve the model {model!r}: load it, or name another with --model"
            )
        return "ready"

    def takes_key(self, model: str) -> str:
        try:
            self._call(self._stub.ModelConfig, service_pb2.ModelConfigRequest(name=model))
        except grpc.RpcError as error:
            # Triton checks the key first, then the model.
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise self._problem(error) from None
        return "accepted, or not needed"

    def _ask(self, method: Callable[..., Any], request: object) -> Any:  # noqa: ANN401 - the stub is untyped
        try:
            return self._call(method, request)
        except grpc.RpcError as error:
            raise self._problem(error) from None

    def _call(self, method: Callable[..., Any], request: object) -> Any:  # noqa: ANN401 - the stub is untyped
        metadata = None if self._key is None else self._key.metadata
        return method(request, timeout=self._place.timeout_s, metadata=metadata)

    def _problem(self, error: grpc.RpcError) -> ProbeError:
        code, place = error.code(), self._place
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return ForeignError(
                f"connected, but no answer within {place.timeout_s:g} s: is it Triton's gRPC port?"
            )
        details = (error.details() or "no details").rpartition("last error: ")[2]
        refusal = refused_key(details, self._key)
        if refusal is not None:
            return ProbeError(f"Triton refuses it: {shown(refusal)}")
        return ForeignError(f"{code.name} ({shown(details)}): is {place} Triton's gRPC port, without TLS?")
