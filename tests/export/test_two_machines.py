"""Exports of several machines into one network volume, whose folder locks are each machine's own."""

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from export import folder_lock, pulse
from export.checkpoint.digest import file_sha256
from export.errors import RepositoryError
from export.folder_lock import LOCK_NAME, locked
from export.pulse import Pulse
from export.repository.partials import ABANDONED_S, PULSE_NAME
from export.repository.served import changing, history, served_number
from export.repository.versions import new_version, read_config, versions
from tests.export.light_versions import MODEL, NAME, publish_light, write_light

# Publishes a version for each further argument, with as many steps, and halts while it writes one of 9 steps.
_PUBLISH = """
import os, signal, sys
from pathlib import Path
from export.repository.versions import new_version
from tests.export.light_versions import NAME, write_light
for steps in map(int, sys.argv[2:]):
    with new_version(Path(sys.argv[1]), NAME) as new:
        write_light(new, steps)
        if steps == 9:
            os.kill(os.getpid(), signal.SIGSTOP)
"""

ElsewherePulse = Callable[[Path], Pulse]


def publisher(repository: Path, *steps: int) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", _PUBLISH, str(repository), *map(str, steps)]
    return subprocess.Popen(words)


def wait_until_halted(process: subprocess.Popen[bytes]) -> None:
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    (tmp_path / NAME).mkdir()
    return tmp_path / NAME


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> ElsewherePulse:
    """Makes a pulse as on a machine that has booted another time; its end is told by a second of silence."""
    other = tmp_path_factory.mktemp("elsewhere") / "boot_id"
    other.write_text("00000000-0000-4000-8000-000000000000\n", encoding="ascii")
    monkeypatch.setattr(pulse, "BEAT_S", 0.05)
    monkeypatch.setattr(pulse, "SILENCE_S", 1.0)
    monkeypatch.setattr(folder_lock, "_SETTLE_S", 0.1)

    def make(path: Path) -> Pulse:
        with monkeypatch.context() as patch:
            patch.setattr(pulse, "_BOOT_ID", other)
            return Pulse(path)

    return make


def end(ended: Pulse) -> None:
    """Leave a pulse as a killed process does: it is there, and does not beat."""
    ended._closing.set()
    ended._thread.join()


def partial(model_folder: Path, make: ElsewherePulse) -> tuple[Path, Pulse]:
    """Return what another machine writes, by its clock more than a quarter of an hour ago."""
    folder = model_folder / ".1.0123456789abcdef.partial"
    folder.mkdir()
    made = make(folder / PULSE_NAME)
    status = folder.stat()
    for path in (folder / PULSE_NAME, folder):
        os.utime(path, (status.st_atime, status.st_mtime - ABANDONED_S - 60))
    return folder, made


def test_a_lock_that_another_machine_holds_is_waited_for(
    model_folder: Path, elsewhere: ElsewherePulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = elsewhere(model_folder / LOCK_NAME)
    told: list[str] = []

    class Release(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())
            held.close()

    monkeypatch.setattr(folder_lock.logger, "handlers", [Release()])
    monkeypatch.setattr(folder_lock.logger, "level", logging.INFO)
    with locked(model_folder) as lock:
        assert told == [f"another machine is changing {model_folder}: waiting for it"]
        assert lock.is_whole
    assert list(model_folder.iterdir()) == []


def test_a_lock_whose_machine_has_died_is_taken_over(model_folder: Path, elsewhere: ElsewherePulse) -> None:
    held = elsewhere(model_folder / LOCK_NAME)
    end(held)
    with locked(model_folder) as lock:
        assert (lock.is_whole, held.is_whole) == (True, False)
    assert list(model_folder.iterdir()) == []


def test_a_machine_that_was_halted_while_it_had_the_lock_changes_nothing_more(
    tmp_path: Path, elsewhere: ElsewherePulse
) -> None:
    for steps in (1, 2):
        publish_light(tmp_path, steps)
    with changing(tmp_path, NAME) as serve:
        taken = elsewhere(tmp_path / NAME / "next")
        taken.replace(tmp_path / NAME / LOCK_NAME)
        with pytest.raises(
            RepositoryError, match=r"another machine took over .* while this process was halted"
        ):
            serve(1, None)
    assert taken.is_whole
    assert (served_number(tmp_path, NAME), history(tmp_path, NAME)) == (2, [1, 2])


def test_what_another_machine_writes_stays_also_when_its_clock_is_behind(
    model_folder: Path, elsewhere: ElsewherePulse
) -> None:
    folder, living = partial(model_folder, elsewhere)
    assert publish_light(model_folder.parent, 1) == 2
    assert folder.is_dir()
    living.close()


def test_what_a_dead_machine_left_goes_after_a_quarter_of_an_hour(
    model_folder: Path, elsewhere: ElsewherePulse
) -> None:
    folder, dead = partial(model_folder, elsewhere)
    end(dead)
    assert publish_light(model_folder.parent, 1) == 1
    assert not folder.exists()


def test_what_a_machine_left_that_may_be_halted_only_stays(
    model_folder: Path, elsewhere: ElsewherePulse
) -> None:
    folder, halted = partial(model_folder, elsewhere)
    end(halted)
    os.utime(folder)
    assert publish_light(model_folder.parent, 1) == 2
    assert folder.is_dir()


def test_what_a_killed_export_of_this_machine_left_goes_at_once_but_not_a_halted_ones(tmp_path: Path) -> None:
    halted, killed = publisher(tmp_path, 9), publisher(tmp_path, 9)
    for process in (halted, killed):
        wait_until_halted(process)
    killed.kill()
    killed.wait()
    assert len(list((tmp_path / NAME).glob(".*.partial"))) == 2

    publish_light(tmp_path, 1)
    assert len(list((tmp_path / NAME).glob(".*.partial"))) == 1
    halted.send_signal(signal.SIGCONT)
    assert halted.wait(60) == 0
    assert sorted(version.manifest.made.steps for version in versions(tmp_path, NAME)) == [1, 9]


def publish_after(repository: Path, meanwhile: Callable[[Path], None], wanted: int | None = None) -> int:
    """Publish a version, with something that happens after its folder is complete."""
    with new_version(repository, NAME, wanted) as new:
        write_light(new, 1)
        meanwhile(new.folder)
    return new.number


def test_a_number_that_another_machine_took_meanwhile_becomes_the_next(tmp_path: Path) -> None:
    def take(number: int) -> None:
        folder = tmp_path / NAME / str(number)
        folder.mkdir()
        (folder / "model.py").write_text("another's")

    assert publish_after(tmp_path, lambda _: take(1)) == 2
    assert served_number(tmp_path, NAME) == 2
    config = read_config(tmp_path / NAME / "2" / "config.pbtxt")
    assert list(config.version_policy.specific.versions) == [2]
    with pytest.raises(RepositoryError, match=r"another export has published .*/3 meanwhile: --force repl"):
        publish_after(tmp_path, lambda _: take(3), 3)
    for number in (1, 3):
        assert (tmp_path / NAME / str(number) / "model.py").read_text() == "another's"


def test_a_file_that_does_not_fit_its_manifest_is_not_published(tmp_path: Path) -> None:
    def change(folder: Path) -> None:
        (folder / "model.py").write_text(MODEL.replace("execute", "EXECUTE"))

    with pytest.raises(RepositoryError, match=r"model.py changed after it was checked: nothing is published"):
        publish_after(tmp_path, change)
    assert list((tmp_path / NAME).iterdir()) == []


def test_an_export_whose_folder_is_removed_says_so(tmp_path: Path) -> None:
    def remove(folder: Path) -> None:
        shutil.rmtree(folder)
        raise RuntimeError("Parent directory does not exist.")  # as PyTorch's writer says it

    with pytest.raises(RepositoryError, match="was removed while this export wrote into it; nothing is publ"):
        publish_after(tmp_path, remove)


@pytest.fixture
def two_mounts(tmp_path: Path) -> Iterator[tuple[Path, Path, Path]]:
    """One folder, and two mounts of it that do not share locks."""
    real, *mounts = (tmp_path / name for name in ("real", "a", "b"))
    real.mkdir()
    try:
        for mount in mounts:
            mount.mkdir()
            subprocess.run(["bindfs", real, mount], check=True)
        yield real, mounts[0], mounts[1]
    finally:
        for mount in mounts:
            subprocess.run(["umount", mount], check=True)


@pytest.mark.mounts
def test_exports_through_two_mounts_all_end_well(two_mounts: tuple[Path, Path, Path]) -> None:
    real, here, there = two_mounts
    halted = publisher(here, 9, 1, 2, 3)
    wait_until_halted(halted)
    other = publisher(there, 9, 4, 5, 6)
    wait_until_halted(other)
    publish_light(there, 7)
    for process in (halted, other):
        process.send_signal(signal.SIGCONT)
    assert [process.wait(120) for process in (halted, other)] == [0, 0]

    found = versions(real, NAME)
    assert [version.number for version in found] == list(range(1, 10))
    assert sorted(version.manifest.made.steps for version in found) == [1, 2, 3, 4, 5, 6, 7, 9, 9]
    for version in found:
        assert file_sha256(version.folder / "model.py") == version.manifest.files["model.py"].sha256
        config = read_config(version.folder / "config.pbtxt")
        assert list(config.version_policy.specific.versions) == [version.number]
    assert sorted(history(real, NAME)) == list(range(1, 10))
    assert served_number(real, NAME) == history(real, NAME)[-1]
    assert [path.name for path in (real / NAME).glob(".*")] == []
