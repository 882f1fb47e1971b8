"""ZeroMQ's usual broker in front of a gateway: a ROUTER and a DEALER, joined by `zmq.proxy`."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import zmq


@contextmanager
def broker(port: int, **options: Any) -> Iterator[int]:  # noqa: ANN401
    """The usual broker in front of a port; its own port. `options`: of the socket at its back."""
    context = zmq.Context()
    front, back = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    for name, value in {"linger": 0, **options}.items():
        setattr(back, name, value)
    front.linger = 0
    back.connect(f"tcp://127.0.0.1:{port}")
    own = front.bind_to_random_port("tcp://127.0.0.1")

    def hand_on() -> None:
        with suppress(zmq.ZMQError):
            zmq.proxy(front, back)
        front.close()
        back.close()

    thread = threading.Thread(target=hand_on)
    thread.start()
    try:
        yield own
    finally:
        context.term()
        thread.join()


@contextmanager
def brokers(port: int, count: int) -> Iterator[int]:
    """Some brokers, each in front of the next."""
    with ExitStack() as stack:
        for _ in range(count):
            port = stack.enter_context(broker(port))
        yield port
