"""Progress in whole lines, for logs."""

import logging
import re

import pytest

from export.progress import LineProgress, duration, size


@pytest.fixture(autouse=True)
def everything_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_lines_tell_how_far_it_is_how_fast_and_how_long_it_will_take(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("export.progress.time.monotonic", lambda: now)
    with LineProgress(total=2_000_000_000, desc="ng.pt", unit="B", unit_scale=True) as progress:
        for _ in range(200):
            now += 0.5
            progress.update(10_000_000)

    lines = caplog.messages
    assert lines[0] == "ng.pt: 10 % of 2 GB, 20 MB/s, about 90 s left"
    assert lines[-2:] == ["ng.pt: 90 % of 2 GB, 20 MB/s, about 10 s left", "ng.pt: 100 % of 2 GB, 20 MB/s"]
    assert len(lines) == 10


def test_slow_work_logs_every_ten_seconds(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("export.progress.time.monotonic", lambda: now)
    with LineProgress(total=1_000_000_000, desc="ng.pt", initial=500_000_000) as progress:
        for _ in range(60):
            now += 1
            progress.update(100_000)

    assert caplog.messages[0] == "ng.pt: 50 % of 1 GB, 100 kB/s, about 83 min left"
    assert len(caplog.messages) == 6


def test_quick_work_may_log_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with LineProgress(total=100, desc="hashing", delay=60) as progress:
        progress.update(100)
    assert caplog.messages == []


def test_a_size_that_is_not_known_is_no_reason_to_be_silent(caplog: pytest.LogCaptureFixture) -> None:
    with LineProgress(desc="ng.pt") as progress:
        progress.update(5_000)
    assert re.fullmatch(r"ng\.pt: 5 kB, .*/s", caplog.messages[0])


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (1.97e9, "1.97 GB")]
)
def test_sizes(count: float, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "about 1 s"), (89, "about 89 s"), (600, "about 10 min"), (7200, "about 2.0 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
