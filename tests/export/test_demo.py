"""The checkpoint word `demo`."""

import shutil
import tempfile
from pathlib import Path

import pytest

from export.checkpoint.demo import demo_checkpoint
from export.checkpoint.source import DEMO, opened_checkpoint
from export.commands.export import run as run_export
from export.errors import CheckpointError
from export.repository.versions import versions
from tests.golden import checkpoint_path


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_it_is_exported_without_a_models_folder_and_found_again(
    tmp_path: Path,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setenv("NITROGEN_CHECKPOINT", "demo")
    (tmp_path / "models").write_text("no folder")
    words = [f"--repository={tmp_path / 'r'}", f"--models-dir={tmp_path / 'models'}", "--steps=1", "--reuse"]

    run_export(words)
    run_export(words)

    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["published", "reused"]
    assert caplog.text.count("this model is UNTRAINED") == 2
    [version] = versions(tmp_path / "r", "nitrogen")
    assert (version.facts.checkpoint_path, version.manifest.checkpoint.origin) == (DEMO, DEMO)
    assert list(temporary.iterdir()) == []


def test_a_file_or_folder_of_this_name_is_given_as_a_path(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("demo").mkdir()
    shutil.copy(checkpoint_path("tiny"), "demo/ng.pt")

    with opened_checkpoint("demo", tmp_path) as source:
        assert source.origin == DEMO
        assert source.path.is_relative_to(temporary)
    with opened_checkpoint("./demo", tmp_path) as source:
        assert source.path == Path("demo/ng.pt")


def test_what_a_killed_process_left_goes_and_what_a_living_one_uses_stays(temporary: Path) -> None:
    abandoned = temporary / "nitrogen-demo-abandoned"
    abandoned.mkdir()
    (abandoned / "ng.pt").write_bytes(b"half of it")

    with demo_checkpoint() as first, demo_checkpoint() as second:
        assert first.read_bytes() == second.read_bytes()
        assert not abandoned.exists()


def test_no_temporary_folder_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(CheckpointError, match=r"No such file or directory.*set TMPDIR"), demo_checkpoint():
        pass
