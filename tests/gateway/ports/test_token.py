"""The token that lets a client in, without a connection: who is let through, and who is counted."""

import pytest

from gateway.errors import AccessError, FramingError, GatewayError, StoppingError
from gateway.ports.token import TokenGate
from gateway.protocol.messages import Event, Hello, Reply, Request

REQUEST = Request("info")
REFUSED = AccessError("too many connections")


@pytest.mark.parametrize(
    "event", [REQUEST, Reply(), FramingError("lost"), StoppingError("it stops"), REFUSED]
)
def test_without_a_token_everything_passes(event: Event | GatewayError) -> None:
    refusals: list[None] = []
    gate = TokenGate(None, lambda: refusals.append(None))
    assert gate.is_open
    assert gate.admit(event) is event
    assert gate.admit(Hello("anything")) == Reply()
    assert (gate.is_open, gate.is_authorised, refusals) == (True, False, [])


@pytest.mark.parametrize("event", [REQUEST, Reply(), FramingError("lost"), StoppingError("it stops")])
def test_before_the_token_nothing_passes(event: Event | GatewayError) -> None:
    refusals: list[None] = []
    gate = TokenGate(b"secret", lambda: refusals.append(None))
    assert "this port wants a token" in str(gate.admit(event))
    assert "the token is wrong" in str(gate.admit(Hello("Secret")))
    assert (gate.is_open, gate.is_authorised, len(refusals)) == (False, False, 2)


def test_a_connection_that_is_refused_anyway_is_told_why_and_counted_once() -> None:
    refusals: list[None] = []
    assert TokenGate(b"secret", lambda: refusals.append(None)).admit(REFUSED) is REFUSED
    assert refusals == []


def test_behind_the_token_everything_passes() -> None:
    gate = TokenGate("s\u00e9cret".encode(), lambda: None)
    assert gate.admit(Hello("s\u00e9cret")) == Reply()
    assert gate.is_authorised
    assert gate.admit(REQUEST) is REQUEST


def test_a_wrong_token_after_the_right_one_is_wrong() -> None:
    gate = TokenGate(b"secret", lambda: None)
    gate.admit(Hello("secret"))
    assert "the token is wrong" in str(gate.admit(Hello("other")))
    assert gate.is_open
