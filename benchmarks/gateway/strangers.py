"""`python -m benchmarks.gateway.strangers`: players on port 5555 beside strangers who choose others' names.

Eight players, four of them nameless, ask for actions five times a second each, and one more opens a
connection for each request. They play alone, and beside each of two attacks, which open as many connections
as they can:

ahead: under the names that libzmq would give to its next nameless clients, counted up from its first one.
takeover: under such names and under those of the players, to see whether a reply to a player comes by.

The attacks run against one gateway, one with two workers, and `python -m standalone`. The model is the small
golden checkpoint. Exits with 1 when a player missed a reply, a stranger got one, or a process died.
"""

import itertools
import os
import random
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import zmq

from benchmarks.command import measurement_options, progress, run_command, use_cores
from benchmarks.gateway.load import running_beside
from benchmarks.gateway.models import TINY, served_model
from benchmarks.gateway.process import PLAIN, TWO_WORKERS, running_gateway
from benchmarks.gateway.ways import HOST, LoadError, predict_pickle
from tests.processes import descendants
from tests.stack import free_port

ATTACKS = ("ahead", "takeover")
_PLAYERS = 8
_NAMED = (b"anna", b"bob", b"carol", b"dave")
_EVERY_S = 0.2
# A request without a reply by then never gets one.
_LOST_AFTER_S = 20.0

# The first name that an unseeded libzmq gives, and how far it may have counted.
_FIRST = 0x6B8B4567
_SPAN = 100_000
_HELD = 200
# Loopback addresses that strangers come from, to stay below the limit per address.
_ADDRESSES = 16
_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + bytes(32)


@dataclass(frozen=True)
class Played:
    """The players' results: replies with actions, other ends of a request, and the seconds of each wait."""

    replies: int
    errors: int
    waits_s: list[float]


@dataclass(frozen=True)
class Attacked:
    """The extent of an attack: its connections, and the messages that reached it."""

    connections: int
    stolen: int


@dataclass(frozen=True)
class Condition:
    """How the players fared beside an attack, or alone."""

    name: str
    played: Played
    attacked: Attacked
    seconds: float
    deaths: int


def measure(zmq_port: int, processes: Callable[[], set[int]], seconds: float) -> list[Condition]:
    """Return how players fare alone and beside each attack, for some seconds each.

    Args:
        zmq_port: the gateway's.
        processes: the ids of those that serve them, of which none may die.
        seconds: for each condition.
    """
    found = []
    for name in ("alone", *ATTACKS):
        before = processes()
        with ExitStack() as stack:
            attack = None
            if name in ATTACKS:
                attack = stack.enter_context(running_beside(_attack, zmq_port, name))
            end_play = stack.enter_context(running_beside(_play, zmq_port))
            begun = time.monotonic()
            time.sleep(seconds)
            played = end_play()
            took_s = time.monotonic() - begun
            attacked = Attacked(0, 0) if attack is None else attack()
        found.append(Condition(name, played, attacked, took_s, len(before - processes())))
    return found


def faults(conditions: Sequence[Condition]) -> list[str]:
    """Return the attacks' effects on players or the machine."""
    told = []
    for one in conditions:
        if one.played.errors or not one.played.replies:
            told.append(f"{one.name}: {one.played.errors} requests without actions")
        if one.attacked.stolen:
            told.append(f"{one.name}: {one.attacked.stolen} messages reached a stranger")
        if one.deaths:
            told.append(f"{one.name}: {one.deaths} processes died")
    return told


def _play(connection: Connection, port: int) -> None:
    """Let the players ask until told to end; answer with their results."""
    request = predict_pickle()
    replies, errors, waits_s = 0, 0, list[float]()
    with zmq.Context() as context:
        poller = zmq.Poller()
        players = [_player(context, port, name) for name in (*_NAMED, *[b""] * (_PLAYERS - len(_NAMED)))]
        due = {player: time.monotonic() + _EVERY_S * random.random() for player in players}
        newcomer = _player(context, port)
        due[newcomer] = time.monotonic()
        for player in due:
            poller.register(player, zmq.POLLIN)
        asked: dict[zmq.Socket[bytes], float] = {}
        connection.send("ready")
        while asked or not connection.poll():
            now = time.monotonic()
            is_over = connection.poll()
            for player, when in list(due.items()):
                if player not in asked and when <= now and not is_over:
                    player.send(request)
                    asked[player] = now
            for player, _ in poller.poll(10):
                answered = b"pred" in player.recv()
                replies, errors = replies + answered, errors + (not answered)
                waits_s.append(time.monotonic() - asked.pop(player))
                due[player] += _EVERY_S
                if player is newcomer:
                    newcomer = _renewed(context, port, poller, due, player)
            for player in [one for one, since in asked.items() if now - since > _LOST_AFTER_S]:
                errors += 1
                waits_s.append(_LOST_AFTER_S)
                del asked[player]
                fresh = _renewed(context, port, poller, due, player)
                newcomer = fresh if player is newcomer else newcomer
        for player in due:
            player.close()
    connection.send(Played(replies, errors, waits_s))


def _player(context: "zmq.Context[zmq.Socket[bytes]]", port: int, name: bytes = b"") -> "zmq.Socket[bytes]":
    player = context.socket(zmq.REQ)
    player.linger = 0
    if name:
        player.routing_id = name
    player.connect(f"tcp://{HOST}:{port}")
    return player


def _renewed(
    context: "zmq.Context[zmq.Socket[bytes]]",
    port: int,
    poller: zmq.Poller,
    due: dict["zmq.Socket[bytes]", float],
    former: "zmq.Socket[bytes]",
) -> "zmq.Socket[bytes]":
    """Replace a client by a nameless one that has to connect."""
    poller.unregister(former)
    fresh = _player(context, port)
    due[fresh] = due.pop(former)
    former.close()
    poller.register(fresh, zmq.POLLIN)
    return fresh


def _attack(connection: Connection, port: int, kind: str) -> None:
    """Open connections under chosen names until told to end; answer how many, and what reached them."""
    names = _names(kind)
    held: deque[socket.socket] = deque()
    count = stolen = 0
    connection.send("ready")
    while not connection.poll():
        for name in itertools.islice(names, 20):
            # A player's name counts as its own at its own address.
            stranger = _stranger(port, name, 1 if name in _NAMED else 2 + count % _ADDRESSES)
            count += 1
            if stranger is not None:
                held.append(stranger)
            if len(held) > _HELD:
                stolen += _messages(held.popleft())
    while held:
        stolen += _messages(held.popleft())
    connection.send(Attacked(count, stolen))


def _names(kind: str) -> Iterator[bytes]:
    """Yield names without end: libzmq's next ones in turn, for a takeover the players' own between them."""
    for number in itertools.count():
        if kind == "takeover" and number % 2:
            yield _NAMED[number // 2 % len(_NAMED)]
        else:
            yield b"\0" + struct.pack(">I", (_FIRST + number % _SPAN) % 2**32)


def _stranger(port: int, name: bytes, address: int) -> socket.socket | None:
    """Connect, greet and introduce oneself in one go; None where the gateway hung up meanwhile."""
    stranger = socket.socket()
    try:
        # It ends with a reset, so that the machine does not run out of ports.
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stranger.settimeout(_LOST_AFTER_S)
        stranger.bind((f"127.0.0.{address}", 0))
        stranger.connect((HOST, port))
        ready = b"\x05READY"
        for key, value in ((b"Socket-Type", b"DEALER"), (b"Identity", name)):
            ready += bytes((len(key),)) + key + struct.pack(">I", len(value)) + value
        stranger.sendall(_GREETING + b"\x04" + bytes((len(ready),)) + ready)
    except OSError:
        stranger.close()
        return None
    return stranger


def _messages(stranger: socket.socket) -> int:
    """Return how many frames of messages have come by a connection, and close it."""
    stranger.setblocking(False)
    received = b""
    with stranger, suppress(OSError):
        while chunk := stranger.recv(65_536):
            received += chunk
    # After the greeting comes a command; whatever follows it was sent to somebody.
    after = received[64:]
    return int(len(after) > 2 and len(after) > 2 + after[1])


@contextmanager
def running_standalone() -> Iterator[tuple[int, Callable[[], set[int]]]]:
    """Start `python -m standalone`; its ZeroMQ port, and what tells the ids of its processes.

    Raises:
        LoadError: it does not become ready.
    """
    names = ("zmq", "tcp", "web", "http", "triton-http", "triton-grpc", "triton-metrics")
    ports = [free_port() for _ in names]
    flags = [f"--{name}-port={port}" for name, port in zip(names, ports, strict=True)]
    with tempfile.TemporaryDirectory(prefix="strangers-") as folder:
        command = [sys.executable, "-m", "standalone", str(TINY), f"--host={HOST}", *flags]
        process = subprocess.Popen(
            [*command, f"--repository={Path(folder, 'repository')}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "NITROGEN_LOG_LEVEL": "error"},
        )
        assert process.stdout is not None
        try:
            if not any(line.startswith(b"ready:") for line in process.stdout):
                raise LoadError("the standalone did not become ready: start it by hand to see why")
            yield ports[0], lambda: {one.pid for one in descendants(process.pid)}
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
            process.stdout.close()


def report(target: str, conditions: Sequence[Condition]) -> str:
    """Return a target's lines of the table."""
    alone = conditions[0].played
    lines = []
    for one in conditions:
        played = one.played
        lines.append(
            f"{target:<12}{one.name:<10}{one.attacked.connections / one.seconds:>14.0f}"
            f"{played.replies:>9}{played.errors:>8}{one.attacked.stolen:>8}{one.deaths:>8}"
            f"{statistics.median(played.waits_s) / statistics.median(alone.waits_s):>13.2f}"
            f"{max(played.waits_s) / max(alone.waits_s):>14.2f}"
        )
    return "\n".join(lines)


def main() -> int:
    """Print the table."""
    parser = measurement_options(__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="length of each attack")
    options = parser.parse_args()
    use_cores(options.cores)
    print(
        f"{'':<12}{'':<10}{'connections/s':>14}{'replies':>9}{'errors':>8}{'stolen':>8}{'deaths':>8}"
        f"{'median ratio':>13}{'longest ratio':>14}"
    )
    found: list[str] = []

    def attack(target: str, zmq_port: int, processes: Callable[[], set[int]]) -> None:
        progress(f"{target}: {1 + len(ATTACKS)} times {options.seconds:g} s")
        conditions = measure(zmq_port, processes, options.seconds)
        print(report(target, conditions), flush=True)
        found.extend(f"{target}, {fault}" for fault in faults(conditions))

    with served_model(TINY) as served:
        for variant in (PLAIN, TWO_WORKERS):
            with running_gateway(served.model, [served.grpc_port], variant) as gateway:
                attack(variant.name or "gateway", gateway.endpoints.zmq, lambda: set(gateway.pids()))
    with running_standalone() as (zmq_port, processes):
        attack("standalone", zmq_port, processes)
    for fault in found:
        print(fault)
    return 1 if found else 0


if __name__ == "__main__":
    run_command(main)
