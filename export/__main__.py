"""The command line `python -m export`, also installed as `nitrogen-export`.

`nitrogen-export [CHECKPOINT] --repository DIR` publishes; `list`, `activate` and `rollback` look after what
is published.
"""

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from export.checkpoint.source import DEFAULT_CHECKPOINT
from export.errors import ExportError
from export.flags import add_models_dir, positive, whole
from export.repository.listing import describe_versions
from export.repository.live import activate, rollback

DEFAULT_TRITON = "127.0.0.1:8001"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code is 0, or 1 after one sentence on stderr."""
    words = sys.argv[1:] if arguments is None else arguments
    run, words = (_COMMANDS[words[0]], words[1:]) if words and words[0] in _COMMANDS else (_export, words)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        run(words)
    except ExportError as error:
        sys.stderr.write(f"nitrogen-export: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("nitrogen-export: interrupted\n")
        return 130
    return 0


def _export(words: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="nitrogen-export",
        description="Convert a NitroGen checkpoint and publish it as a version in a Triton model repository. "
        "Other commands: nitrogen-export list | activate | rollback (each with -h).",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    own = "the checkpoint's own"
    parser.add_argument(
        "checkpoint",
        nargs="?",
        default=DEFAULT_CHECKPOINT,
        metavar="CHECKPOINT",
        help="a file, a folder with an ng.pt, or a Hugging Face id OWNER/NAME[@REVISION]",
    )
    _add_repository(parser)
    add_models_dir(parser)
    parser.add_argument("--name", default="nitrogen", help="name of the Triton model")
    parser.add_argument(
        "--version", type=positive, metavar="N", help="version number; None: the next free one"
    )
    parser.add_argument(
        "--format",
        choices=["torchscript", "onnx", "both"],
        default="torchscript",
        help="onnx is published as NAME-onnx",
    )
    parser.add_argument(
        "--precision",
        choices=["auto", "fp32", "bf16", "fp16"],
        default="auto",
        help="of weights and matrix products; auto: bf16 where the device multiplies it and the self-check "
        "passes, else fp32",
    )
    parser.add_argument(
        "--max-batch-size",
        type=positive,
        metavar="N",
        help="largest batch; None: 16 on GPUs, else 8",
    )
    parser.add_argument("--steps", type=positive, metavar="N", help=f"sampler steps; None: {own}")
    parser.add_argument(
        "--context",
        type=positive,
        metavar="K",
        dest="context_length",
        help=f"frames seen at once; None: {own}",
    )
    parser.add_argument(
        "--cfg-scale", type=float, default=1.0, metavar="S", help="classifier-free guidance; 1.0 is off"
    )
    parser.add_argument(
        "--lora",
        metavar="DIR",
        dest="adapter",
        type=Path,
        help="a PEFT adapter (adapter_config.json, adapter_model.safetensors) to merge into the weights",
    )
    parser.add_argument(
        "--device-kind",
        choices=["auto", "cpu", "gpu"],
        default="auto",
        help="auto leaves the choice to Triton",
    )
    parser.add_argument(
        "--keep", type=whole, default=2, metavar="N", help="versions that stay in the repository; 0: all"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing version")
    parser.add_argument(
        "--triton",
        metavar="HOST:PORT",
        type=_endpoint,
        help="also make the Triton that runs there serve the new version",
    )
    values = vars(parser.parse_args(words))
    endpoint, form = values.pop("triton"), values.pop("format")
    # Only here, because torch takes seconds to import and the other commands do without it.
    from export.publish import ExportOptions, export_checkpoint  # noqa: PLC0415

    values["formats"] = ("torchscript", "onnx") if form == "both" else (form,)
    for version in export_checkpoint(ExportOptions(**values)):
        sys.stdout.write(f"published {version.folder}\n")
        sys.stdout.flush()
        if endpoint is not None:
            activate(values["repository"], version.model_name, version.number, endpoint)


def _list(words: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="nitrogen-export list", description="Show the models and versions of a repository."
    )
    _add_repository(parser)
    parser.add_argument("--json", action="store_true", help="all facts, for other programs")
    options = parser.parse_args(words)
    sys.stdout.write(describe_versions(options.repository, as_json=options.json))


def _activate(words: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="nitrogen-export activate",
        description="Make a running Triton serve a published version; requests in flight are not lost.",
    )
    parser.add_argument("name", metavar="NAME", help="name of the Triton model")
    parser.add_argument("version", metavar="VERSION", type=positive)
    _add_repository(parser)
    _add_triton(parser)
    options = parser.parse_args(words)
    activate(options.repository, options.name, options.version, options.triton)
    _say_served(options.name, options.version, options.triton)


def _rollback(words: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="nitrogen-export rollback",
        description="Serve the version that was served before.",
    )
    parser.add_argument("name", metavar="NAME", help="name of the Triton model")
    _add_repository(parser)
    _add_triton(parser)
    options = parser.parse_args(words)
    number = rollback(options.repository, options.name, options.triton)
    _say_served(options.name, number, options.triton)


_COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "list": _list,
    "activate": _activate,
    "rollback": _rollback,
}


def _say_served(name: str, number: int, endpoint: str | None) -> None:
    where = "the next start of Triton loads" if endpoint is None else f"Triton at {endpoint} serves"
    sys.stdout.write(f"{where} {name}, version {number}\n")


def _add_repository(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--repository", metavar="DIR", type=Path, required=True, help="Triton's model repository"
    )


def _add_triton(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--triton",
        metavar="HOST:PORT",
        type=_endpoint,
        default=DEFAULT_TRITON,
        help=f"Triton's gRPC address; none: change only what its next start loads ({DEFAULT_TRITON})",
    )


def _endpoint(text: str) -> str | None:
    return None if text == "none" else text


if __name__ == "__main__":
    sys.exit(main())
