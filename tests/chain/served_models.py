"""A Triton with models of a test's own, which it can swap and load."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray

from export.publish import export_checkpoint
from export.repository.versions import Version
from export.settings import ExportOptions, ModelSettings
from standalone.triton_server import TritonPorts, local_triton
from tests.chain.direct import DirectCalls, Outputs
from tests.golden import checkpoint_path
from tests.stack import free_port


class Repository:
    """A model repository whose models are exports of the golden checkpoints."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def export(self, checkpoint: str, name: str, steps: int) -> Version:
        """Publish a golden checkpoint as a model's next version."""
        path = checkpoint_path(checkpoint)
        settings = ModelSettings(steps=steps, precision="fp32")
        [version] = export_checkpoint(ExportOptions(path, self.folder, settings, name=name, keep=0))
        return version


class Served:
    """A running Triton: direct calls to its models, and control over which are loaded."""

    def __init__(self, grpc_port: int) -> None:
        self.grpc_port = grpc_port
        self.endpoint = f"127.0.0.1:{grpc_port}"
        self._control = triton.InferenceServerClient(f"127.0.0.1:{grpc_port}")
        self._calls = DirectCalls(grpc_port)

    def version(self, name: str) -> int:
        """The version of a model that is ready."""
        index = self._control.get_model_repository_index(as_json=True)["models"]
        (ready,) = [entry for entry in index if entry["name"] == name and entry.get("state") == "READY"]
        return int(ready["version"])

    def load(self, name: str) -> None:
        """Load a model, or its newly chosen version; returns when Triton serves it."""
        self._control.load_model(name)

    def answer(
        self,
        model: str,
        frames: Sequence[NDArray[np.uint8]],
        noise: NDArray[np.float32],
        *,
        context: int,
        game_id: int,
    ) -> Outputs:
        """Return what a model answers to frames (256, 256, 3), newest last, and noise (H, 25), alone."""
        return self._calls.predict(frames, noise, model=model, context=context, game_id=game_id)

    def close(self) -> None:
        """Close the channels."""
        self._control.close()
        self._calls.close()


@contextmanager
def triton_serving(repository: Path, models: Sequence[str], folder: Path) -> Iterator[int]:
    """A Triton that serves some models of a repository; the port of its gRPC service.

    `folder`: takes its log and backends.
    """
    ports = TritonPorts(free_port(), free_port(), free_port())
    server = local_triton(repository, models, ports, folder)
    with asyncio.Runner() as runner:
        runner.run(server.start())
        try:
            yield ports.grpc
        finally:
            runner.run(server.stop())


@contextmanager
def running_triton(repository: Repository, models: Sequence[str], folder: Path) -> Iterator[Served]:
    """The same with control over what it serves; `folder`: an empty one."""
    with triton_serving(repository.folder, models, folder) as grpc_port:
        served = Served(grpc_port)
        yield served
        served.close()
