"""Attacks by pickle: each is answered with an error, runs nothing, and costs about what its bytes cost."""

import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from gateway.errors import RequestError, UnsafePickleError
from gateway.protocol.formats.pickle_format import decode_request
from tests.gateway.protocol.formats.crooked_pickles import ATTACKS, CROOKED
from tests.gateway.protocol.formats.gadgets import LIVE, REFUSED
from tests.gateway.protocol.formats.pickle_parts import within_a_request
from tests.paths import ROOT
from tests.patience import WITHIN_S


@pytest.fixture(autouse=True)
def nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Live gadgets leave a file in the working directory."""
    monkeypatch.chdir(tmp_path)


def test_the_table_has_what_is_known() -> None:
    assert len(LIVE) >= 30
    assert len(LIVE | REFUSED) >= 80
    assert len(ATTACKS) == len(LIVE) + len(REFUSED) + len(CROOKED)


@pytest.mark.parametrize("form", ["alone", "within a request"])
@pytest.mark.parametrize("name", [*LIVE, *REFUSED])
def test_a_gadget_is_refused_and_runs_nothing(name: str, form: str, tmp_path: Path) -> None:
    data = ATTACKS[name] if form == "alone" else within_a_request(ATTACKS[name])
    with pytest.raises(UnsafePickleError):
        decode_request(data)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", CROOKED)
def test_crooked_data_is_refused(name: str) -> None:
    with pytest.raises(RequestError):
        decode_request(CROOKED[name])


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_costs_little_memory_and_time(name: str) -> None:
    for data in (ATTACKS[name], within_a_request(ATTACKS[name])):
        tracemalloc.start()
        started = time.process_time()
        try:
            with pytest.raises(RequestError) as caught:
                decode_request(data)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert time.process_time() - started < 5
        assert peak < 2 * 2**20 + 8 * len(data)
        assert len(str(caught.value)) < 600


_UNPICKLE_EACH = """
import os, pickle, sys
from pathlib import Path
from tests.gateway.protocol.formats.gadgets import LIVE
for number, data in enumerate(LIVE.values()):
    folder = Path(sys.argv[1], str(number))
    folder.mkdir()
    os.chdir(folder)
    if os.fork() == 0:
        try:
            pickle.loads(data)
        finally:
            os._exit(0)
    os.wait()
"""


def test_the_live_gadgets_work_on_pythons_own_unpickler(tmp_path: Path) -> None:
    """Otherwise it would show nothing that they are refused."""
    command = [sys.executable, "-c", _UNPICKLE_EACH, str(tmp_path)]
    subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
    deadline = time.monotonic() + WITHIN_S
    dead = dict(enumerate(LIVE))
    while dead and time.monotonic() < deadline:
        dead = {number: name for number, name in dead.items() if not any((tmp_path / str(number)).iterdir())}
        time.sleep(0.02)
    assert list(dead.values()) == []
