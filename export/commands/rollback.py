"""`nitrogen-export rollback NAME`: have the version served that was served before."""

import argparse

from export.commands.running_triton import add_triton, key_of, tell_served
from export.flags import add_repository, parse
from export.repository.live import rollback


def run(words: list[str]) -> None:
    """Make a running Triton, or only its next start, serve the version before the current one.

    Raises:
        ExportError: as `rollback`.
    """
    parser = argparse.ArgumentParser(
        prog="nitrogen-export rollback",
        description="Serve the version that was served before.",
    )
    parser.add_argument("name", metavar="NAME", help="name of the Triton model")
    add_repository(parser)
    add_triton(parser)
    values = parse(parser, words).values
    name, triton = values["name"], values["triton"]
    number = rollback(values["repository"], name, triton, key=key_of(values["triton_key_file"]))
    tell_served(name, number, triton)
