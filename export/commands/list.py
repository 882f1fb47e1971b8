"""`nitrogen-export list`: the models and versions of a repository."""

import argparse
import sys

from export.flags import add_repository
from export.repository.listing import describe_versions


def run(words: list[str]) -> None:
    """Print them, as a table or as JSON.

    Raises:
        RepositoryError: when the repository cannot be read.
    """
    parser = argparse.ArgumentParser(
        prog="nitrogen-export list", description="Show the models and versions of a repository."
    )
    add_repository(parser)
    parser.add_argument("--json", action="store_true", help="all facts, for other programs")
    options = parser.parse_args(words)
    sys.stdout.write(describe_versions(options.repository, as_json=options.json))
