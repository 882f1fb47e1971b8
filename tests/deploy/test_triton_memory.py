"""Every Triton gives the memory of unloaded versions back: containers and the standalone set the same."""

import yaml

from standalone.triton_wheel import find_triton_wheel
from tests.paths import ROOT

VARIABLE = "MALLOC_MMAP_THRESHOLD_"


def in_kubernetes(path: str, *keys: str | int) -> dict[str, str]:
    found = next(iter(yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / path).read_text())))
    for key in keys:
        found = found[key]
    return {variable["name"]: variable["value"] for variable in found}


def test_the_allocators_threshold_is_the_same_everywhere() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    environments = [
        find_triton_wheel().environment(),
        compose["services"]["triton"]["environment"],
        in_kubernetes("base/triton.yaml", "spec", "template", "spec", "containers", 0, "env"),
        in_kubernetes("kserve/serving-runtime.yaml", "spec", "containers", 0, "env"),
    ]
    assert [environment[VARIABLE] for environment in environments] == ["1048576"] * 4
