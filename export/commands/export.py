"""The command that exports: `nitrogen-export [CHECKPOINT] --repository DIR`."""

import argparse
import logging
import stat
import sys
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from command_line.packages import required_packages
from export.checkpoint.digest import adapter_sha256
from export.checkpoint.kept_file import KeptFile
from export.checkpoint.source import (
    DEFAULT_CHECKPOINT,
    DEMO,
    DEMO_NOTICE,
    in_models_dir,
    opened_checkpoint,
    public_path,
)
from export.commands.running_triton import key_of
from export.errors import AdapterError, CheckpointError, DownloadError, OptionError
from export.flags import (
    Given,
    add_models_dir,
    add_repository,
    add_triton_key_file,
    checkpoint_name,
    endpoint,
    model_name,
    parse,
    positive,
    taken_from_environment,
    whole,
)
from export.formats.format import CONFIG_NAME, FORMATS
from export.repository.live import activate
from export.repository.reuse import DIFFERENCES, find_published, serve_again
from export.repository.versions import Version, require_writable_model, versions
from export.settings import (
    DEFAULT_NAME,
    ExportOptions,
    FormatName,
    add_model_flags,
    add_triton_flags,
    export_options,
)

logger = logging.getLogger(__name__)


def run(words: list[str]) -> None:
    """Publish a checkpoint, or find it published; then have a running Triton serve it, if asked to.

    Raises:
        ExportError: one sentence on what went wrong.
    """
    given = parse(_parser(), words)
    try:
        _run(given)
    except DownloadError:
        raise  # it says where the file was to come from
    except (OptionError, CheckpointError, AdapterError) as error:
        if not given.variables:
            raise
        raise type(error)(f"{error} (from the environment: {given})") from error


def _run(given: Given) -> None:
    values = given.values
    reuse, triton = values["reuse"], values["triton"]
    _refuse_contradictions(given)
    key = None if triton is None else key_of(values["triton_key_file"])
    options, why = export_options(values, is_demo=values["checkpoint"] == DEMO)
    if given.variables:
        logger.info("from the environment: %s", given)
    if why:
        logger.info("--format auto: %s, %s", options.settings.formats[0], why)
    if options.checkpoint == DEMO:
        logger.warning(DEMO_NOTICE)
    for name in options.settings.formats:
        model = FORMATS[name].model_name(options)
        if not (reuse and versions(options.repository, model)):
            require_writable_model(options.repository, model)
    logger.info("1 of 3: the checkpoint %s", options.checkpoint)
    if options.settings.adapter is not None:
        adapter = in_models_dir(options.settings.adapter, options.models_dir)
        options = replace(options, settings=replace(options.settings, adapter=adapter))
    with opened_checkpoint(str(options.checkpoint), options.models_dir) as source:
        found = _published(options, source, values["any"]) if reuse else {}
        missing = tuple(name for name in options.settings.formats if name not in found)
        if missing:
            if reuse:
                logger.info("exporting %s into %s", public_path(source), options.repository)
            with required_packages("export"):
                # Only here, because torch takes seconds to import and nothing else needs it.
                from export.publish import export_source  # noqa: PLC0415

            wanted = replace(options, settings=replace(options.settings, formats=missing))
            found |= dict(zip(missing, export_source(wanted, source), strict=True))
    for name in options.settings.formats:
        version = found[name]
        sys.stdout.write(f"{'published' if name in missing else 'reused'} {version.folder}\n")
        sys.stdout.flush()
        if name in missing:
            _warn_if_unreadable(options.repository, version)
        if triton is not None:
            activate(
                options.repository,
                version.model_name,
                version.number,
                triton,
                key=key,
                if_running=values["if_triton_runs"],
                start_timeout_s=values["triton_start_timeout"],
                reload=options.force,
            )


def _refuse_contradictions(given: Given) -> None:
    """Refuse flags that contradict others, or have no effect without them.

    Raises:
        OptionError: naming them.
    """
    values = given.values
    if values["reuse"] and (values["force"] or values["version"] is not None):
        raise OptionError("--reuse takes an existing version: leave out --version and --force")
    if values["any"] and not values["reuse"]:
        raise OptionError("--any has no effect without --reuse: give both")
    for flag, name in (
        ("--if-triton-runs", "if_triton_runs"),
        ("--triton-start-timeout", "triton_start_timeout"),
    ):
        if values[name] and values["triton"] is None:
            raise OptionError(f"{flag} has no effect without --triton HOST:PORT: give both")


def _warn_if_unreadable(repository: Path, version: Version) -> None:
    """Warn when a Triton that runs as another user cannot read a version, as after `umask 077`."""
    model = version.folder.parent
    needed = (repository, model, model / CONFIG_NAME, version.folder, *version.folder.iterdir())
    modes = [path.stat().st_mode for path in needed]
    if any(not mode & stat.S_IROTH or (stat.S_ISDIR(mode) and not mode & stat.S_IXOTH) for mode in modes):
        logger.warning(
            "only this user can read all of %s, so a Triton of another user, as in a container, cannot load "
            "it: run chmod -R go+rX %s",
            version.folder,
            repository,
        )


def _published(
    options: ExportOptions, source: KeptFile, but_for: Collection[str]
) -> dict[FormatName, Version]:
    """Return the formats that are published with the wanted settings; these versions are now served."""
    adapter = options.settings.adapter
    adapter_digest = "" if adapter is None else adapter_sha256(adapter)
    found = {}
    for name in options.settings.formats:
        version = find_published(options, FORMATS[name], source.sha256, adapter_digest, but_for=but_for)
        if version is not None:
            serve_again(options.repository, version)
            logger.info(
                "nothing to export: version %d of %s was made from this checkpoint with these settings",
                version.number,
                version.model_name,
            )
            if not version.facts.conditioning:
                logger.info(
                    "that version was exported before chunk conditioning, so it refuses requests with "
                    "'previous': to serve them, export again without --reuse"
                )
            found[name] = version
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nitrogen-export",
        description="Convert a NitroGen checkpoint and publish it as a version in a Triton model repository. "
        "Other commands: nitrogen-export list | activate | rollback (each with -h). A flag with "
        "[NITROGEN_...] can be given as that environment variable instead; the flag wins, an empty variable "
        "counts as not set.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_repository(parser)
    taken_from_environment(
        [
            *_checkpoint_and_name(parser),
            *add_model_flags(parser),
            add_models_dir(parser),
            *add_triton_flags(parser),
            *_flags_beside(parser),
        ]
    )
    parser.add_argument(
        "--version", type=positive, metavar="N", help="version number; None: the next free one"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing version")
    parser.add_argument(
        "--reuse",
        action="store_true",
        help="instead of exporting again, serve a version of this model that was made from the same "
        "checkpoint with the same settings, if there is one",
    )
    parser.add_argument(
        "--any",
        metavar="SETTING",
        action="append",
        default=[],
        choices=DIFFERENCES,
        help=f"with --reuse: do not compare SETTING, one of {', '.join(DIFFERENCES)}; repeatable",
    )
    parser.add_argument(
        "--triton",
        metavar="HOST:PORT",
        type=endpoint,
        help="also make the Triton at this address serve the version; all of them, if HOST has several "
        "addresses",
    )
    parser.add_argument(
        "--if-triton-runs",
        action="store_true",
        help="succeed even if no Triton answers: it loads the version at its next start",
    )
    return parser


def _checkpoint_and_name(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [
        parser.add_argument(
            "checkpoint",
            nargs="?",
            type=checkpoint_name,
            default=DEFAULT_CHECKPOINT,
            metavar="CHECKPOINT",
            help="a file or a folder with an ng.pt, here or in --models-dir, a Hugging Face id "
            "OWNER/NAME[@REVISION], or the word demo for an untrained model",
        ),
        parser.add_argument("--name", type=model_name, default=DEFAULT_NAME, help="name of the Triton model"),
    ]


def _flags_beside(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Add the other flags that have variables: how many versions stay, and how to reach Triton."""
    return [
        parser.add_argument(
            "--keep", type=whole, default=2, metavar="N", help="versions that stay in the repository; 0: all"
        ),
        add_triton_key_file(parser),
        parser.add_argument(
            "--triton-start-timeout",
            type=whole,
            default=0,
            metavar="SECONDS",
            help="how long to wait while the Triton at --triton takes no connections, as while it loads its "
            "models",
        ),
    ]
