"""The command line `python -m standalone`, also installed as `nitrogen-serve`."""

import argparse
import asyncio
import signal
import sys
from functools import partial
from pathlib import Path

from command_line.output import print_every_text
from command_line.packages import required_packages

with required_packages("standalone"):
    import uvloop

    from export.checkpoint.source import DEFAULT_CHECKPOINT, DEMO, DEMO_NOTICE
    from export.errors import ExportError
    from export.flags import (
        add_models_dir,
        add_repository,
        checkpoint_name,
        parse,
        taken_from_environment,
        variable_of,
        words_of,
    )
    from export.repository.reuse import DIFFERENCES
    from export.settings import add_model_flags, add_triton_instances
    from gateway.child import Told
    from gateway.command_line import allow_many_connections, parse_settings
    from gateway.commands.ready import from_this_machine
    from gateway.commands.serve import announcement
    from gateway.errors import StartError
    from gateway.ports.all_ports import PORTS
    from gateway.settings import OFF, GatewaySettings
    from gateway.telemetry.logs import configure_logging
    from standalone.errors import StandaloneError
    from standalone.published import Wanted
    from standalone.serve import ServeOptions, serve
    from standalone.triton_server import TritonPorts


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; 0, or 1 after one sentence on stderr when something cannot start."""
    print_every_text()
    try:
        options = _parse(arguments)
        configure_logging(options.gateway.log_level, options.gateway.log_format)
        allow_many_connections()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve_until_signal(options))
    except (ExportError, StandaloneError, StartError) as error:
        sys.stderr.write(f"nitrogen-serve: {error}\n")
        return 1
    return 0


async def _serve_until_signal(options: ServeOptions) -> None:
    if options.wanted.checkpoint == DEMO:
        sys.stdout.write(f"\n{DEMO_NOTICE}\n")
        sys.stdout.flush()
    serving = asyncio.create_task(serve(options, partial(_announce, options.gateway)))
    stopping = asyncio.Event()

    def stop() -> None:
        # Only once: a second signal must not interrupt the cleanup.
        if not stopping.is_set():
            stopping.set()
            serving.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await serving
    except asyncio.CancelledError:
        if not stopping.is_set():
            raise


def _announce(settings: GatewaySettings, gateway: Told) -> None:
    """Say on stdout that all is up, also in the words of NitroGen's own server."""
    pages = ""
    if gateway.ports["web"]:
        scheme = "http" if settings.web_tls_cert is None else "https"
        pages = f"play page: {scheme}://{from_this_machine(settings.host, gateway.ports['web'])}/\n"
    if settings.live != OFF:
        pages += f"live page: http://{from_this_machine(settings.host, gateway.http_port)}/live\n"
    players = "".join(f"{name} {number or OFF}, " for name, number in gateway.ports.items())
    sys.stdout.write(f"{announcement(gateway.ports)}{pages}ready: {players}http {gateway.http_port}\n")
    sys.stdout.flush()


def _parse(arguments: list[str] | None) -> ServeOptions:
    parser = argparse.ArgumentParser(
        prog="nitrogen-serve",
        description="Serve a NitroGen checkpoint: export it if need be, start Triton and the gateway. "
        "A flag with [NITROGEN_...] can be given as that environment variable instead; the flag wins, an "
        "empty variable counts as not set. The gateway's other settings have such variables too.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    checkpoint = parser.add_argument(
        "checkpoint",
        nargs="?",
        type=checkpoint_name,
        metavar="CHECKPOINT",
        help=f"a file, a folder, or a Hugging Face id OWNER/NAME[@REVISION] ({DEFAULT_CHECKPOINT}), or the "
        "word demo",
    )
    parser.add_argument("--demo", action="store_true", help="serve an untrained model, to try the chain out")
    add_repository(parser, Path("var", "model_repository"))
    parser.add_argument(
        "--load",
        metavar="NAME",
        action="append",
        default=[],
        help='another model of the repository to serve beside it, "*" for all; repeatable',
    )
    gateway_flags = [
        parser.add_argument(flag, help=f"the gateway's {flag}", default=argparse.SUPPRESS)
        for flag in ("--host", *(port.flag for port in PORTS), "--http-port")
    ]
    for name, port in (("http", 8000), ("grpc", 8001), ("metrics", 8002)):
        parser.add_argument(
            f"--triton-{name}-port", type=int, default=port, metavar="PORT", help="Triton's, on 127.0.0.1"
        )
    model_flags = [*add_model_flags(parser, for_serving=True), add_triton_instances(parser)]
    taken_from_environment([checkpoint, add_models_dir(parser), *model_flags])
    given = parse(parser, arguments)
    values = given.values
    if values["demo"] and values["checkpoint"] and variable_of(checkpoint) not in given.variables:
        parser.error("give either a CHECKPOINT or --demo")
    # For a setting without a flag, a published version may have any value.
    compared = {flag.dest for flag in model_flags} - ({"precision"} if values["precision"] is None else set())
    return ServeOptions(
        wanted=Wanted(
            checkpoint=DEMO if values["demo"] else values["checkpoint"] or DEFAULT_CHECKPOINT,
            models_dir=values["models_dir"],
            flags=(
                *words_of(model_flags, values),
                *(f"--any={name}" for name in DIFFERENCES if name not in compared),
            ),
        ),
        repository=values["repository"],
        more_models=tuple(values["load"]),
        triton_ports=TritonPorts(
            values["triton_http_port"], values["triton_grpc_port"], values["triton_metrics_port"]
        ),
        gateway=parse_settings(words_of(gateway_flags, values)),
    )


if __name__ == "__main__":
    sys.exit(main())
