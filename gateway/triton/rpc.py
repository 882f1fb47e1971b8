"""The calls of Triton's gRPC service that the gateway makes, each with the types of its two messages."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import grpc
from tritonclient.grpc import service_pb2 as pb

SERVICE = "inference.GRPCInferenceService"

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


@dataclass(frozen=True, eq=False, slots=True)
class Rpc(Generic[RequestT, ResponseT]):
    """One call of the service: `serialize` writes its request, `parse` reads its response.

    `shows_key`: whether the gateway shows its key for Triton's restricted protocols.
    """

    name: str
    serialize: Callable[[RequestT], bytes] | None
    parse: Callable[[bytes], ResponseT]
    shows_key: bool = True

    def on(self, channel: grpc.aio.Channel) -> "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]":
        """Return the method that makes this call on a channel."""
        return channel.unary_unary(f"/{SERVICE}/{self.name}", self.serialize, self.parse)


def _rpc(name: str) -> Rpc[RequestT, ResponseT]:
    request, response = getattr(pb, f"{name}Request"), getattr(pb, f"{name}Response")
    return Rpc(name, request.SerializeToString, response.FromString)


# Its requests are bytes already: protobuf would copy each frame twice more. Nobody restricts inference, for
# which showing the key would cost each request 6 to 25 us.
MODEL_INFER: Rpc[bytes, pb.ModelInferResponse] = Rpc(
    "ModelInfer", None, pb.ModelInferResponse.FromString, shows_key=False
)
MODEL_CONFIG: Rpc[pb.ModelConfigRequest, pb.ModelConfigResponse] = _rpc("ModelConfig")
MODEL_READY: Rpc[pb.ModelReadyRequest, pb.ModelReadyResponse] = _rpc("ModelReady")
REPOSITORY_INDEX: Rpc[pb.RepositoryIndexRequest, pb.RepositoryIndexResponse] = _rpc("RepositoryIndex")
SERVER_LIVE: Rpc[pb.ServerLiveRequest, pb.ServerLiveResponse] = _rpc("ServerLive")
REGISTER_SHARED_MEMORY: Rpc[pb.SystemSharedMemoryRegisterRequest, pb.SystemSharedMemoryRegisterResponse] = (
    _rpc("SystemSharedMemoryRegister")
)
SHARED_MEMORY_STATUS: Rpc[pb.SystemSharedMemoryStatusRequest, pb.SystemSharedMemoryStatusResponse] = _rpc(
    "SystemSharedMemoryStatus"
)
UNREGISTER_SHARED_MEMORY: Rpc[
    pb.SystemSharedMemoryUnregisterRequest, pb.SystemSharedMemoryUnregisterResponse
] = _rpc("SystemSharedMemoryUnregister")
