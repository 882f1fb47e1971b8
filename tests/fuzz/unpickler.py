"""Port 5555's pickles: any bytes are a request or a refusal that is on the list."""

from gateway.errors import RequestError
from gateway.protocol.formats.pickle_format import decode_request

MAX_BYTES = 2048


def check(data: bytes) -> None:
    """Fail on any other exception, and on a refusal that repeats what it was sent at length."""
    refusal = ""
    try:
        decode_request(data)
    except RequestError as error:
        refusal = str(error)
    assert len(refusal) < 600
