"""`nitrogen-export rollback NAME`: serve the previous version again."""

from export.commands.running_triton import key_of, serving_parser, tell_served
from export.flags import parse
from export.repository.live import rollback


def run(words: list[str]) -> None:
    """Make a running Triton, or only its next start, serve the version before the current one.

    Raises:
        ExportError: as `rollback`.
    """
    parser = serving_parser("rollback", "Serve the previous version again.")
    values = parse(parser, words).values
    name, triton = values["name"], values["triton"]
    number = rollback(values["repository"], name, triton, key=key_of(values["triton_key_file"]))
    tell_served(name, number, triton)
