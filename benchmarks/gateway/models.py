"""The models behind the gateway's measurements: one that answers at once, or an exported checkpoint."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from benchmarks.triton import running_triton
from export.settings import DEFAULT_NAME
from tests.paths import DATA, MODEL_CONFIG

TINY = DATA / "golden" / "tiny" / "ng.pt"
_IDENTITY_MODEL = Path(__file__).parent / "identity_model" / "model.py"


@dataclass(frozen=True)
class Served:
    """A Triton that runs: its model's name, and the port of its gRPC service."""

    model: str
    grpc_port: int


@contextmanager
def served_model(checkpoint: Path | None) -> Iterator[Served]:
    """Run a Triton with an exported checkpoint, or without one with the model that answers at once."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        repository = folder / "repository"
        if checkpoint is None:
            model = publish_identity_model(repository)
        else:
            model = DEFAULT_NAME
            words = [str(checkpoint), f"--repository={repository}"]
            subprocess.run([sys.executable, "-m", "export", *words], check=True, stdout=subprocess.DEVNULL)
        with running_triton(folder, [model]) as grpc_port:
            yield Served(model, grpc_port)


def publish_identity_model(
    repository: Path, change: Callable[[model_config_pb2.ModelConfig], None] | None = None
) -> str:
    """Write a model that answers at once, and return its name: the own config with another backend.

    Args:
        repository: where to.
        change: changes the config further, for example its parameter `batch_ms`.
    """
    config = text_format.Parse(MODEL_CONFIG.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    config.backend = "python"
    config.instance_group[0].kind = model_config_pb2.ModelInstanceGroup.KIND_CPU
    if change is not None:
        change(config)
    version = repository / config.name / "1"
    version.mkdir(parents=True)
    shutil.copy(_IDENTITY_MODEL, version)
    (version.parent / "config.pbtxt").write_text(text_format.MessageToString(config), encoding="utf-8")
    return str(config.name)
