"""The checkpoint finds itself: on the disk, or on a hub that speaks huggingface.co's protocol."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from export.checkpoint.kept_file import KeptFile
from export.checkpoint.source import DEFAULT_CHECKPOINT, find_checkpoint
from export.errors import CheckpointError, DownloadError
from tests.export.archives import SMALL, altered, archive, sha256
from tests.paths import ROOT
from tests.stack import free_port, wait_until
from tests.stand_ins.hub_server import Delivery, HubServer, Refusal, hub_of_this_process

MEGABYTE = 1 << 20
CHUNK = 10 * MEGABYTE  # huggingface_hub writes this many bytes at a time
FIND = """
import logging, sys
from pathlib import Path
from export.checkpoint.source import find_checkpoint

logging.basicConfig(level=logging.INFO, format="%(message)s")
print(find_checkpoint(sys.argv[1], Path(sys.argv[2])).sha256, "torch" in sys.modules)
"""


OTHER = archive(2, 1000)
LARGE = archive(3, 24 * MEGABYTE)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with hub_of_this_process(monkeypatch) as hub:
        hub.put(DEFAULT_CHECKPOINT, "ng.pt", SMALL)
        yield hub


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def target(models: Path) -> Path:
    return models / "nvidia" / "NitroGen" / "ng.pt"


def start_child(hub: HubServer, models: Path, home: Path) -> subprocess.Popen[str]:
    """A process that finds the default checkpoint, with HF_ENDPOINT and HF_HOME set before it starts."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_"))}
    return subprocess.Popen(
        [sys.executable, "-c", FIND, DEFAULT_CHECKPOINT, str(models)],
        cwd=ROOT,
        env={**environment, "HF_ENDPOINT": hub.url, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1,localhost"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# A file or a folder


def test_a_file_is_itself(tmp_path: Path, models: Path, hub: HubServer) -> None:
    path = tmp_path / "mine.pt"
    path.write_bytes(SMALL)

    assert find_checkpoint(str(path), models) == KeptFile(path, sha256(SMALL), str(path))
    assert hub.requests == []


def test_a_folder_is_its_ng_pt(tmp_path: Path, models: Path) -> None:
    (tmp_path / "ng.pt").write_bytes(SMALL)
    (tmp_path / "other.pt").write_bytes(OTHER)

    assert find_checkpoint(str(tmp_path), models).path == tmp_path / "ng.pt"


@pytest.mark.parametrize(
    ("wanted", "found"), [("mine.pt", "mine.pt"), ("sub/a.pt", "sub/a.pt"), ("sub", "sub/a.pt")]
)
def test_a_relative_path_is_also_looked_for_in_the_models_folder(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch, wanted: str, found: str
) -> None:
    (models / "sub").mkdir(parents=True)
    (models / found).write_bytes(SMALL)
    monkeypatch.chdir(tmp_path)

    assert find_checkpoint(wanted, models).path == models / found

    here = tmp_path / found
    here.parent.mkdir(exist_ok=True)
    here.write_bytes(OTHER)
    assert find_checkpoint(wanted, models) == KeptFile(Path(found), sha256(OTHER), found)


def test_a_folder_is_its_only_pt(tmp_path: Path, models: Path) -> None:
    (tmp_path / "finetuned.pt").write_bytes(SMALL)

    assert find_checkpoint(str(tmp_path), models).path == tmp_path / "finetuned.pt"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["b.pt", "a.pt"], r"holds a\.pt, b\.pt and no ng\.pt"),
        (
            [f"step-{step:02}.pt" for step in range(50)],
            r"holds step-00\.pt, .* step-04\.pt and 45 more and no ng",
        ),
        (["a.txt"], r"holds no \*\.pt and no ng\.pt: give"),
        (["last.ckpt"], r"holds no \*\.pt and no ng\.pt but last\.ckpt: give"),
        (["adapter_config.json", "adapter_model.safetensors"], r"a LoRA adapter: give it with --lora"),
        ([".metadata", "__0_0.distcp"], r"a checkpoint in pieces, .* dcp_to_torch .*/\S+ ng\.pt"),
    ],
)
def test_a_folder_that_does_not_say_which(
    tmp_path: Path, models: Path, names: list[str], message: str
) -> None:
    for name in names:
        (tmp_path / name).touch()

    with pytest.raises(CheckpointError, match=message):
        find_checkpoint(str(tmp_path), models)


@pytest.mark.parametrize(
    "wanted",
    [
        "",
        "name",
        "a/b/c",
        "weights/ng.pt",
        "../name",
        "/owner/name",
        "owner/na me",
        "owner/name@",
        "o/n@../x",
    ],
)
def test_anything_else_is_told_the_three_forms(hub: HubServer, models: Path, wanted: str) -> None:
    with pytest.raises(CheckpointError, match=r"a file, of a folder .* or a Hugging Face id"):
        find_checkpoint(wanted, models)

    assert hub.requests == []
    assert not models.exists()


def test_a_folder_whose_only_pt_is_a_dead_link(tmp_path: Path, models: Path) -> None:
    (tmp_path / "last.pt").symlink_to("step-50.pt")

    with pytest.raises(CheckpointError, match=r"last\.pt is a broken link to step-50\.pt"):
        find_checkpoint(str(tmp_path), models)


def test_a_mistyped_folder_is_told_before_the_hub_is_asked(
    hub: HubServer,
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()

    with pytest.raises(
        DownloadError, match=r"there is no nonexist in the folder runs, and as a .* no repository"
    ):
        find_checkpoint("runs/nonexist", models)
    assert (
        "there is no nonexist in the folder runs: taking runs/nonexist for a Hugging Face id" in caplog.text
    )
    with pytest.raises(
        CheckpointError, match=r"no checkpoint 'runs/ng\.pt' \(there is no ng\.pt in the folder runs"
    ):
        find_checkpoint("runs/ng.pt", models)


# A Hugging Face id


def test_an_id_is_downloaded_once(hub: HubServer, models: Path, target: Path) -> None:
    commit = hub.put(DEFAULT_CHECKPOINT, "ng.pt", SMALL)
    first = find_checkpoint(DEFAULT_CHECKPOINT, models)
    hub.requests.clear()

    second = find_checkpoint(DEFAULT_CHECKPOINT, models)

    assert first == second == KeptFile(target, sha256(SMALL), f"nvidia/NitroGen@{commit}")
    assert target.read_bytes() == SMALL
    assert hub.requests == []


def test_a_revision_has_a_folder_of_its_own(hub: HubServer, models: Path) -> None:
    commit = hub.put(DEFAULT_CHECKPOINT, "ng.pt", OTHER, revision="v2")
    wanted = f"{DEFAULT_CHECKPOINT}@v2"

    found = find_checkpoint(wanted, models)

    path = models / "nvidia" / "NitroGen@v2" / "ng.pt"
    assert found == KeptFile(path, sha256(OTHER), f"nvidia/NitroGen@{commit}")
    assert find_checkpoint(f"{DEFAULT_CHECKPOINT}@{commit}", models).sha256 == sha256(OTHER)
    assert find_checkpoint(DEFAULT_CHECKPOINT, models).sha256 == sha256(SMALL)


def test_the_current_folder_may_be_the_models_folder(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(DEFAULT_CHECKPOINT).mkdir(parents=True)  # as a download that was cut off leaves it

    assert find_checkpoint(DEFAULT_CHECKPOINT, Path()).path == Path("nvidia/NitroGen/ng.pt")


def test_the_token_goes_to_the_hub_and_not_to_its_storage(
    hub: HubServer, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_mine"
    monkeypatch.setenv("HF_TOKEN", "hf_mine")

    find_checkpoint(DEFAULT_CHECKPOINT, models)

    sent = {request.host.partition(":")[0]: request.authorization for request in hub.requests}
    assert sent == {"127.0.0.1": "Bearer hf_mine", "localhost": None}


def test_without_torch_with_progress_in_whole_lines_and_within_the_models_folder(
    hub: HubServer, models: Path, tmp_path: Path
) -> None:
    with start_child(hub, models, tmp_path / "home") as child:
        output, errors = child.communicate()

    assert output == f"{sha256(SMALL)} False\n", errors
    assert f"downloading ng.pt of {DEFAULT_CHECKPOINT}" in errors
    assert "ng.pt: 100 % of 1.11 kB, " in errors
    assert "\r" not in errors
    assert not (tmp_path / "home").exists()
    assert all(request.path.endswith("/ng.pt") for request in hub.requests if "/storage/" not in request.path)


# A download that breaks off


@pytest.mark.parametrize("reset", [False, True])
def test_a_cut_connection_is_continued(hub: HubServer, models: Path, *, reset: bool) -> None:
    hub.put(DEFAULT_CHECKPOINT, "ng.pt", LARGE)
    hub.deliveries.append(Delivery(cut_after=12 * MEGABYTE, reset=reset))

    found = find_checkpoint(DEFAULT_CHECKPOINT, models)

    assert found.sha256 == sha256(LARGE)
    assert [request.range for request in hub.byte_requests()] == [None, f"bytes={CHUNK}-"]


def test_the_next_start_continues(hub: HubServer, models: Path, target: Path) -> None:
    hub.put(DEFAULT_CHECKPOINT, "ng.pt", LARGE)
    hub.deliveries += [Delivery(cut_after=12 * MEGABYTE, reset=True), Delivery(cut_after=0, reset=True)]
    with pytest.raises(
        DownloadError, match=rf"broke off after {CHUNK:,} of {len(LARGE):,} bytes .* start again"
    ):
        find_checkpoint(DEFAULT_CHECKPOINT, models)
    assert not target.exists()
    hub.requests.clear()

    assert find_checkpoint(DEFAULT_CHECKPOINT, models).sha256 == sha256(LARGE)
    assert [request.range for request in hub.byte_requests()] == [f"bytes={CHUNK}-"]
    assert sorted(path.name for path in target.parent.iterdir()) == ["ng.pt", "ng.pt.hub.json", "ng.pt.lock"]


def test_the_start_after_a_kill_continues(hub: HubServer, models: Path, target: Path, tmp_path: Path) -> None:
    hub.put(DEFAULT_CHECKPOINT, "ng.pt", LARGE)
    held = Delivery(hold_after=12 * MEGABYTE)
    hub.deliveries.append(held)
    with start_child(hub, models, tmp_path / "home") as child:
        wait_until(
            lambda: any(path.stat().st_size == CHUNK for path in target.parent.glob("*.incomplete")),
            "bytes",
        )
        child.kill()
        child.communicate()
    held.released.set()

    assert find_checkpoint(DEFAULT_CHECKPOINT, models).sha256 == sha256(LARGE)
    assert [request.range for request in hub.byte_requests()] == [None, f"bytes={CHUNK}-"]


def test_a_storage_without_ranges_sends_everything_again(hub: HubServer, models: Path) -> None:
    hub.put(DEFAULT_CHECKPOINT, "ng.pt", LARGE)
    hub.deliveries += [Delivery(cut_after=12 * MEGABYTE, reset=True), Delivery(ignores_range=True)]

    assert find_checkpoint(DEFAULT_CHECKPOINT, models).sha256 == sha256(LARGE)


def test_a_newer_commit_is_not_appended_to_an_older_one(hub: HubServer, models: Path, target: Path) -> None:
    hub.put(DEFAULT_CHECKPOINT, "ng.pt", LARGE)
    hub.deliveries += [Delivery(cut_after=12 * MEGABYTE, reset=True), Delivery(cut_after=0, reset=True)]
    with pytest.raises(DownloadError):
        find_checkpoint(DEFAULT_CHECKPOINT, models)
    hub.put(DEFAULT_CHECKPOINT, "ng.pt", OTHER)

    assert find_checkpoint(DEFAULT_CHECKPOINT, models).sha256 == sha256(OTHER)
    assert list(target.parent.glob("*.incomplete")) == []


def test_two_processes_download_once(hub: HubServer, models: Path, tmp_path: Path) -> None:
    held = Delivery(hold_after=100)
    hub.deliveries.append(held)
    with start_child(hub, models, tmp_path / "home") as first:
        wait_until(hub.byte_requests, "the first process downloads")
        with start_child(hub, models, tmp_path / "home") as second:
            assert second.stderr is not None
            assert "another process is downloading" in second.stderr.readline()
            held.released.set()
            outputs = [process.communicate()[0] for process in (first, second)]

    assert outputs == [f"{sha256(SMALL)} False\n"] * 2
    assert len(hub.byte_requests()) == 1


# A network or a hub that fails for a while


def test_a_hub_that_is_down_for_a_while_is_asked_again(
    hub: HubServer, models: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("export.checkpoint.hub.PAUSES_S", (0.1,) * 100)
    hub.refusal = Refusal(503)

    def recover() -> None:
        wait_until(lambda: len(hub.requests) > 1, "it is asked again")
        hub.refusal = None

    recovering = threading.Thread(target=recover)
    recovering.start()
    try:
        assert find_checkpoint(DEFAULT_CHECKPOINT, models).sha256 == sha256(SMALL)
    finally:
        recovering.join()
    assert "asking the hub failed (HTTP status 503): trying again in" in caplog.text


@pytest.mark.parametrize("failure", [Delivery(cut_after=0, reset=True), Delivery(refusal=Refusal(502))])
def test_a_storage_that_fails_for_a_while_is_asked_again(
    hub: HubServer, models: Path, monkeypatch: pytest.MonkeyPatch, failure: Delivery
) -> None:
    monkeypatch.setattr("export.checkpoint.hub.PAUSES_S", (0.0, 0.0))
    hub.deliveries += [failure, failure]

    assert find_checkpoint(DEFAULT_CHECKPOINT, models).sha256 == sha256(SMALL)
    assert len(hub.byte_requests()) == 3


def test_what_does_not_pass_is_not_waited_for(
    hub: HubServer, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.checkpoint.hub.PAUSES_S", (1000.0,))
    with pytest.raises(DownloadError, match="has no repository nvidia/Nothing"):
        find_checkpoint("nvidia/Nothing", models)
    assert len(hub.requests) == 1


# A file that is wrong


@pytest.mark.parametrize(
    ("wrong", "difference"),
    [
        (altered(SMALL), f"its SHA-256 is {sha256(altered(SMALL))}, but {sha256(SMALL)} on the hub"),
        (SMALL[:-100], f"it has {len(SMALL) - 100:,} bytes, but {len(SMALL):,} on the hub"),
        (SMALL + b"more", f"it has {len(SMALL) + 4:,} bytes, but {len(SMALL):,} on the hub"),
    ],
)
def test_a_wrong_download_is_fetched_again(
    hub: HubServer,
    models: Path,
    target: Path,
    wrong: bytes,
    difference: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hub.deliveries.append(Delivery(content=wrong))

    found = find_checkpoint(DEFAULT_CHECKPOINT, models)

    assert found.sha256 == sha256(target.read_bytes()) == sha256(SMALL)
    assert target.with_name("ng.pt.damaged").read_bytes() == wrong
    assert f"{target} is damaged: {difference}" in caplog.text


def test_a_download_that_is_wrong_twice_is_an_error(hub: HubServer, models: Path, target: Path) -> None:
    hub.deliveries += [Delivery(content=altered(SMALL))] * 2

    with pytest.raises(DownloadError, match=r"came damaged 2 times .*its SHA-256 is .*try again later"):
        find_checkpoint(DEFAULT_CHECKPOINT, models)

    assert len(hub.byte_requests()) == 2
    assert sorted(path.name for path in target.parent.iterdir()) == ["ng.pt.damaged", "ng.pt.lock"]


@pytest.mark.parametrize(
    ("wrong", "difference"),
    [
        (SMALL[:-100], f"it has {len(SMALL) - 100:,} bytes, but {len(SMALL):,} in nvidia/NitroGen@"),
        (altered(SMALL), f"its SHA-256 is {sha256(altered(SMALL))}, but {sha256(SMALL)} in nvidia/NitroGen@"),
    ],
)
def test_a_file_that_changed_on_the_disk_is_fetched_again(
    hub: HubServer,
    models: Path,
    target: Path,
    wrong: bytes,
    difference: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    find_checkpoint(DEFAULT_CHECKPOINT, models)
    target.write_bytes(wrong)
    target.with_name("ng.pt.damaged").write_bytes(b"an older one")

    found = find_checkpoint(DEFAULT_CHECKPOINT, models)

    assert found.sha256 == sha256(target.read_bytes()) == sha256(SMALL)
    assert target.with_name("ng.pt.damaged").read_bytes() == wrong
    assert f"{target} is damaged: {difference}" in caplog.text


def test_a_whole_file_put_there_by_hand_is_taken(hub: HubServer, models: Path, target: Path) -> None:
    target.parent.mkdir(parents=True)
    target.write_bytes(OTHER)

    assert find_checkpoint(DEFAULT_CHECKPOINT, models) == KeptFile(target, sha256(OTHER), str(target))
    assert hub.requests == []


def test_a_file_cut_off_when_put_there_by_hand_is_fetched_again(
    hub: HubServer, models: Path, target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target.parent.mkdir(parents=True)
    target.write_bytes(OTHER[:-100])

    assert find_checkpoint(DEFAULT_CHECKPOINT, models).sha256 == sha256(SMALL)
    assert f"{target} is damaged: it is cut off" in caplog.text


def test_what_cannot_be_opened_is_told_and_stays(hub: HubServer, models: Path, target: Path) -> None:
    # A folder cannot be opened by root either, whom a file's mode does not stop.
    target.mkdir(parents=True)

    with pytest.raises(DownloadError, match=rf"cannot use {target} \(Is a directory\)"):
        find_checkpoint(DEFAULT_CHECKPOINT, models)
    assert target.is_dir()
    assert not target.with_name("ng.pt.damaged").exists()
    assert hub.requests == []


def test_a_file_put_there_by_hand_for_a_damaged_one_is_taken(
    hub: HubServer, models: Path, target: Path
) -> None:
    find_checkpoint(DEFAULT_CHECKPOINT, models)
    target.write_bytes(SMALL[:-100])
    hub.refusal = Refusal(503)
    with pytest.raises(DownloadError, match="put the file at"):
        find_checkpoint(DEFAULT_CHECKPOINT, models)
    target.write_bytes(OTHER)

    assert find_checkpoint(DEFAULT_CHECKPOINT, models) == KeptFile(target, sha256(OTHER), str(target))


def test_a_torn_record_is_ignored(hub: HubServer, models: Path, target: Path) -> None:
    find_checkpoint(DEFAULT_CHECKPOINT, models)
    target.with_name("ng.pt.hub.json").write_text('{"repository": "nv')

    assert find_checkpoint(DEFAULT_CHECKPOINT, models).origin == str(target)


# One sentence each


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (
            Refusal(401, "GatedRepo"),
            "is gated: accept its licence on http.*/nvidia/NitroGen and set HF_TOKEN",
        ),
        (
            Refusal(403, "GatedRepo"),
            "is gated: accept its licence on http.*/nvidia/NitroGen and set HF_TOKEN",
        ),
        (Refusal(401), "HTTP status 401: check HF_TOKEN, and that its account has accepted the licence"),
        (Refusal(403), "HTTP status 403: check HF_TOKEN, and that its account has accepted the licence"),
        (Refusal(401, "RepoNotFound"), "has no repository nvidia/NitroGen, or it is private: .* HF_TOKEN"),
        (Refusal(404, "RevisionNotFound"), "nvidia/NitroGen has no revision 'main': give a branch"),
        (Refusal(404, "EntryNotFound"), r"has no file ng\.pt at revision 'main': check .*/NitroGen/ng\.pt"),
        (Refusal(429), "HTTP status 429: try again later, or put the file at .*/nvidia/NitroGen/ng.pt"),
        (Refusal(503), "HTTP status 503: try again later, or put the file at .*/nvidia/NitroGen/ng.pt"),
    ],
)
def test_a_hub_that_refuses(hub: HubServer, models: Path, refusal: Refusal, message: str) -> None:
    hub.refusal = refusal

    with pytest.raises(DownloadError, match=message) as raised:
        find_checkpoint(DEFAULT_CHECKPOINT, models)

    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("nvidia/Nothing", "has no repository nvidia/Nothing"),
        ("nvidia/NitroGen@v9", "nvidia/NitroGen has no revision 'v9'"),
        ("nvidia/Other", "nvidia/Other has no file ng.pt at revision 'main'"),
    ],
)
def test_what_the_hub_does_not_have(hub: HubServer, models: Path, wanted: str, message: str) -> None:
    hub.put("nvidia/Other", "README.md", b"no weights", large=False)

    with pytest.raises(DownloadError, match=message):
        find_checkpoint(wanted, models)


def test_a_storage_that_refuses(hub: HubServer, models: Path) -> None:
    hub.deliveries.append(Delivery(refusal=Refusal(503)))

    with pytest.raises(
        DownloadError, match=r"refuses ng\.pt of nvidia/NitroGen with HTTP status 503: try again"
    ):
        find_checkpoint(DEFAULT_CHECKPOINT, models)


def test_no_network(hub: HubServer, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port()}")

    with pytest.raises(
        DownloadError, match=r"cannot reach the hub at http.* put the file at .*/NitroGen/ng\.pt"
    ):
        find_checkpoint(DEFAULT_CHECKPOINT, models)


def test_an_endpoint_that_is_no_address(
    hub: HubServer, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://[hub")

    with pytest.raises(DownloadError, match=r"cannot reach the hub at http://\[hub: .* HF_ENDPOINT"):
        find_checkpoint(DEFAULT_CHECKPOINT, models)


def test_offline_by_choice(hub: HubServer, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(DownloadError, match=r"ng\.pt is missing and HF_HUB_OFFLINE is set: unset it, or put"):
        find_checkpoint(DEFAULT_CHECKPOINT, models)

    assert hub.requests == []


def test_a_login_page_instead_of_a_hub(hub: HubServer, models: Path) -> None:
    hub.is_a_hub = False

    with pytest.raises(DownloadError, match="does not answer like a Hugging Face hub: check HF_ENDPOINT"):
        find_checkpoint(DEFAULT_CHECKPOINT, models)


def test_no_space_for_what_is_to_come(hub: HubServer, models: Path, target: Path) -> None:
    hub.stated_size = 1 << 60

    with pytest.raises(DownloadError, match=r"no space for .*/ng\.pt: .* bytes are needed .*--models-dir"):
        find_checkpoint(DEFAULT_CHECKPOINT, models)

    assert hub.byte_requests() == []


def test_a_disk_that_fills_up_while_downloading(hub: HubServer, models: Path, target: Path) -> None:
    hub.deliveries += [Delivery(cut_after=0, reset=True)]
    with pytest.raises(DownloadError, match="broke off"):
        find_checkpoint(DEFAULT_CHECKPOINT, models)
    (partial,) = target.parent.glob("*.incomplete")
    partial.unlink()
    partial.symlink_to("/dev/full")

    with pytest.raises(DownloadError, match=r"no space left for .*/ng\.pt: make room and start again"):
        find_checkpoint(DEFAULT_CHECKPOINT, models)


def test_a_models_folder_that_cannot_be_written(hub: HubServer, models: Path) -> None:
    models.write_text("a file where the folder should be")

    with pytest.raises(DownloadError, match=r"cannot use .*models.*Not a directory.*--models-dir"):
        find_checkpoint(DEFAULT_CHECKPOINT, models)

    assert hub.requests == []
