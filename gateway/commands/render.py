"""`nitrogen-gateway render`: a recording as an MP4 film, with the pad beside the frame."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import PIL.Image

from command_line.paths import local_path
from gateway.commands.chosen_recordings import NoRecordingsError, add_flags, chosen_recordings, whole_number
from gateway.commands.film import pictures, write_film
from gateway.telemetry.recording_format import RecordedPlayed, RecordingError, read_recording


class RenderError(Exception):
    """The film cannot be made; the message says why and what to do."""


def main(words: Sequence[str]) -> int:
    """Run the command; return 0, or 1 and a sentence on stderr if there is no film."""
    arguments = _parser().parse_args(words)
    try:
        return _render(arguments.folder, arguments.client, arguments.output, arguments.fps)
    except RenderError as error:
        sys.stderr.write(f"nitrogen-gateway render: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nitrogen-gateway render", description="Turn what --record has written into a film."
    )
    add_flags(parser)
    parser.add_argument(
        "--output", type=local_path, default=Path("recording.mp4"), help="the film (%(default)s)"
    )
    parser.add_argument(
        "--fps", type=whole_number(240), default=30, help="steps shown per second (%(default)s)"
    )
    return parser


def _render(folder: Path, client: str | None, output: Path, fps: int) -> int:
    try:
        paths = chosen_recordings(folder, client)
    except NoRecordingsError as error:
        raise RenderError(str(error)) from error
    skipped: list[str] = []
    shown: list[Path] = []
    under_way = output.with_name(f".{output.name}.part")
    try:
        count = write_film(under_way, _all_pictures(paths, shown, skipped), fps)
        if count:
            under_way.replace(output)
    except ImportError:
        raise RenderError(
            "the library PyAV is missing: in the project's folder, run "
            f"{sys.executable} -m pip install '.[render]'"
        ) from None
    except OSError as error:
        raise RenderError(f"the film {str(output)!r} cannot be written ({error})") from error
    finally:
        under_way.unlink(missing_ok=True)
    for problem in skipped:
        sys.stderr.write(f"nitrogen-gateway render: left out: {problem}\n")
    if count == 0:
        raise RenderError(f"none of the {len(paths)} recordings in {str(folder)!r} can be read")
    sys.stdout.write(f"{output}: {len(shown)} predicts, {count} pictures, {count / fps:.1f} s\n")
    return 0


def _all_pictures(paths: Sequence[Path], shown: list[Path], skipped: list[str]) -> Iterator[PIL.Image.Image]:
    """Yield all predicts' pictures; list the predicts in `shown`, those that cannot be read in `skipped`."""
    for path in paths:
        try:
            found = read_recording(path)
        except (RecordingError, OSError) as error:
            # The gateway may have deleted it to stay below its limit.
            skipped.append(str(error))
            continue
        if isinstance(found, RecordedPlayed):
            continue
        shown.append(path)
        yield from pictures(found)
