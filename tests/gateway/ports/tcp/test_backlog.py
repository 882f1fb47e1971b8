"""The backlog of a connection, without one: order, room and turns, whatever happens in between."""

from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.ports.tcp.backlog import AT_ONCE, Backlog

MAX_IN_FLIGHT = 2 * AT_ONCE


class Client(RuleBasedStateMachine):
    """A client whose even requests are answered when the test says so, and whose odd ones at once."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = 0
        self.dropped: set[int] = set()
        self.handed_on: list[int] = []
        self.in_flight: deque[int] = deque()
        self.reads_replies = True
        self.calls: deque[Callable[[], None]] = deque()
        self.turns = 0
        self.backlog = Backlog(self.hand_on, self.has_room, self.note_turn, self.calls.append)

    def has_room(self) -> bool:
        return self.reads_replies and len(self.in_flight) < MAX_IN_FLIGHT

    def hand_on(self, number: int) -> None:
        assert self.has_room()
        self.handed_on.append(number)
        if number % 2:
            # As a session does that has sent a reply.
            self.backlog.pump()
        else:
            self.in_flight.append(number)

    def note_turn(self) -> None:
        self.turns += 1

    def pump(self) -> None:
        before = len(self.handed_on)
        self.backlog.pump()
        assert len(self.handed_on) - before <= AT_ONCE

    @rule(count=st.integers(1, 3 * AT_ONCE))
    def requests_arrive(self, count: int) -> None:
        for number in range(self.arrived, self.arrived + count):
            self.backlog.add(number)
        self.arrived += count
        self.pump()

    @precondition(lambda self: self.in_flight)
    @rule()
    def a_reply_is_sent(self) -> None:
        self.in_flight.popleft()
        self.pump()

    @rule(reads=st.booleans())
    def the_client_reads_its_replies_or_not(self, reads: bool) -> None:
        self.reads_replies = reads
        self.pump()

    @precondition(lambda self: self.calls)
    @rule()
    def the_event_loop_goes_round(self) -> None:
        before = len(self.handed_on)
        self.calls.popleft()()
        assert len(self.handed_on) - before <= AT_ONCE

    @rule()
    def all_that_wait_are_dropped(self) -> None:
        waiting = set(range(self.arrived)) - self.dropped - set(self.handed_on)
        assert self.backlog.clear() == len(waiting)
        self.dropped |= waiting

    @rule()
    def nothing_is_handed_on_while_it_is_held(self) -> None:
        before, turns = list(self.handed_on), self.turns
        with self.backlog.held():
            self.backlog.pump()
        assert (self.handed_on, self.turns) == (before, turns)
        self.pump()
        assert self.turns > turns

    @invariant()
    def each_is_handed_on_once_in_its_order(self) -> None:
        kept = [number for number in range(self.arrived) if number not in self.dropped]
        assert self.handed_on == kept[: len(self.handed_on)]
        assert len(self.backlog) == len(kept) - len(self.handed_on)

    @invariant()
    def what_has_room_does_not_wait_for_the_client(self) -> None:
        assert not (self.backlog and self.has_room()) or self.calls
        assert len(self.calls) <= 1
        assert self.backlog.is_busy == (len(self.backlog) > 0 or not self.has_room())


TestClient = Client.TestCase


def test_a_request_that_fails_does_not_hold_up_those_behind_it() -> None:
    handed_on: list[int] = []

    def hand_on(number: int) -> None:
        handed_on.append(number)
        if number == 0:
            raise ZeroDivisionError

    backlog = Backlog(hand_on, lambda: True, lambda: None, lambda _: None)
    for number in range(3):
        backlog.add(number)
    with pytest.raises(ZeroDivisionError):
        backlog.pump()
    backlog.pump()
    assert handed_on == [0, 1, 2]
