"""`nitrogen-export activate NAME VERSION`: have a published version served."""

import argparse

from export.commands.running_triton import add_triton, key_of, tell_served
from export.flags import add_repository, parse, positive
from export.repository.live import activate


def run(words: list[str]) -> None:
    """Make a running Triton, or only its next start, serve the version.

    Raises:
        ExportError: as `activate`.
    """
    parser = argparse.ArgumentParser(
        prog="nitrogen-export activate",
        description="Make a running Triton serve a published version; requests in flight are not lost.",
    )
    parser.add_argument("name", metavar="NAME", help="name of the Triton model")
    parser.add_argument("version", metavar="VERSION", type=positive)
    add_repository(parser)
    add_triton(parser)
    values = parse(parser, words).values
    name, number, triton = values["name"], values["version"], values["triton"]
    activate(values["repository"], name, number, triton, key=key_of(values["triton_key_file"]))
    tell_served(name, number, triton)
