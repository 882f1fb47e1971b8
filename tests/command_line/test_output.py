"""Output whose encoding lacks a name's characters: escapes, on every command, and no traceback."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import nitrogen_play.__main__
import pytest

import export.__main__
import gateway.__main__
import standalone.__main__


def printed(main: Callable[[], int | None]) -> tuple[int | str | None, str]:
    """The exit code of a command, and what it writes to an output that knows ASCII only, and is strict."""
    written = io.BytesIO()
    out, err = (io.TextIOWrapper(written, encoding="ascii", write_through=True) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code: int | str | None = main()
        except SystemExit as end:
            code = end.code
    text = written.getvalue().decode("ascii")
    return code, text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Mod\xe8le").mkdir()
    return tmp_path / "Mod\xe8le"


def test_export_prints_names_as_escapes(folder: Path) -> None:
    code, text = printed(lambda: export.__main__.main(["list", f"--repository={folder}"]))
    assert (code, text) == (0, f"no published models in {folder.parent}/Mod\\xe8le\n")


@pytest.mark.parametrize("words", [["keys", "{}"], ["render", "{}/no"], ["--triton-key-file={}/no"]])
def test_the_gateways_commands_print_names_as_escapes(folder: Path, words: list[str]) -> None:
    _, text = printed(lambda: gateway.__main__.main([word.format(folder) for word in words]))
    assert "/Mod\\xe8le" in text


@pytest.mark.parametrize("host", ["a..b", "h\udcc3st", "x" * 70 + ".com"])
def test_check_of_a_host_that_cannot_be_one_says_so(host: str) -> None:
    code, text = printed(lambda: gateway.__main__.main(["check", host]))
    assert code == 1
    assert "Traceback" not in text
    assert text.count("is not a valid host name: check it") == 4


def test_the_standalone_prints_names_as_escapes(folder: Path) -> None:
    code, text = printed(lambda: standalone.__main__.main([f"--repository=s3://{folder.name}"]))
    assert code == 2
    assert "s3://Mod\\xe8le" in text


def test_nitrogen_play_prints_names_as_escapes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["nitrogen-play", "replay", str(folder), "--retro=G"])
    code, text = printed(nitrogen_play.__main__.main)
    assert code
    assert "/Mod\\xe8le" in text


def test_names_that_are_no_text_at_all_are_escapes(tmp_path: Path) -> None:
    """In a C locale, where every character beyond ASCII is half of a surrogate pair to Python."""
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "keys", os.fsencode(tmp_path) + b"/Mod\xc3\xa8le\xff"],
        capture_output=True,
        env=environment,
        check=True,
    )
    assert done.stdout.endswith(b"/Mod\\udcc3\\udca8le\\udcff\n")
