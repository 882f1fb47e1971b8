"""A client's noise against a naive restatement of what it is."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gateway.client_noise import UNKNOWN_HORIZON, ClientNoise
from gateway.protocol.messages import MemoryNoise, TickNoise

HORIZON = 18
Rows = NDArray[np.float32]


class NaiveNoise:
    """The same, row by row, of one horizon; it forgets nothing."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._z: list[Rows] = []
        self._stream: dict[int, Rows] = {}
        self._last: int | None = None

    def _row(self) -> Rows:
        return self._random.standard_normal(25, dtype=np.float32)

    def with_memory(self, memory: float, horizon: int) -> Rows:
        if not self._z:
            self._z = [self._row() for _ in range(horizon)]
        elif memory < 1:
            self._z = [memory * row + math.sqrt(1 - memory**2) * self._row() for row in self._z]
        self._last = None
        return np.array(self._z, np.float32)

    def by_tick(self, tick: int, horizon: int) -> Rows:
        if self._last is None or tick < self._last or tick > self._last + horizon:
            self._stream.clear()
        self._last = tick
        for row in range(tick, tick + horizon):
            if row not in self._stream:
                self._stream[row] = self._row()
        self._z = [self._stream[row] for row in range(tick, tick + horizon)]
        return np.array(self._z)


NOISES = st.lists(
    st.builds(MemoryNoise, st.sampled_from([0.0, 0.5, 0.9, 1.0])) | st.builds(TickNoise, st.integers(0, 60)),
    max_size=12,
)


@given(NOISES, st.integers(1, 20), st.integers(0, 1000))
def test_chunks_have_the_noise_of_a_naive_restatement(
    noises: list[MemoryNoise | TickNoise], horizon: int, seed: int
) -> None:
    noise, random, naive = ClientNoise(), np.random.default_rng(seed), NaiveNoise(seed)
    for wanted in noises:
        rows = noise.next(wanted, horizon, random)
        if isinstance(wanted, MemoryNoise):
            expected = naive.with_memory(wanted.memory, horizon)
        else:
            expected = naive.by_tick(wanted.tick, horizon)
        assert rows.dtype == np.float32
        np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-6)


@given(st.lists(st.integers(0, 60), min_size=2, max_size=12), st.integers(1, 20))
def test_ticks_that_overlap_agree_and_others_do_not(ticks: list[int], horizon: int) -> None:
    noise, random = ClientNoise(), np.random.default_rng(1)
    before = noise.next(TickNoise(ticks[0]), horizon, random)
    for last, tick in itertools.pairwise(ticks):
        rows = noise.next(TickNoise(tick), horizon, random)
        shift = tick - last
        if 0 <= shift < horizon:
            np.testing.assert_array_equal(rows[: horizon - shift], before[shift:])
        else:
            assert not np.isin(rows, before).any()
        before = rows


@pytest.mark.parametrize("memory", [0, 0.5, 0.9, 0.999, 1])
def test_each_chunk_is_normal_and_as_close_to_the_one_before_as_was_asked(memory: float) -> None:
    random = np.random.default_rng(2)
    clients = [ClientNoise() for _ in range(300)]
    before = np.array([client.next(MemoryNoise(memory), HORIZON, random) for client in clients])
    for _ in range(8):
        rows = np.array([client.next(MemoryNoise(memory), HORIZON, random) for client in clients])
        assert_normal(rows)
        assert np.mean(rows * before) == pytest.approx(memory, abs=0.02)
        before = rows


def test_each_chunk_by_tick_is_normal() -> None:
    random = np.random.default_rng(3)
    clients = [ClientNoise() for _ in range(300)]
    for tick in (0, 3, 3, 11, 29, 70, 5):
        assert_normal(np.array([client.next(TickNoise(tick), HORIZON, random) for client in clients]))


def assert_normal(rows: Rows) -> None:
    """Whether (clients, H, 25) values have the moments of N(0, I), over clients, rows and columns."""
    assert np.mean(rows) == pytest.approx(0, abs=0.02)
    assert np.mean(rows**2) == pytest.approx(1, abs=0.02)
    assert np.mean(rows**4) == pytest.approx(3, abs=0.15)
    assert np.abs(np.corrcoef(rows.reshape(len(rows), -1)[:, :50].T) - np.eye(50)).max() < 0.3
    assert np.mean(rows[:, 1:] * rows[:, :-1]) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("noise", [MemoryNoise(1), TickNoise(5)])
def test_another_horizon_begins_again(noise: MemoryNoise | TickNoise) -> None:
    kept, random = ClientNoise(), np.random.default_rng(4)
    first = kept.next(noise, 18, random)
    assert first.shape == (18, 25)
    for horizon in (16, 18, 24):
        rows = kept.next(noise, horizon, random)
        assert rows.shape == (horizon, 25)
        assert not np.isin(rows, first).any()
        np.testing.assert_array_equal(kept.next(noise, horizon, random), rows)


@pytest.mark.parametrize("noise", [MemoryNoise(1), TickNoise(5)])
def test_before_the_horizon_is_known_there_are_rows_enough(noise: MemoryNoise | TickNoise) -> None:
    kept, random = ClientNoise(), np.random.default_rng(5)
    first = kept.next(noise, None, random)
    assert first.shape == (UNKNOWN_HORIZON, 25)
    np.testing.assert_array_equal(kept.next(noise, None, random), first)
    np.testing.assert_array_equal(kept.next(noise, 18, random), first[:18])
    np.testing.assert_array_equal(kept.next(noise, 18, random), first[:18])


def test_a_horizon_beyond_what_was_foreseen_begins_again() -> None:
    kept, random = ClientNoise(), np.random.default_rng(6)
    kept.next(MemoryNoise(1), None, random)
    assert kept.next(MemoryNoise(1), 300, random).shape == (300, 25)
