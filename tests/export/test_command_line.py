"""`python -m export` as a user runs it."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from export.writable import advice
from tests.golden import checkpoint_path
from tests.stack import free_port

LIMIT_FILE_SIZE = (
    "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
)
RUN_EXPORT = "sys.argv[0] = 'export'; runpy.run_module('export', run_name='__main__', alter_sys=True)"


# Root may write everywhere: without this capability it is a user like any other.
UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


def run(
    *arguments: str, cwd: Path, before: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_it_publishes_and_says_where(tmp_path: Path) -> None:
    checkpoint = str(checkpoint_path("tiny"))

    done = run("-m", "export", checkpoint, "--repository", "repository", "--steps", "1", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (0, "published repository/nitrogen/1\n"), done.stderr
    assert "checked against the float32 network" in done.stderr
    assert (tmp_path / "repository" / "nitrogen" / "1" / "model.pt").is_file()


def test_a_strict_umask_is_told_for_a_triton_of_another_user(tmp_path: Path) -> None:
    words = ("-m", "export", str(checkpoint_path("tiny")), "--repository", "repository", "--steps", "1")
    done = run(*words, cwd=tmp_path, before=("sh", "-c", 'umask 077 && exec "$@"', "sh"))

    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == (
        "only this user can read all of repository/nitrogen/1, so a Triton of another user, as in a "
        "container, cannot load it: run chmod -R go+rX repository"
    )


def test_an_error_is_one_sentence(tmp_path: Path) -> None:
    done = run("-m", "export", "nowhere.pt", "--repository", "repository", cwd=tmp_path)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "nitrogen-export: no checkpoint 'nowhere.pt': give the path of a file, "
        "of a folder with an ng.pt in it (both are also looked for in models), or a Hugging Face id "
        "(owner/name or owner/name@revision, such as nvidia/NitroGen)"
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--steps", "0"), ("--version", "x"), ("--device-kind", "tpu"), ("--cfg-scale", "much")],
)
def test_a_wrong_flag_is_named(tmp_path: Path, flag: str, value: str) -> None:
    done = run("-m", "export", "ng.pt", "--repository", "r", flag, value, cwd=tmp_path)

    assert done.returncode == 2
    assert f"argument {flag}" in done.stderr


@pytest.mark.parametrize(
    ("flag", "problem", "other"),
    [
        (
            "--repository",
            "the version cannot be written into {}/nitrogen: Permission denied; ",
            "--repository",
        ),
        ("--models-dir", "cannot use {}/nvidia (Permission denied): ", "NITROGEN_MODELS_DIR"),
    ],
)
def test_a_folder_that_may_not_be_written_is_told_before_anything_is_downloaded(
    tmp_path: Path, flag: str, problem: str, other: str
) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir(mode=0o555)
    hub = f"http://127.0.0.1:{free_port()}"  # where nobody listens: asking it would be another error

    done = run(
        "-m",
        "export",
        "--repository=r",
        f"{flag}={folder}",
        cwd=tmp_path,
        before=(*UNPRIVILEGED,),
        HF_ENDPOINT=hub,
    )

    assert done.returncode == 1
    sentence = done.stderr.splitlines()[-1]
    assert sentence.startswith(f"nitrogen-export: {problem.format(folder)}")
    assert f"it is write-protected: chmod -R u+w {folder}, or" in sentence
    assert sentence.rstrip(")").endswith(other)


def test_a_folder_whose_mode_is_not_the_reason_is_told_with_chown(tmp_path: Path) -> None:
    user, group = os.geteuid(), os.getegid()
    assert advice(PermissionError(errno.EACCES, "Permission denied", str(tmp_path)), "choose another") == (
        f"this process runs as user {user}: let it write there (chown -R {user}:{group} {tmp_path}, "
        "for a mounted folder on the host), or choose another"
    )


@pytest.mark.parametrize("checkpoint", ["ng.pt", "mine/ng.pt", "mine", "."])
def test_a_models_folder_that_cannot_be_read(tmp_path: Path, checkpoint: str) -> None:
    models = tmp_path / "models"
    (models / "mine").mkdir(parents=True)
    models.chmod(0)

    done = run(
        *("-m", "export", "--repository=r", str(models / checkpoint)), cwd=tmp_path, before=(*UNPRIVILEGED,)
    )

    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"nitrogen-export: {models}")
    assert f"cannot be read: Permission denied; this process runs as user {os.geteuid()}" in said


def test_a_repository_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir(mode=0)

    done = run("-m", "export", "list", "--repository=r", cwd=tmp_path, before=(*UNPRIVILEGED,))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "nitrogen-export: r cannot be read: Permission denied; this process runs as user"
    )


def test_an_error_names_the_variables_that_led_to_it(tmp_path: Path) -> None:
    done = run("-m", "export", "--repository=r", cwd=tmp_path, NITROGEN_CHECKPOINT="nowhere.pt")

    assert done.returncode == 1
    first, *_, last = done.stderr.splitlines()
    assert first == "from the environment: NITROGEN_CHECKPOINT=nowhere.pt"
    assert last.startswith("nitrogen-export: no checkpoint 'nowhere.pt': give the path of a file")
    assert last.endswith("(from the environment: NITROGEN_CHECKPOINT=nowhere.pt)")


def test_a_wrong_variable_is_one_sentence(tmp_path: Path) -> None:
    done = run("-m", "export", "--repository=r", cwd=tmp_path, NITROGEN_STEPS="few")

    assert (done.returncode, done.stderr) == (
        1,
        "nitrogen-export: NITROGEN_STEPS is 'few', but a whole number above 0 is needed\n",
    )


def test_a_full_disk_publishes_nothing(tmp_path: Path) -> None:
    # A limit on the size of files stands in for the end of the disk: the write fails in the same place.
    checkpoint = str(checkpoint_path("tiny"))
    words = ("-c", LIMIT_FILE_SIZE + RUN_EXPORT, checkpoint, "--repository", "repository")

    # Coverage, which could not write its own file, does not measure it.
    done = run(*words, cwd=tmp_path, COVERAGE_PROCESS_CONFIG="")

    assert done.returncode == 1, done.stderr
    assert "cannot be written" in done.stderr.splitlines()[-1]
    assert list((tmp_path / "repository" / "nitrogen").iterdir()) == []


def test_repeated_interrupts_leave_nothing_in_the_repository(tmp_path: Path) -> None:
    """An impatient hand, or a terminal and a parent process that both send one."""
    command = [sys.executable, "-m", "export", str(checkpoint_path("tiny")), f"--repository={tmp_path}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as export:
        assert export.stderr is not None
        while "saving" not in export.stderr.readline():
            pass
        while export.poll() is None:
            export.send_signal(signal.SIGINT)
        assert export.stderr.read().splitlines()[-1] == "nitrogen-export: interrupted"
    assert export.returncode == 130
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
