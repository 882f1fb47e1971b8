"""`nitrogen-gateway keys`: the files it makes, and what it says."""

import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq
from zmq.auth import load_certificate, load_certificates

from gateway.__main__ import main


def keys(*words: str | Path) -> int:
    return main(["keys", *map(str, words)])


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_gateways_pair_is_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "some" / "keys"
    assert keys(folder) == 0
    assert f"--curve-keys {folder}" in capsys.readouterr().out
    made = contents(folder)
    assert sorted(made) == ["server.key", "server.key_secret"]
    public, secret = load_certificate(folder / "server.key_secret")
    assert secret is not None
    assert zmq.curve_public(secret) == public == load_certificate(folder / "server.key")[0]
    assert keys(folder) == 0
    assert "already" in capsys.readouterr().out
    assert contents(folder) == made


def test_a_clients_public_key_lies_where_the_gateway_looks_and_its_secret_elsewhere(tmp_path: Path) -> None:
    assert keys(tmp_path / "keys", "--client", "alice") == 0
    assert keys(tmp_path / "keys", "--client", "bob-2.home") == 0
    made = contents(tmp_path / "keys")
    assert sorted(made) == [
        "clients/alice.key",
        "clients/bob-2.home.key",
        "secrets/alice.key_secret",
        "secrets/bob-2.home.key_secret",
        "server.key",
        "server.key_secret",
    ]
    public, secret = load_certificate(tmp_path / "keys" / "secrets" / "alice.key_secret")
    assert secret is not None
    assert zmq.curve_public(secret) == public
    assert public in load_certificates(tmp_path / "keys" / "clients")


def test_secrets_are_for_their_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        assert keys(tmp_path / "keys", "--client", "alice") == 0
    finally:
        os.umask(old)
    for name in ("", "clients", "secrets"):
        assert mode(tmp_path / "keys" / name) == 0o700
    assert mode(tmp_path / "keys" / "server.key_secret") == 0o600
    assert mode(tmp_path / "keys" / "secrets" / "alice.key_secret") == 0o600


def test_no_secret_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys(tmp_path / "keys", "--client", "alice") == 0
    assert keys(tmp_path / "keys", "--client", "alice") == 1
    said = "".join(capsys.readouterr())
    for path in (tmp_path / "keys").rglob("*.key_secret"):
        _, secret = load_certificate(path)
        assert secret is not None
        assert secret.decode() not in said


def test_a_client_is_told_its_files_and_its_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys(tmp_path / "keys", "--client", "alice") == 0
    said = capsys.readouterr().out
    assert str(tmp_path / "keys" / "secrets" / "alice.key_secret") in said
    assert str(tmp_path / "keys" / "server.key") in said
    lines = [line.strip() for line in said.splitlines() if line.strip().startswith("socket.")]
    assert len(lines) == 3


def test_the_lines_for_a_client_are_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keys(tmp_path / "keys", "--client", "alice") == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if "load_certificate" in line]
    for name in ("secrets/alice.key_secret", "server.key"):
        (tmp_path / Path(name).name).write_bytes((tmp_path / "keys" / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        exec("\n".join(lines), {"socket": socket, "zmq": zmq})
        assert socket.mechanism == zmq.CURVE


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../a", "/etc/passwd", "-a", "a b", "ä", "a\n", "x" * 65]
)
def test_a_name_that_is_no_file_name_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert keys(tmp_path / "keys", f"--client={name}") == 1
    assert "letters" in capsys.readouterr().err
    assert not (tmp_path / "keys").exists()


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "keys"
    assert keys(folder, "--client", "alice") == 0
    made = contents(folder)
    assert keys(folder, "--client", "alice") == 1
    assert "already exists" in capsys.readouterr().err
    (folder / "clients" / "alice.key").unlink()
    assert keys(folder, "--client", "alice") == 1
    assert "alice.key_secret already exists" in capsys.readouterr().err
    del made["clients/alice.key"]
    assert contents(folder) == made


@pytest.mark.parametrize("half", ["server.key", "server.key_secret"])
def test_half_a_pair_is_not_completed(tmp_path: Path, capsys: pytest.CaptureFixture[str], half: str) -> None:
    assert keys(tmp_path / "keys") == 0
    (tmp_path / "keys" / half).unlink()
    assert keys(tmp_path / "keys") == 1
    assert f"{half} is missing" in capsys.readouterr().err


def test_an_existing_folder_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert keys(tmp_path) == 0
    assert mode(tmp_path) == 0o755
    assert mode(tmp_path / "secrets") == 0o700


def test_a_folder_that_cannot_be_made_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert keys(tmp_path / "file" / "keys") == 1
    assert capsys.readouterr().err.startswith("nitrogen-gateway keys: ")


def test_no_folder_is_argparses_own_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        keys()
    assert "DIR" in capsys.readouterr().err


@contextmanager
def exfat(folder: Path, options: str) -> Iterator[Path]:
    """A new exFAT file system, which knows neither permissions nor links."""
    image, mount = folder / "image", folder / "mount"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.exfat", image], check=True, stdout=subprocess.DEVNULL)
    device = subprocess.check_output(["losetup", "--find", "--show", image], text=True).strip()
    try:
        subprocess.run(["mount.exfat-fuse", "-o", options, device, mount], check=True, capture_output=True)
        try:
            yield mount
        finally:
            subprocess.run(["umount", mount], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@pytest.mark.mounts
def test_a_file_system_that_shows_secrets_to_everybody_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with exfat(tmp_path, "umask=0") as mount:
        assert keys(mount / "keys", "--client", "alice") == 1
        assert contents(mount) == {}
    told = capsys.readouterr().err
    assert f"{tmp_path}/mount/keys is on a file system without permissions, such as exFAT, FAT" in told
    assert "choose another folder, or mount it for one user (the option umask=077" in told


@pytest.mark.mounts
def test_exfat_mounted_for_one_user_takes_keys_and_replaces_none(tmp_path: Path) -> None:
    with exfat(tmp_path, "umask=077") as mount:
        assert keys(mount / "keys", "--client", "alice") == 0
        made = contents(mount / "keys")
        names = ["clients/alice.key", "secrets/alice.key_secret", "server.key", "server.key_secret"]
        assert sorted(made) == names
        public, secret = load_certificate(mount / "keys" / "secrets" / "alice.key_secret")
        assert secret is not None
        assert zmq.curve_public(secret) == public
        assert keys(mount / "keys", "--client", "alice") == 1
        assert contents(mount / "keys") == made
