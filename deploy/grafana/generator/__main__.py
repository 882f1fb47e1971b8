"""Write the dashboards' JSON files, which Grafana reads at its start."""

from pathlib import Path

from deploy.grafana.generator.documents import documents

FOLDER = Path(__file__).parents[1] / "dashboards"


def main() -> None:
    """Write every dashboard."""
    for name, text in documents().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
