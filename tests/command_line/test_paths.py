"""Paths as users give them, and where each command takes them."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import export.__main__
import gateway.__main__
import standalone.__main__
from command_line.paths import PathError, local_path, repository_path
from export.errors import OptionError
from export.flags import add_models_dir, checkpoint_name, model_path, parse, taken_from_environment

_COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "export": export.__main__.main,
    "gateway": gateway.__main__.main,
    "standalone": standalone.__main__.main,
}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("models", "models"),
        ("./s3:/models", "s3:/models"),
        ("/srv/a b", "/srv/a b"),
        ("~/models", "/home/player/models"),
        ("~", "/home/player"),
        ("file:///srv/a%20b", "/srv/a b"),
        ("file://localhost/srv", "/srv"),
        ("FILE:/srv", "/srv"),
        ("a$b", "a$b"),
    ],
)
def test_paths_of_this_machine_are_understood(text: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/player")
    assert local_path(text) == repository_path(text) == Path(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not a path"),
        ("file://server/share", "a file of another machine"),
        ("https://host/models", "is an address, but a path of this machine is needed"),
        ("hdfs://host/models", "is an address"),
        ("C:\\models", r"a Windows path: WSL has that drive as /mnt/c"),
        ("d:/models", r"a Windows path: WSL has that drive as /mnt/d"),
        ("\\\\server\\share", "a Windows path: mount the share"),
        ("$HOME/models", "a variable that the shell did not replace"),
        ("${DATA}", "a variable that the shell did not replace"),
        ("%USERPROFILE%\\models", "a variable that the shell did not replace"),
        ("~nobody-of-this-name/models", "a home folder that does not exist"),
    ],
)
def test_paths_of_elsewhere_are_refused(text: str, message: str) -> None:
    for read in (local_path, repository_path):
        with pytest.raises(PathError, match=message):
            read(text)


@pytest.mark.parametrize(
    ("address", "command"),
    [
        ("s3://bucket/models", "aws s3 sync DIR s3://bucket/models"),
        (
            "s3://https://minio:9000/bucket/models",
            "aws s3 sync DIR s3://bucket/models --endpoint-url https://minio:9000",
        ),
        ("gs://bucket/models", "gcloud storage rsync --recursive DIR gs://bucket/models"),
        ("as://account/box/models", "azcopy sync DIR https://account.blob.core.windows.net/box/models"),
    ],
)
def test_object_stores_are_refused_with_the_way_that_works(address: str, command: str) -> None:
    with pytest.raises(PathError) as refused:
        repository_path(address)
    assert f"copy it ({command}), and start Triton with --model-repository={address}" in str(refused.value)
    with pytest.raises(PathError) as refused:
        local_path(address)
    assert command in str(refused.value)


def test_a_checkpoint_may_be_a_path_an_id_or_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/player")
    for text in ("nvidia/NitroGen@main", "demo", "./demo", "ng.pt", "https://host/ng.pt"):
        assert checkpoint_name(text) == text
    assert checkpoint_name("~/ng.pt") == "/home/player/ng.pt"
    assert checkpoint_name("file:///srv/ng.pt") == "/srv/ng.pt"


def test_a_name_that_pytorch_cannot_open_is_refused() -> None:
    with pytest.raises(PathError, match=r"'models\\udce8' is not UTF-8, and PyTorch cannot open it"):
        model_path("models\udce8")


def test_a_variable_is_named() -> None:
    parser = argparse.ArgumentParser()
    taken_from_environment([add_models_dir(parser)], {"NITROGEN_MODELS_DIR": "gs://bucket"})
    with pytest.raises(OptionError, match=r"^NITROGEN_MODELS_DIR: 'gs://bucket' is in an object store"):
        parse(parser, [])


@pytest.mark.parametrize(
    "words",
    [
        ["export", "--repository=s3://bucket/models"],
        ["export", "list", "--repository=s3://bucket/models"],
        ["export", "--repository=models", "--lora=s3://bucket/models"],
        ["standalone", "--repository=s3://bucket/models"],
        ["standalone", "--models-dir=s3://bucket/models"],
        ["gateway", "--record=s3://bucket/models"],
        ["gateway", "--curve-keys=s3://bucket/models"],
        ["gateway", "keys", "s3://bucket/models"],
        ["gateway", "render", "s3://bucket/models"],
        ["gateway", "check", "--server-key=s3://bucket/models"],
    ],
    ids=" ".join,
)
def test_every_command_refuses_an_object_store(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        sys.exit(_COMMANDS[words[0]](words[1:]))
    assert exit_.value.code == 2
    assert "'s3://bucket/models' is in an object store" in capsys.readouterr().err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
