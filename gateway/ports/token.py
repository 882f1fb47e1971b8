"""A port's token, if it has one: the file that holds it, and the clients that have given it."""

import hmac
from collections.abc import Callable
from pathlib import Path

from gateway.errors import AccessError, GatewayError, StartError
from gateway.protocol.messages import Event, Hello, Reply, Request

HELLO_FIRST = (
    'this port wants a token: send {"type": "hello", "token": "..."} first; its operator has the token'
)
_WRONG = "the token is wrong: ask the gateway's operator for the right one"


def read_token(path: Path | None, flag: str) -> bytes | None:
    """Return the token in a file, without blanks around it; None without a file.

    Args:
        path: the file.
        flag: the file's, for the error.

    Raises:
        StartError: the file cannot be read, or holds no token.
    """
    if path is None:
        return None
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{flag} {path} cannot be read ({error}): check the file") from error
    if not token:
        raise StartError(f"{flag} {path} is empty: write the token into it")
    return token.encode()


def is_token(given: str, token: bytes) -> bool:
    """Return whether a client's text is the token, in a time that does not reveal how much of it is right."""
    # JSON can have halves of surrogate pairs, which are not UTF-8.
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token)


class TokenGate:
    """Lets one client's requests through once its hello has given the token, or at once without one.

    Args:
        token: the port's, None for none.
        on_refusal: called for each request that is refused.
    """

    def __init__(self, token: bytes | None, on_refusal: Callable[[], None]) -> None:
        self._token = token
        self._on_refusal = on_refusal
        self.is_open = token is None

    @property
    def is_authorised(self) -> bool:
        """Whether the client has given the token."""
        return self.is_open and self._token is not None

    def admit(self, incoming: Event | GatewayError) -> Request | Reply | GatewayError:
        """Return a hello's reply, another event as it is, or a refusal instead."""
        if isinstance(incoming, Hello):
            return self._greet(incoming)
        if self.is_open or isinstance(incoming, AccessError):
            return incoming
        return self._refusal(HELLO_FIRST)

    def _greet(self, hello: Hello) -> Reply | AccessError:
        if self._token is not None and not is_token(hello.token, self._token):
            return self._refusal(_WRONG)
        self.is_open = True
        return Reply()

    def _refusal(self, why: str) -> AccessError:
        self._on_refusal()
        return AccessError(why)
