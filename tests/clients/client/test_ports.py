"""The Python clients at a port of another kind, and behind a broker."""

from collections.abc import Callable

import nitrogen_client as client_package
import numpy as np
import pytest
from nitrogen_client import ModelClient

from gateway.server import Gateway
from tests.clients.client.background import Background, gateway_in
from tests.clients.client.kinds import KINDS, MakeClient, connected
from tests.stand_ins.brokers import brokers
from tests.stand_ins.timed_answers import frame, frames_seen


@KINDS
@pytest.mark.parametrize(
    "of",
    [lambda gateway: gateway.port_numbers["tcp"], lambda gateway: gateway.http_port],
    ids=["tcp", "http"],
)
def test_a_port_of_another_kind_is_among_the_causes(
    kind: MakeClient, of: Callable[[Gateway], int], loop: Background
) -> None:
    with (
        gateway_in(loop) as gateway,
        connected(kind, of(gateway), timeout_s=1.5) as client,
        pytest.raises(client_package.ConnectionFailedError, match=r"not a ZeroMQ port.*usually 5555"),
    ):
        client.reset()


@KINDS
@pytest.mark.parametrize("count", [1, 2])
def test_behind_brokers_each_client_plays_as_without(kind: MakeClient, count: int, gateway: Gateway) -> None:
    with (
        brokers(gateway.port_numbers["zmq"], count) as port,
        connected(kind, port) as client,
        connected(ModelClient, port) as other,
    ):
        for expected in (1, 2, 3, 3):
            assert frames_seen(client.predict(frame())) == expected
        assert frames_seen(other.predict(frame())) == 1
        client.reset()
        actions = client.predict(frame())
        assert frames_seen(actions) == 1
        assert actions["buttons"].dtype == np.float32
        assert client.info()["context_length"] == 3


@KINDS
def test_a_broker_without_a_gateway_is_among_the_causes(kind: MakeClient, loop: Background) -> None:
    with gateway_in(loop) as gateway:
        port = gateway.port_numbers["zmq"]
    with (
        brokers(port, 1) as front,
        connected(kind, front, timeout_s=1) as client,
        pytest.raises(client_package.ReplyTimeoutError, match="a broker without a gateway behind it"),
    ):
        client.reset()
