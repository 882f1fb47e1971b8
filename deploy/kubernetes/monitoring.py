"""The alerts and dashboards as objects for a cluster: `python -m deploy.kubernetes.monitoring` writes them.

They are those of the compose stack (deploy/prometheus/rules, deploy/grafana/dashboards), with kubectl's
commands instead of Compose's, and the data source of the Helm chart kube-prometheus-stack.
"""

import re
from pathlib import Path

import yaml

_DEPLOY = Path(__file__).parents[1]
FOLDER = _DEPLOY / "kubernetes" / "components" / "monitoring"
_HEADER = "# Written by python -m deploy.kubernetes.monitoring, from the compose stack's files.\n"
_DATASOURCE = ("nitrogen-prometheus", "prometheus")
_COMMANDS = {
    r"docker compose logs export": "kubectl --namespace nitrogen logs job/export",
    r"docker compose logs (\w+)": r"kubectl --namespace nitrogen logs deployment/\1",
    r"docker compose restart (\w+)": r"kubectl --namespace nitrogen rollout restart deployment/\1",
    r"docker compose ps (\w+)": r"kubectl --namespace nitrogen get deployment/\1",
    r"docker compose ps( --all)?": "kubectl --namespace nitrogen get pods",
}


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def files() -> dict[str, str]:
    """Return the text of each file by its name."""
    rules, dashboards = (_DEPLOY / folder for folder in ("prometheus/rules", "grafana/dashboards"))
    return {
        "prometheus-rules.yaml": _written([_rule(path) for path in sorted(rules.glob("*.yml"))]),
        "dashboards.yaml": _written([_dashboard(path) for path in sorted(dashboards.glob("*.json"))]),
    }


def _rule(path: Path) -> dict[str, object]:
    text = path.read_text(encoding="utf-8")
    for compose, kubectl in _COMMANDS.items():
        text = re.sub(compose, kubectl, text)
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": f"nitrogen-{path.stem}", "labels": {"release": "kube-prometheus-stack"}},
        "spec": yaml.safe_load(text),
    }


def _dashboard(path: Path) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        # Grafana's sidecar collects what has this label.
        "metadata": {"name": f"dashboard-{path.stem}", "labels": {"grafana_dashboard": "1"}},
        "data": {f"nitrogen-{path.name}": path.read_text(encoding="utf-8").replace(*_DATASOURCE)},
    }


def _written(objects: list[dict[str, object]]) -> str:
    return _HEADER + yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def main() -> None:
    """Write every file."""
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
