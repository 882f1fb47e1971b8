"""A gateway's words on an error, as the gateway makes them, and the class that the client gives it."""

import grpc
import nitrogen_client as client_package
import pytest
from nitrogen_client import msgpack_format
from nitrogen_client.server_errors import check_status

from gateway import errors
from gateway.ports.zmq.clients import STOPPING
from gateway.protocol.formats import msgpack_format as gateway_format
from gateway.protocol.messages import Reply
from gateway.triton.failures import failure

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def triton_says(code: grpc.StatusCode, details: str) -> str:
    """The gateway's text for a call to Triton that failed so."""
    error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)
    return str(failure(error, "127.0.0.1:8001", 5.0, "model nitrogen", key=None, shows_key=False))


@pytest.mark.parametrize("is_gateway", [True, False], ids=["msgpack", "pickle"])
@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (str(STOPPING), "ServerStoppingError"),
        ("the gateway is stopping: send the request again", "ServerStoppingError"),
        (triton_says(UNAVAILABLE, "Exceeds maximum queue size"), "ServerBusyError"),
        ("16 of your requests are in flight, the most: wait for replies first", "ServerBusyError"),
        ("16 of your requests are in flight, the limit: wait for replies first", "ServerBusyError"),
        (triton_says(UNAVAILABLE, "Request timeout expired"), "ModelTooSlowError"),
        (triton_says(grpc.StatusCode.DEADLINE_EXCEEDED, "late"), "ModelTooSlowError"),
        (triton_says(UNAVAILABLE, "Request for unknown model: gone"), "ModelUnavailableError"),
        (triton_says(UNAVAILABLE, "Server is stopping, scheduler for model has"), "ModelUnavailableError"),
        (triton_says(UNAVAILABLE, "failed to connect to all addresses"), "ModelUnavailableError"),
        (triton_says(UNAVAILABLE, "CERTIFICATE_VERIFY_FAILED"), "ModelUnavailableError"),
        (triton_says(grpc.StatusCode.CANCELLED, "cancelled"), "ModelUnavailableError"),
        (triton_says(grpc.StatusCode.INTERNAL, "Traceback\nValueError: no"), "ModelUnavailableError"),
        ("internal error; the gateway's log has more of request 3fa9c1-2b", "ServerError"),
        ("internal error; the gateway's log has more about request 3fa9c1-2b", "ServerError"),
    ],
)
def test_a_gateways_text_has_its_class(message: str, cause: str, is_gateway: bool) -> None:
    with pytest.raises(client_package.ServerError) as raised:
        check_status({"status": "error", "message": message}, is_gateway=is_gateway)
    assert type(raised.value) is getattr(client_package, cause)
    assert raised.value.server_message == message


def test_any_other_text_is_the_requests_fault_where_a_gateway_says_it() -> None:
    fields = {"status": "error", "message": "the image has no pixels"}
    with pytest.raises(client_package.BadRequestError):
        check_status(fields, is_gateway=True)
    with pytest.raises(client_package.ServerError) as raised:
        check_status(fields, is_gateway=False)
    assert type(raised.value) is client_package.ServerError


CAUSES = {
    "bad_request": "BadRequestError",
    "unsafe_pickle": "BadRequestError",
    "bad_image": "BadRequestError",
    "bad_framing": "BadRequestError",
    "refused": "BadRequestError",
    "busy": "ServerBusyError",
    "deadline": "ModelTooSlowError",
    "triton_unavailable": "ModelUnavailableError",
    "model_error": "ModelUnavailableError",
    "stopping": "ServerStoppingError",
    "error": "ServerError",
    "internal": "ServerError",
}


@pytest.mark.parametrize("is_gateway", [True, False], ids=["msgpack", "pickle"])
@pytest.mark.parametrize("cause", sorted(CAUSES))
def test_a_cause_counts_and_the_text_does_not(cause: str, is_gateway: bool) -> None:
    for text in (str(STOPPING), "the gateway is busy with it", "Triton is away", "something else"):
        with pytest.raises(client_package.ServerError) as raised:
            check_status({"status": "error", "message": text, "cause": cause}, is_gateway=is_gateway)
        assert type(raised.value) is getattr(client_package, CAUSES[cause])
        assert raised.value.server_message == text


def test_every_cause_of_a_gateway_has_its_class() -> None:
    def causes(kind: type[errors.GatewayError]) -> set[str]:
        return {kind("").cause}.union(*(causes(child) for child in kind.__subclasses__()))

    # `internal` is what has no error class.
    assert causes(errors.GatewayError) | {"internal"} == set(CAUSES)


def test_a_cause_that_a_newer_gateway_has_is_not_the_requests_fault() -> None:
    fields = {"status": "error", "message": "no", "cause": "too_late_in_the_day"}
    with pytest.raises(client_package.ServerError) as raised:
        check_status(fields, is_gateway=True)
    assert type(raised.value) is client_package.ServerError


@pytest.mark.parametrize("cause", [None, 7, [], {}, b"busy"], ids=repr)
def test_a_cause_that_is_none_leaves_the_text(cause: object) -> None:
    fields = {"status": "error", "message": str(STOPPING), "cause": cause}
    with pytest.raises(client_package.ServerStoppingError):
        check_status(fields, is_gateway=True)


def test_the_cause_arrives_by_the_wire() -> None:
    written = gateway_format.encode_reply(Reply(error="wait", cause=errors.BusyError("").cause))
    with pytest.raises(client_package.ServerBusyError):
        check_status(msgpack_format.decode(written), is_gateway=True)
