"""The command line `python -m export`, also installed as `nitrogen-export`."""

import argparse
import logging
import sys
from pathlib import Path

from export.errors import ExportError
from export.publish import ExportOptions, export_checkpoint


def main(arguments: list[str] | None = None) -> int:
    """Publish one checkpoint; the exit code is 0, or the error's after one sentence on stderr."""
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        folder = export_checkpoint(options)
    except ExportError as error:
        sys.stderr.write(f"nitrogen-export: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("nitrogen-export: interrupted, nothing was published\n")
        return 130
    sys.stdout.write(f"published {folder}\n")
    return 0


def _parse(arguments: list[str] | None) -> ExportOptions:
    parser = argparse.ArgumentParser(
        prog="nitrogen-export",
        description="Convert a NitroGen checkpoint and publish it as a version in a Triton model repository.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    own = "the checkpoint's own"
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="an ng.pt file")
    parser.add_argument(
        "--repository", metavar="DIR", type=Path, required=True, help="Triton's model repository"
    )
    parser.add_argument("--name", default="nitrogen", help="name of the Triton model")
    parser.add_argument(
        "--version", type=_positive, metavar="N", help="version number; None: the next free one"
    )
    parser.add_argument(
        "--max-batch-size", type=_positive, default=16, metavar="N", help="largest dynamic batch"
    )
    parser.add_argument("--steps", type=_positive, metavar="N", help=f"sampler steps; None: {own}")
    parser.add_argument(
        "--context",
        type=_positive,
        metavar="K",
        dest="context_length",
        help=f"frames seen at once; None: {own}",
    )
    parser.add_argument(
        "--cfg-scale", type=float, default=1.0, metavar="S", help="classifier-free guidance; 1.0 is off"
    )
    parser.add_argument(
        "--device-kind",
        choices=["auto", "cpu", "gpu"],
        default="auto",
        help="auto leaves the choice to Triton",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing version")
    return ExportOptions(**vars(parser.parse_args(arguments)))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return number


if __name__ == "__main__":
    sys.exit(main())
