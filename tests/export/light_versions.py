"""Published versions that a real Triton loads at once: real configs and manifests, no weights."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from contract.facts import Facts
from export.checkpoint.digest import file_sha256
from export.formats.format import FORMATS
from export.repository.manifest import GraphFile, Manifest, Source, write_manifest
from export.repository.partials import NewVersion
from export.repository.triton_config import fill_config, write_config
from export.repository.versions import new_version
from export.settings import ModelSettings, Precision
from tests.golden import checkpoint_path

NAME = "nitrogen"
MODEL = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"
CHECKPOINT = checkpoint_path("tiny")


def publish_light(
    repository: Path,
    steps: int,
    *,
    asked_precision: Precision | Literal["auto"] = "fp32",
    asked_batch_size: int | None = None,
    keep: int = 0,
    model_text: str = MODEL,
) -> int:
    """Publish the next version, as if made from the golden checkpoint `tiny` in fp32; its number."""
    with new_version(repository, NAME, keep=keep) as new:
        write_light(
            new,
            steps,
            asked_precision=asked_precision,
            asked_batch_size=asked_batch_size,
            model_text=model_text,
        )
    return new.number


def write_light(
    new: NewVersion,
    steps: int,
    *,
    asked_precision: Precision | Literal["auto"] = "fp32",
    asked_batch_size: int | None = None,
    model_text: str = MODEL,
) -> None:
    """Write what `publish_light` publishes."""
    sha256 = file_sha256(CHECKPOINT)
    facts = Facts(
        checkpoint_path=str(CHECKPOINT),
        checkpoint_sha256=sha256,
        horizon=16,
        context_length=1,
        games=(None,),
        old_layout=False,
        action_interleaving=False,
        inference_steps=steps,
        cfg_scale=1.0,
        conditioning=True,
    )
    asked = ModelSettings(steps=steps, precision=asked_precision, max_batch_size=asked_batch_size)
    made = replace(asked, context_length=1, precision="fp32", max_batch_size=asked_batch_size or 1)
    config = fill_config(
        facts,
        FORMATS["torchscript"],
        replace(made, device_kind="cpu", max_batch_size=1),
        name=NAME,
        version=new.number,
    )
    config.backend = "python"
    config.ClearField("model_warmup")
    model = new.folder / "model.py"
    model.write_text(model_text)
    write_config(config, new.folder)
    manifest = Manifest(
        created="2026-01-01T00:00:00+00:00",
        checkpoint=Source(str(CHECKPOINT), sha256),
        adapter=None,
        requested=asked,
        made=made,
        own_steps=4,
        own_context_length=1,
        self_check={},
        software={},
        files={model.name: GraphFile(model.stat().st_size, file_sha256(model))},
    )
    write_manifest(manifest, new.folder)
