"""Failed calls to Triton: gRPC's status and Triton's own words become one of our errors."""

import re

import grpc

from contract.failure_text import cause_of
from contract.triton_key import TritonKey
from gateway.errors import (
    BusyError,
    DeadlineError,
    ModelError,
    NotServedError,
    ServerError,
    TritonUnavailableError,
)
from gateway.triton.key import refused_key

# The beginning of Triton's words for a model or version that it does not serve.
_NOT_SERVED = "Request for unknown model"
# For a request that comes while it stops: another Triton may answer it.
_STOPPING = "Server is stopping, scheduler for model has stopped accepting new inference requests"
# With the status UNAVAILABLE, for a request that its queue did not take, or kept too long.
_QUEUE_FULL = "Exceeds maximum queue size"
_QUEUED_TOO_LONG = "Request timeout expired"
_NO_REGION = "Unable to find shared memory region"
_REQUEST_ID = re.compile(r"^\[request id: [^\]]*\] ")


class KeyRefusedError(TritonUnavailableError):
    """Triton refuses the call, because the gateway has no key for it or the wrong one."""


class SharedMemoryLostError(ModelError):
    """Triton does not know the shared memory that a request names: it has restarted."""


def failure(
    error: grpc.aio.AioRpcError,
    where: str,
    timeout_s: float,
    subject: str,
    *,
    key: TritonKey | None,
    shows_key: bool,
) -> ServerError:
    """Return the error for a failed call.

    Args:
        error: gRPC's own.
        where: Triton's endpoints.
        timeout_s: the call's timeout in seconds.
        subject: what it was about.
        key: the gateway's, for Triton's restricted protocols.
        shows_key: whether calls of this kind send it.
    """
    detail, code, place = _detail(error), error.code(), f"Triton at {where}"
    late = f"{place} gave no answer within {timeout_s:.1f} s: send the request again"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineError(late)
    refusal = refused_key(detail, key, is_shown=shows_key)
    if refusal is not None:
        return KeyRefusedError(f"{place} refuses {subject}: {refusal}")
    if detail.startswith(_NO_REGION):
        return SharedMemoryLostError(f"{place} does not know the gateway's shared memory ({detail})")
    # The status UNAVAILABLE also stands for a version that was swapped.
    if code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED) or (
        code is grpc.StatusCode.UNAVAILABLE and detail.startswith((_NOT_SERVED, _STOPPING))
    ):
        return NotServedError(f"{place} does not serve {subject} ({detail})")
    if code is grpc.StatusCode.UNAVAILABLE:
        return _unavailable(detail, place, late)
    if code is grpc.StatusCode.CANCELLED:
        return TritonUnavailableError(f"the call to {place} was cancelled: send the request again")
    return ModelError(f"{place} failed on {subject} ({code.name}: {detail})")


def _unavailable(detail: str, place: str, late: str) -> ServerError:
    if detail.startswith(_QUEUE_FULL):
        return BusyError(f"{place} has as many requests waiting as it takes: send the request again later")
    if detail.startswith(_QUEUED_TOO_LONG):
        return DeadlineError(late)
    if "CERTIFICATE_VERIFY_FAILED" in detail or "Hostname Verification Check failed" in detail:
        return TritonUnavailableError(
            f"the certificate of {place} is not trusted ({detail}): give the authority that signed it as "
            "--triton-tls-ca, and check that the certificate names this host"
        )
    if "Ssl handshake failed" in detail or "SSL_ERROR" in detail:
        return TritonUnavailableError(
            f"{place} does not speak TLS with the gateway ({detail}): check --triton-tls, and Triton's "
            "--grpc-use-ssl"
        )
    return TritonUnavailableError(f"{place} is unavailable ({detail}): check that it runs there")


def _detail(error: grpc.aio.AioRpcError) -> str:
    text = _REQUEST_ID.sub("", error.details() or "no details")
    return cause_of(text.rpartition("last error: ")[2])
