"""The command that exports: `nitrogen-export [CHECKPOINT] --repository DIR`."""

import argparse
import logging
import stat
import sys
from pathlib import Path
from typing import Any

from command_line.packages import required_packages
from export.checkpoint.digest import adapter_sha256
from export.checkpoint.source import (
    DEFAULT_CHECKPOINT,
    DEMO,
    DEMO_NOTICE,
    CheckpointSource,
    in_models_dir,
    opened_checkpoint,
)
from export.commands.running_triton import key_of
from export.errors import AdapterError, CheckpointError, DownloadError, OptionError
from export.flags import (
    Given,
    add_models_dir,
    add_repository,
    add_triton_key_file,
    add_weights,
    checkpoint_name,
    endpoint,
    finite,
    model_name,
    model_path,
    parse,
    positive,
    taken_from_environment,
    whole,
)
from export.repository.live import activate
from export.repository.reuse import DEFAULT_NAME, Settings, find_published, serve_again
from export.repository.triton_config import CONFIG_NAME, SUFFIXES, Format
from export.repository.versions import Version, require_writable_model, versions

logger = logging.getLogger(__name__)


def run(words: list[str]) -> None:
    """Publish a checkpoint, or find it published; then have a running Triton serve it, if that is wanted.

    Raises:
        ExportError: one sentence on what went wrong.
    """
    given = parse(_parser(), words)
    try:
        _run(given)
    except DownloadError:
        raise  # it says whence the file was to come
    except (OptionError, CheckpointError, AdapterError) as error:
        if not given.variables:
            raise
        raise type(error)(f"{error} (from the environment: {given})") from error


def _run(given: Given) -> None:
    values = dict(given.values)
    reuse, triton, if_running = (values.pop(name) for name in ("reuse", "triton", "if_triton_runs"))
    key_file, form = values.pop("triton_key_file"), values.pop("format")
    start_timeout_s = values.pop("triton_start_timeout")
    forms: tuple[Format, ...] = ("torchscript", "onnx") if form == "both" else (form,)
    if reuse and (values["force"] or values["version"] is not None):
        raise OptionError("--reuse takes a version that is there: leave --version and --force out")
    if if_running and triton is None:
        raise OptionError("--if-triton-runs says nothing without --triton HOST:PORT: give it, too")
    if start_timeout_s and triton is None:
        raise OptionError("--triton-start-timeout says nothing without --triton HOST:PORT: give it, too")
    key = None if triton is None else key_of(key_file)
    if given.variables:
        logger.info("from the environment: %s", given)
    if values["checkpoint"] == DEMO:
        logger.warning(DEMO_NOTICE)
    for form in forms:
        model = values["name"] + SUFFIXES[form]
        if not (reuse and versions(values["repository"], model)):
            require_writable_model(values["repository"], model)
    logger.info("1 of 3: the checkpoint %s", values["checkpoint"])
    if values["adapter"] is not None:
        values["adapter"] = in_models_dir(values["adapter"], values["models_dir"])
    with opened_checkpoint(values["checkpoint"], values["models_dir"]) as source:
        found = _published(values, forms, source) if reuse else {}
        missing = tuple(form for form in forms if form not in found)
        if missing:
            with required_packages("export"):
                # Only here, because torch takes seconds to import and all else does without it.
                from export.publish import ExportOptions, export_source  # noqa: PLC0415

            exported = export_source(ExportOptions(**values, formats=missing), source)
            found |= dict(zip(missing, exported, strict=True))
    for form in forms:
        version = found[form]
        sys.stdout.write(f"{'published' if form in missing else 'reused'} {version.folder}\n")
        sys.stdout.flush()
        if form in missing:
            _say_if_closed(values["repository"], version)
        if triton is not None:
            activate(
                values["repository"],
                version.model_name,
                version.number,
                triton,
                key=key,
                if_running=if_running,
                start_timeout_s=start_timeout_s,
                reload=values["force"],
            )


def _say_if_closed(repository: Path, version: Version) -> None:
    """Warn of what a Triton that runs as another user could not read, as after `umask 077`."""
    model = version.folder.parent
    needed = (repository, model, model / CONFIG_NAME, version.folder, *version.folder.iterdir())
    modes = [path.stat().st_mode for path in needed]
    if any(not mode & stat.S_IROTH or (stat.S_ISDIR(mode) and not mode & stat.S_IXOTH) for mode in modes):
        logger.warning(
            "only this user can read all of %s: a Triton of another user, as in a container, cannot load it "
            "before chmod -R go+rX %s",
            version.folder,
            repository,
        )


def _published(
    values: dict[str, Any], forms: tuple[Format, ...], source: CheckpointSource
) -> dict[Format, Version]:
    """The forms of the model that are published as they are wanted; they are now the ones to serve."""
    repository, name = values["repository"], values["name"]
    adapter = "" if values["adapter"] is None else adapter_sha256(values["adapter"])
    found = {}
    for form in forms:
        settings = Settings(
            form=form,
            steps=values["steps"],
            context_length=values["context_length"],
            cfg_scale=values["cfg_scale"],
            precision=values["precision"],
            max_batch_size=values["max_batch_size"] or "auto",
            max_queue_size=values["max_queue_size"],
            device_kind=values["device_kind"],
            weights=values["weights"],
        )
        version = find_published(repository, source.sha256, adapter, settings, name)
        if version is not None:
            serve_again(repository, version)
            logger.info(
                "nothing to export: version %d of %s was made from this checkpoint with these settings",
                version.number,
                version.model_name,
            )
            found[form] = version
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nitrogen-export",
        description="Convert a NitroGen checkpoint and publish it as a version in a Triton model repository. "
        "Other commands: nitrogen-export list | activate | rollback (each with -h). A flag with "
        "[NITROGEN_...] can be given as that environment variable instead; the flag wins, an empty variable "
        "is none.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_repository(parser)
    taken_from_environment([*_model_flags(parser), add_models_dir(parser), *_repository_flags(parser)])
    parser.add_argument(
        "--version", type=positive, metavar="N", help="version number; None: the next free one"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing version")
    parser.add_argument(
        "--reuse",
        action="store_true",
        help="export nothing when a version of this model was made from the same checkpoint with the same "
        "settings: serve that one",
    )
    parser.add_argument(
        "--triton",
        metavar="HOST:PORT",
        type=endpoint,
        help="also make the Triton that runs there serve the version; all of them, when the name has several "
        "addresses",
    )
    parser.add_argument(
        "--if-triton-runs",
        action="store_true",
        help="no error when no Triton answers: its next start loads it",
    )
    return parser


def _model_flags(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Add what says which model is made."""
    own = "the checkpoint's own"
    return [
        parser.add_argument(
            "checkpoint",
            nargs="?",
            type=checkpoint_name,
            default=DEFAULT_CHECKPOINT,
            metavar="CHECKPOINT",
            help="a file or a folder with an ng.pt, here or in --models-dir, a Hugging Face id "
            "OWNER/NAME[@REVISION], or the word demo: an untrained model",
        ),
        parser.add_argument("--name", type=model_name, default=DEFAULT_NAME, help="name of the Triton model"),
        parser.add_argument(
            "--format",
            choices=["torchscript", "onnx", "both"],
            default="torchscript",
            help="onnx is published as NAME-onnx",
        ),
        parser.add_argument(
            "--precision",
            choices=["auto", "fp32", "bf16", "fp16"],
            default="auto",
            help="of weights and matrix products; auto: bf16 where the device multiplies it and the "
            "self-check passes, else fp32",
        ),
        parser.add_argument("--steps", type=positive, metavar="N", help=f"sampler steps; None: {own}"),
        parser.add_argument(
            "--context",
            type=positive,
            metavar="K",
            dest="context_length",
            help=f"frames seen at once; None: {own}",
        ),
        parser.add_argument(
            "--cfg-scale",
            type=finite,
            default=1.0,
            metavar="S",
            help="classifier-free guidance; 1.0 is off",
        ),
        add_weights(parser),
        parser.add_argument(
            "--lora",
            metavar="DIR",
            dest="adapter",
            type=model_path,
            help="a PEFT adapter (adapter_config.json, adapter_model.safetensors) to merge into the weights, "
            "here or in --models-dir",
        ),
    ]


def _repository_flags(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Add what says how Triton is to run the model, and what stays."""
    return [
        parser.add_argument(
            "--max-batch-size",
            type=positive,
            metavar="N",
            help="largest batch; None: 16 on GPUs, else 8",
        ),
        parser.add_argument(
            "--max-queue-size",
            type=whole,
            default=0,
            metavar="N",
            help="requests that Triton keeps waiting before it refuses more; 0: no bound but the gateway's, "
            "for Triton's own makes players wait longer",
        ),
        parser.add_argument(
            "--device-kind",
            choices=["auto", "cpu", "gpu"],
            default="auto",
            help="auto leaves the choice to Triton",
        ),
        parser.add_argument(
            "--keep", type=whole, default=2, metavar="N", help="versions that stay in the repository; 0: all"
        ),
        add_triton_key_file(parser),
        parser.add_argument(
            "--triton-start-timeout",
            type=whole,
            default=0,
            metavar="SECONDS",
            help="how long to wait for a Triton at --triton that takes no connections yet: it may be loading "
            "its models",
        ),
    ]
