"""Frame contexts, and the store that bounds them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from contract.tensors import FRAME_BYTES
from gateway.contexts import Context, ContextStore
from gateway.protocol.messages import MemoryNoise


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.binary(min_size=1, max_size=1)), st.integers(1, 6))
def test_a_context_gives_the_last_frames_and_keeps_one_less(frames: list[bytes], context_length: int) -> None:
    context = Context()
    for index, frame in enumerate(frames):
        seen = context.append("nitrogen", frame, context_length)
        assert seen == tuple(frames[max(0, index + 1 - context_length) : index + 1])
        assert len(context) == min(index + 1, context_length - 1)


def test_a_context_shrinks_with_its_model() -> None:
    context = Context()
    for frame in (b"a", b"b", b"c"):
        context.append("nitrogen", frame, 4)
    assert context.append("nitrogen", b"d", 2) == (b"c", b"d")
    assert len(context) == 1


def test_a_context_is_of_one_model_and_begins_anew_with_each_switch() -> None:
    context = Context()
    assert context.append("nitrogen", b"a", 3) == (b"a",)
    assert context.append("nitrogen-fast", b"b", 3) == (b"b",)
    assert context.append("nitrogen-fast", b"c", 3) == (b"b", b"c")
    assert context.append("nitrogen", b"d", 3) == (b"d",)


def test_reset_forgets() -> None:
    context = Context()
    context.append("nitrogen", b"a", 3)
    context.reset()
    assert context.append("nitrogen", b"b", 3) == (b"b",)


def test_noise_is_of_one_model_until_a_reset() -> None:
    context, random = Context(), np.random.default_rng(1)

    def noise() -> NDArray[np.float32]:
        return context.noise.next(MemoryNoise(1), 18, random)

    context.append("nitrogen", b"a", 1)
    first = noise()
    context.append("nitrogen", b"b", 1)
    assert np.array_equal(noise(), first)
    context.append("nitrogen-fast", b"c", 1)
    assert not np.array_equal(noise(), first)
    first = noise()
    context.reset()
    assert not np.array_equal(noise(), first)


def test_each_client_has_its_own_context() -> None:
    store = ContextStore(10, 600, Clock())
    assert store.get(b"1") is store.get(b"1")
    assert store.get(b"1") is not store.get(b"2")


def test_the_clients_behind_one_key_are_bounded_and_are_nobody_elses() -> None:
    store = ContextStore(10, 600, Clock(), max_per_key=2)
    other = store.get(b"other")
    first, second = store.get(b"1", (b"a",)), store.get(b"1", (b"b",))
    assert store.get(b"1", (b"a",)) is first
    store.get(b"1", (b"c",))
    assert store.paths(b"1") == [(b"a",), (b"c",)]
    assert store.get(b"1", (b"b",)) is not second
    assert store.get(b"other") is other
    for path in store.paths(b"1"):
        store.drop(b"1", path)
    assert len(store) == 1
    assert store.paths(b"1") == []


def test_the_least_recently_used_goes_first() -> None:
    store = ContextStore(2, 600, Clock())
    first, second = store.get(b"1"), store.get(b"2")
    store.get(b"1")
    store.get(b"3")
    assert len(store) == 2
    assert store.get(b"1") is first
    assert store.get(b"2") is not second


@pytest.mark.parametrize(("idle_s", "kept"), [(599.0, True), (600.0, False)])
def test_an_idle_context_goes(idle_s: float, kept: bool) -> None:
    clock = Clock()
    store = ContextStore(10, 600, clock)
    context = store.get(b"1")
    clock.now = idle_s
    assert (store.get(b"1") is context) == kept


def test_use_keeps_a_context_and_the_others_are_dropped() -> None:
    clock = Clock()
    store = ContextStore(10, 600, clock)
    kept = store.get(b"1")
    store.get(b"2")
    clock.now = 400
    store.get(b"1")
    clock.now = 800
    assert store.get(b"1") is kept
    assert len(store) == 1


def test_a_context_does_not_keep_the_message_that_a_frame_came_in() -> None:
    message = bytes(10 * FRAME_BYTES)
    context = Context()
    kept = context.append("nitrogen", memoryview(message)[:FRAME_BYTES], 3)
    assert isinstance(kept[0], bytes)
    seen_once = Context().append("nitrogen", memoryview(message)[:FRAME_BYTES], 1)
    assert isinstance(seen_once[0], memoryview)
