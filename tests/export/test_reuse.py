"""`--reuse`: what is published as it is wanted is not exported again."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from export.commands.export import run as run_export
from export.commands.list import describe_versions
from export.errors import OptionError
from export.formats.format import FORMATS
from export.repository.reuse import DIFFERENCES, find_published
from export.repository.served import history, served_number
from export.repository.triton_config import read_config, write_config
from export.repository.versions import versions
from export.settings import SETTINGS, ExportOptions, ModelSettings
from tests.export.light_versions import CHECKPOINT, publish_light
from tests.stack import wait_until

MADE = ModelSettings(steps=1, precision="fp32", max_batch_size=2)
MADE_OF_AUTO = replace(MADE, max_batch_size=None)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


def run(repository: Path, *words: str) -> None:
    run_export(
        [str(CHECKPOINT), f"--repository={repository}", "--reuse", "--steps=1", "--precision=fp32", *words]
    )


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`nitrogen`, version 1; not to be changed."""
    repository = tmp_path_factory.mktemp("published") / "repository"
    publish_light(repository, 1, asked_batch_size=2)
    return repository


def found(
    repository: Path, settings: ModelSettings, *but_for: str, name: str = "nitrogen", adapter: str = ""
) -> bool:
    [version] = versions(repository, "nitrogen")
    options = ExportOptions(CHECKPOINT, repository, settings, name=name)
    form = FORMATS[settings.formats[0]]
    checkpoint = version.facts.checkpoint_sha256
    return find_published(options, form, checkpoint, adapter, but_for=but_for) is not None


@pytest.mark.parametrize(
    "settings",
    [
        MADE,
        replace(MADE, context_length=1),
        replace(MADE, max_batch_size=2),
        replace(MADE, max_queue_size=0),
        replace(MADE, device_kind="auto"),
    ],
)
def test_the_same_settings_are_found(published: Path, settings: ModelSettings) -> None:
    assert found(published, settings)
    assert found(published, settings, "name", name="nitrogen-fast")


OTHERS = [
    replace(MADE, steps=2),
    replace(MADE, context_length=2),
    replace(MADE, cfg_scale=2.0),
    replace(MADE, precision="fp16"),
    replace(MADE, precision="auto"),
    replace(MADE, max_batch_size=3),
    replace(MADE, max_batch_size=None),
    replace(MADE, max_queue_size=5),
    replace(MADE, triton_instances=2),
    replace(MADE, device_kind="gpu"),
    replace(MADE, weights="model_ema"),
]


@pytest.mark.parametrize("settings", [*OTHERS, replace(MADE, steps=None), replace(MADE, formats=("onnx",))])
def test_other_settings_are_not(published: Path, settings: ModelSettings) -> None:
    assert not found(published, settings)


@pytest.mark.parametrize("settings", OTHERS)
def test_a_setting_that_does_not_matter_is_not_compared(published: Path, settings: ModelSettings) -> None:
    [other] = [name for name in SETTINGS if getattr(settings, name) != getattr(MADE, name)]
    assert found(published, settings, other)
    assert not found(published, settings, *(set(DIFFERENCES) - {other}))


def test_another_name_checkpoint_or_adapter_is_not(published: Path) -> None:
    assert not found(published, MADE, name="nitrogen-fast")
    assert not found(published, MADE, adapter="0" * 64)
    options = ExportOptions(CHECKPOINT, published, MADE)
    assert find_published(options, FORMATS["torchscript"], "0" * 64, "", but_for=DIFFERENCES) is None


def test_auto_is_found_by_the_requested_and_by_the_resulting_precision(repository: Path) -> None:
    publish_light(repository, 1, asked_precision="auto")
    assert found(repository, replace(MADE_OF_AUTO, precision="auto"))
    assert found(repository, replace(MADE_OF_AUTO, precision="fp32"))
    assert not found(repository, replace(MADE_OF_AUTO, precision="bf16"))


def test_what_is_there_is_served_again_and_what_is_not_is_exported(
    repository: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """As `docker compose up` after changes of the settings."""
    caplog.set_level("INFO")
    publish_light(repository, 1)
    folder = repository / "nitrogen"
    told = []
    for words in ([], ["--steps=2"], []):
        run(repository, *words)
        told.append(capsys.readouterr().out.removesuffix("\n"))

    assert told == [f"reused {folder / '1'}", f"published {folder / '2'}", f"reused {folder / '1'}"]
    assert served_number(repository, "nitrogen") == 1
    assert history(repository, "nitrogen") == [2, 1]
    assert caplog.text.count("nothing to export: version 1 of nitrogen was made from this checkpoint") == 2
    stages = [line[:6] for line in caplog.messages if line[1:6] == " of 3"]
    assert stages == ["1 of 3", "1 of 3", "2 of 3", "3 of 3", "1 of 3"]


def test_other_weights_of_the_checkpoint_are_another_version(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_light(repository, 1)
    for _ in range(2):
        run(repository, "--weights=model")
    folder = repository / "nitrogen" / "2"
    assert capsys.readouterr().out.splitlines() == [f"published {folder}", f"reused {folder}"]
    assert "ng.pt (" in describe_versions(repository, as_json=False)
    assert ") model " in describe_versions(repository, as_json=False)


def test_only_the_form_that_is_missing_is_exported(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_light(repository, 1)
    run(repository, "--format=both")
    assert capsys.readouterr().out.splitlines() == [
        f"reused {repository / 'nitrogen' / '1'}",
        f"published {repository / 'nitrogen-onnx' / '1'}",
    ]


def test_a_format_that_auto_chose_is_published_under_the_plain_name(
    repository: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Beside the format that was there; and an operator's own choice finds that one again."""
    caplog.set_level("INFO")
    publish_light(repository, 1)
    for format_ in ("auto", "auto", "torchscript", "auto"):
        run(repository, f"--format={format_}", "--device-kind=cpu", "--any=device_kind")

    made, other = repository / "nitrogen" / "2", repository / "nitrogen" / "1"
    assert capsys.readouterr().out.splitlines() == [
        *(f"published {made}", f"reused {made}", f"reused {other}", f"reused {made}")
    ]
    assert (made / "model.onnx").is_file()
    assert served_number(repository, "nitrogen") == 2
    assert caplog.text.count("--format auto: onnx, because it is the faster one in fp32 on CPUs\n") == 3


def test_a_version_whose_graph_is_not_whole_is_not_reused(repository: Path) -> None:
    publish_light(repository, 1)
    graph = repository / "nitrogen" / "1" / "model.py"
    graph.write_bytes(graph.read_bytes()[:10])
    assert not found(repository, MADE_OF_AUTO)
    graph.unlink()
    assert not found(repository, MADE_OF_AUTO)


def test_a_version_from_before_chunk_conditioning_is_served_and_the_log_says_what_it_lacks(
    repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    publish_light(repository, 1)
    run(repository)
    assert "conditioning" not in caplog.text
    path = repository / "nitrogen" / "1" / "config.pbtxt"
    config = read_config(path)
    del config.parameters["conditioning"]
    write_config(config, path.parent)

    run(repository)

    assert [version.number for version in versions(repository, "nitrogen")] == [1]
    assert "exported before chunk conditioning, so it refuses requests with 'previous': to" in caplog.text


def forget(repository: Path, *keys: str) -> None:
    """Take a value out of version 1's manifest, as if it came from before it was noted."""
    path = repository / "nitrogen" / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    *outer, last = keys
    holder = manifest
    for key in outer:
        holder = holder[key]
    del holder[last]
    path.write_text(json.dumps(manifest))


def test_a_manifest_from_before_batch_sizes_were_noted_is_read(repository: Path) -> None:
    publish_light(repository, 1)
    forget(repository, "requested", "max_batch_size")
    assert found(repository, MADE_OF_AUTO)


def test_a_version_from_before_queues_were_noted_has_a_bound(repository: Path) -> None:
    publish_light(repository, 1)
    forget(repository, "max_queue_size")
    assert found(repository, replace(MADE_OF_AUTO, max_queue_size=256))
    assert not found(repository, replace(MADE_OF_AUTO, max_queue_size=0))


def test_a_version_from_before_instances_were_noted_has_one(repository: Path) -> None:
    publish_light(repository, 1)
    forget(repository, "triton_instances")
    assert found(repository, MADE_OF_AUTO)
    assert not found(repository, replace(MADE_OF_AUTO, triton_instances=2))


def test_reuse_and_a_version_of_ones_own_are_a_contradiction(repository: Path) -> None:
    for words in (["--version=3"], ["--force"]):
        with pytest.raises(OptionError, match="leave out --version and --force"):
            run(repository, *words)
    with pytest.raises(OptionError, match="--if-triton-runs has no effect without --triton"):
        run(repository, "--if-triton-runs")
    with pytest.raises(OptionError, match="--any has no effect without --reuse"):
        run_export([str(CHECKPOINT), f"--repository={repository}", "--any=name"])


def test_nothing_to_do_is_done_without_torch(published: Path) -> None:
    program = (
        "import sys; from export.__main__ import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    )
    words = [str(CHECKPOINT), f"--repository={published}", "--reuse", "--steps=1", "--precision=fp32"]
    done = subprocess.run(
        [sys.executable, "-c", program, *words, "--max-batch-size=2"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == f"reused {published / 'nitrogen' / '1'}\n0 False\n", done.stderr


def test_a_killed_export_is_cleaned_up_by_the_next(repository: Path) -> None:
    words = [
        "-m",
        "export",
        str(CHECKPOINT),
        f"--repository={repository}",
        "--reuse",
        "--steps=1",
        "--precision=fp32",
    ]
    with subprocess.Popen([sys.executable, *words], stderr=subprocess.DEVNULL) as export:
        wait_until(lambda: list(repository.glob("nitrogen/.*.partial/model.pt")), "the graph is begun")
        export.send_signal(signal.SIGKILL)
    assert versions(repository, "nitrogen") == []
    assert served_number(repository, "nitrogen") is None

    run(repository)
    names = {path.name for path in (repository / "nitrogen").iterdir()}
    assert names == {"1", "config.pbtxt", "manifest.json", "history.json"}
