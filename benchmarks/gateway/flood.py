"""`python -m benchmarks.gateway.flood`: what two clients that flood cost those who wait for their turn.

Eight lockstep clients (four on each port) play alone, beside two more of their kind, and beside two that
flood: a DEALER with many predicts outstanding, which replaces each as soon as it is answered, and a TCP
client that sends as much as the gateway takes. The three take turns. The model is the small golden
checkpoint.
"""

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection

import zmq

from benchmarks.command import measurement_options, run_command, use_cores
from benchmarks.gateway.load import LoadClients, Rates, rates, running_beside
from benchmarks.gateway.models import TINY, served_model
from benchmarks.gateway.process import RunningGateway, running_gateway
from benchmarks.gateway.ways import (
    HOST,
    Endpoints,
    connected,
    predict_line,
    predict_pickle,
    tcp_json,
    zmq_pickle,
)
from benchmarks.turns import rotated

OUTSTANDING = 64
PORTS = (zmq_pickle, tcp_json)
_EACH = 4
_SETTLE_S = 0.5  # for the flood to reach its height, and to end, before what follows is timed
_LISTEN_S = 0.1


@dataclass(frozen=True)
class Answers:
    """The replies to a flooding client: answers with actions, and refusals."""

    actions: int
    refusals: int


@dataclass(frozen=True)
class Round:
    """The lockstep clients' rates: alone, beside two more, and beside the two that flood."""

    alone: Rates
    two_more: Rates
    flooded: Rates
    by_zmq: Answers
    by_tcp: Answers


CONDITIONS: dict[str, Callable[[Round], Rates]] = {
    "alone": lambda one: one.alone,
    "beside two more": lambda one: one.two_more,
    "beside two that flood": lambda one: one.flooded,
}


def ratio(
    rounds: Sequence[Round], figure: Callable[[Rates], float], beside: Callable[[Round], Rates]
) -> float:
    """Return the median over the rounds of a figure relative to what it is alone."""
    return statistics.median(figure(beside(one)) / figure(one.alone) for one in rounds)


def measure_flood(
    gateway: RunningGateway, rounds: int, seconds: float, outstanding: int = OUTSTANDING
) -> list[Round]:
    """Measure the lockstep clients in each of the three conditions, `rounds` times.

    Raises:
        LoadError: a lockstep client did not get its actions.
    """
    measured = []
    with LoadClients(2 * _EACH + 2) as load:
        for number in range(rounds):
            answers: list[Answers] = []
            results: dict[str, Rates] = {}
            for condition in rotated(("alone", "two_more", "flooded"), number):
                with ExitStack() as stack:
                    ends = []
                    if condition == "flooded":
                        for flood in (_flood_by_zmq, _flood_by_tcp):
                            beside = running_beside(flood, gateway.endpoints, outstanding)
                            ends.append(stack.enter_context(beside))
                    time.sleep(_SETTLE_S)
                    results[condition] = _lockstep(load, gateway, seconds, more=condition == "two_more")
                    answers += [end() for end in ends]
            measured.append(Round(**results, by_zmq=answers[0], by_tcp=answers[1]))
    return measured


def _lockstep(load: LoadClients, gateway: RunningGateway, seconds: float, *, more: bool) -> Rates:
    """Return what the lockstep clients of both ports get; with `more`, each port has another one."""
    players = [load.connect(connect, gateway.endpoints, _EACH) for connect in PORTS]
    others = [load.connect(connect, gateway.endpoints, 1) for connect in PORTS if more]
    for group in (*others, *players):
        group.begin(seconds)
    measured = [one for group in players for one in group.finish()]
    for group in others:
        group.finish()
    for group in (*others, *players):
        group.leave()
    return rates(measured)


def _flood_by_zmq(connection: Connection, endpoints: Endpoints, outstanding: int) -> None:
    """Keep this many predicts outstanding until told to end; answer with the replies' counts."""
    message = predict_pickle()
    actions = refusals = 0
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.linger = 0
        client.connect(f"tcp://{HOST}:{endpoints.zmq}")
        for _ in range(outstanding):
            client.send_multipart([b"", message])
        connection.send("ready")
        while not connection.poll():
            if not client.poll(round(1000 * _LISTEN_S)):
                continue
            # Pickles name the keys of a dict: a reply with actions holds "pred".
            if b"pred" in client.recv_multipart()[-1]:
                actions += 1
            else:
                refusals += 1
            client.send_multipart([b"", message])
    connection.send(Answers(actions, refusals))


def _flood_by_tcp(connection: Connection, endpoints: Endpoints, outstanding: int) -> None:
    """Send predicts as fast as the gateway takes them until told to end; answer with the replies' counts."""
    message = predict_line() * outstanding
    counts = {True: 0, False: 0}
    with connected(endpoints.tcp) as client, client.makefile("rb") as replies:

        def count() -> None:
            try:
                for reply in replies:
                    counts[b'"status":"ok"' in reply] += 1
            except OSError:
                return  # the connection was shut down in the middle of a reply

        reader = threading.Thread(target=count, daemon=True)
        reader.start()
        client.settimeout(_LISTEN_S)
        connection.send("ready")
        unsent = memoryview(message)
        while not connection.poll():
            try:
                unsent = unsent[client.send(unsent) :] or memoryview(message)
            except TimeoutError:
                continue  # the gateway does not take more now
        client.shutdown(2)
        reader.join()
    connection.send(Answers(counts[True], counts[False]))


def main() -> int:
    """Print the table."""
    parser = measurement_options(__doc__, seconds=2.5, rounds=4)
    parser.add_argument("--outstanding", type=int, default=OUTSTANDING, help="predicts of the DEALER's")
    options = parser.parse_args()
    use_cores(options.cores)
    with (
        served_model(TINY) as served,
        running_gateway(served.model, [served.grpc_port]) as gateway,
    ):
        rounds = measure_flood(gateway, options.rounds, options.seconds, options.outstanding)
    print(f"{'lockstep clients':<24}{'requests/s':>11}{'p50 ms':>9}{'ratio':>7}{'p99 ms':>9}{'ratio':>7}")
    for name, beside in CONDITIONS.items():
        each = [beside(one) for one in rounds]
        print(
            f"{name:<24}{statistics.median(one.requests_per_s for one in each):>11.1f}"
            f"{statistics.median(one.p50_ms for one in each):>9.2f}"
            f"{ratio(rounds, lambda rate: rate.p50_ms, beside):>7.2f}"
            f"{statistics.median(one.p99_ms for one in each):>9.2f}"
            f"{ratio(rounds, lambda rate: rate.p99_ms, beside):>7.2f}"
        )
    for port, answers in (("ZMQ", [one.by_zmq for one in rounds]), ("TCP", [one.by_tcp for one in rounds])):
        actions = sum(one.actions for one in answers)
        refusals = sum(one.refusals for one in answers)
        print(f"the flood by {port}: {actions} answers with actions, {refusals} refusals")
    return 0


if __name__ == "__main__":
    run_command(main)
