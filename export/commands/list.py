"""`nitrogen-export list`: the models and versions of a repository, as a table or as JSON."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from export.flags import add_repository
from export.repository.served import served_number
from export.repository.versions import Version, all_versions


def run(words: list[str]) -> None:
    """Print the models and versions.

    Raises:
        RepositoryError: when the repository cannot be read.
    """
    parser = argparse.ArgumentParser(
        prog="nitrogen-export list", description="Show the models and versions of a repository."
    )
    add_repository(parser)
    parser.add_argument("--json", action="store_true", help="print all facts as JSON")
    options = parser.parse_args(words)
    sys.stdout.write(describe_versions(options.repository, as_json=options.json))


def describe_versions(repository: Path, *, as_json: bool = False) -> str:
    """Return a repository's models and versions; the one that a model's config names is marked as served."""
    found = all_versions(repository)
    served = {name: served_number(repository, name) for name in {version.model_name for version in found}}
    if as_json:
        listed = [
            {
                "model": version.model_name,
                "version": version.number,
                "served": served[version.model_name] == version.number,
                "facts": _facts(version),
                "manifest": version.manifest.content(),
            }
            for version in found
        ]
        return f"{json.dumps(listed, indent=2)}\n"
    if not found:
        return f"no published models in {repository}\n"
    described = [_row(version, served[version.model_name]) for version in found]
    rows = [[*described[0]], *([*row.values()] for row in described)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        for row in rows
    )


def _facts(version: Version) -> dict[str, Any]:
    """Return the facts under the names of the config's parameters."""
    return {
        "action_horizon" if name == "horizon" else name: value
        for name, value in asdict(version.facts).items()
    }


def _row(version: Version, served: int | None) -> dict[str, str]:
    """Return a version's cells, by the names of their columns."""
    facts, manifest = version.facts, version.manifest
    origin = f"{manifest.checkpoint.origin} ({manifest.checkpoint.sha256[:8]})"
    if manifest.made.weights is not None:
        origin += f" {manifest.made.weights}"
    if manifest.adapter is not None:
        origin += f" + {manifest.adapter.origin} ({manifest.adapter.sha256[:8]})"
    return {
        "model": version.model_name,
        "version": str(version.number),
        "served": "yes" if version.number == served else "",
        "format": manifest.made.formats[0],
        "precision": facts.precision,
        "steps": str(facts.inference_steps),
        "context": str(facts.context_length),
        "horizon": str(facts.horizon),
        "guidance": f"{facts.cfg_scale:g}",
        "games": str(max(len(facts.games) - 1, 0)),
        "flipped": f"{100 * facts.accuracy.flipped_buttons:.2f} %",
        "made from": origin,
        "created": manifest.created,
    }
