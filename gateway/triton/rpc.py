"""The calls of Triton's gRPC service that the gateway makes, each with the types of its two messages."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import grpc
from google.protobuf.message import Message
from tritonclient.grpc import service_pb2 as pb

SERVICE = "inference.GRPCInferenceService"

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
MessageT = TypeVar("MessageT", bound=Message)
OtherMessageT = TypeVar("OtherMessageT", bound=Message)


@dataclass(frozen=True, eq=False, slots=True)
class Rpc(Generic[RequestT, ResponseT]):
    """One call of the service: `serialize` writes its request, `parse` reads its response.

    Attributes:
        shows_key: whether the gateway sends its key for Triton's restricted protocols.
    """

    name: str
    serialize: Callable[[RequestT], bytes] | None
    parse: Callable[[bytes], ResponseT]
    shows_key: bool = True

    def on(self, channel: grpc.aio.Channel) -> "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]":
        """Return the method that makes this call on a channel."""
        return channel.unary_unary(f"/{SERVICE}/{self.name}", self.serialize, self.parse)


def _rpc(request: type[MessageT], response: type[OtherMessageT]) -> Rpc[MessageT, OtherMessageT]:
    name = request.__name__.removesuffix("Request")
    return Rpc(name, request.SerializeToString, response.FromString)


# Its requests are bytes already: protobuf would copy each frame two more times. Nobody restricts inference,
# and sending the key would cost each request 6 to 25 us.
MODEL_INFER: Rpc[bytes, pb.ModelInferResponse] = Rpc(
    "ModelInfer", None, pb.ModelInferResponse.FromString, shows_key=False
)
MODEL_CONFIG = _rpc(pb.ModelConfigRequest, pb.ModelConfigResponse)
MODEL_READY = _rpc(pb.ModelReadyRequest, pb.ModelReadyResponse)
REPOSITORY_INDEX = _rpc(pb.RepositoryIndexRequest, pb.RepositoryIndexResponse)
SERVER_LIVE = _rpc(pb.ServerLiveRequest, pb.ServerLiveResponse)
SHARED_MEMORY_REGISTER = _rpc(pb.SystemSharedMemoryRegisterRequest, pb.SystemSharedMemoryRegisterResponse)
SHARED_MEMORY_STATUS = _rpc(pb.SystemSharedMemoryStatusRequest, pb.SystemSharedMemoryStatusResponse)
SHARED_MEMORY_UNREGISTER = _rpc(
    pb.SystemSharedMemoryUnregisterRequest, pb.SystemSharedMemoryUnregisterResponse
)
