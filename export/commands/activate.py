"""`nitrogen-export activate NAME VERSION`: have a published version served."""

from export.commands.running_triton import key_of, serving_parser, tell_served
from export.flags import parse, positive
from export.repository.live import activate


def run(words: list[str]) -> None:
    """Make a running Triton, or only its next start, serve the version.

    Raises:
        ExportError: as `activate`.
    """
    description = "Make a running Triton serve a published version; requests in flight are not lost."
    parser = serving_parser("activate", description)
    parser.add_argument("version", metavar="VERSION", type=positive, help="number of the version")
    values = parse(parser, words).values
    name, number, triton = values["name"], values["version"], values["triton"]
    activate(values["repository"], name, number, triton, key=key_of(values["triton_key_file"]))
    tell_served(name, number, triton)
