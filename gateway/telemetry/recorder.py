"""Recording requests on disk, in a thread: those that cannot be written in time are dropped.

Handing over a recording takes microseconds. A slow or full disk costs recordings and nothing else.
"""

import logging
import os
import queue
import threading
from pathlib import Path

from gateway.errors import StartError
from gateway.telemetry.kept_recordings import KeptRecordings
from gateway.telemetry.metrics import RecordingCounts
from gateway.telemetry.recording_format import Exchange, pack, recording_name

logger = logging.getLogger(__name__)

# Bytes that may wait for the disk: a few seconds of many players.
_MAX_WAITING_BYTES = 64 * 2**20
_MAX_WAITING = 512
_ROW_BYTES = 1024  # of what was pressed, in memory


class Recorder:
    """Writes exchanges into a folder, and deletes the oldest ones once all have `max_bytes`.

    Args:
        folder: made if it is missing.
        max_bytes: of all recordings.
        counts: the metrics' figures.
        writers: how many processes write into the folder.

    Raises:
        StartError: the folder cannot be made or written to.
    """

    def __init__(self, folder: Path, max_bytes: int, counts: RecordingCounts, writers: int = 1) -> None:
        self._folder = folder
        self._counts = counts
        self._kept = KeptRecordings(folder, max_bytes, writers)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartError(f"--record is {str(folder)!r}, which cannot be made ({error})") from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StartError(f"--record is {str(folder)!r}, where this user may not write")
        self._waiting: queue.SimpleQueue[Exchange | None] = queue.SimpleQueue()
        # Each is counted in one thread, so that no lock is needed.
        self._taken_in = self._taken_in_bytes = 0
        self._done = self._done_bytes = 0
        self._closed = False
        self._abandoned = False
        self._thread = threading.Thread(target=self._write_all, name="record", daemon=True)
        self._thread.start()

    def record(self, exchange: Exchange) -> None:
        """Take an exchange to write, or drop it if too much waits already; never wait. For one thread."""
        size = _size(exchange)
        waiting_bytes = self._taken_in_bytes - self._done_bytes
        if (
            self._closed
            or self._taken_in - self._done >= _MAX_WAITING
            or waiting_bytes + size > _MAX_WAITING_BYTES
        ):
            self._counts.dropped += 1
            logger.warning(
                "a request was not recorded: %d are waiting for the disk", self._taken_in - self._done
            )
            return
        self._taken_in += 1
        self._taken_in_bytes += size
        self._waiting.put(exchange)

    def close(self, timeout_s: float = 3.0) -> None:
        """Write what waits, for at most `timeout_s` seconds; call it from a thread."""
        if self._closed:
            return
        self._closed = True
        self._waiting.put(None)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._abandoned = True
            logger.warning(
                "%d requests were not recorded: the disk took longer than %g s",
                self._taken_in - self._done,
                timeout_s,
            )
            self._counts.dropped += self._taken_in - self._done

    def _write_all(self) -> None:
        """Write exchanges until the recorder is closed."""
        self._first_look()
        while (exchange := self._waiting.get()) is not None and not self._abandoned:
            self._write(exchange)
            self._done += 1
            self._done_bytes += _size(exchange)

    def _first_look(self) -> None:
        try:
            self._kept.make_room(0)
        except OSError as error:
            logger.warning("the recordings in %s cannot be listed: %s", self._folder, error)
        self._counts.kept_bytes = self._kept.kept_bytes

    def _write(self, exchange: Exchange) -> None:
        counts = self._counts
        try:
            size = self._kept.write(recording_name(exchange), pack(exchange))
        except OSError as error:
            counts.failed += 1
            logger.warning("a request could not be recorded in %s: %s", self._folder, error)
        except Exception:
            counts.failed += 1
            logger.exception("a recording failed unexpectedly")
        else:
            counts.written += 1
            counts.written_bytes += size
        counts.kept_bytes = self._kept.kept_bytes


def _size(exchange: Exchange) -> int:
    """Return roughly how many bytes of memory an exchange takes."""
    image, played = exchange.request.image, exchange.request.played
    held = 4096 if exchange.frame is None else 4096 + len(exchange.frame)
    if played is not None:
        return held + _ROW_BYTES * len(played.rows)
    if image is None:
        return held
    return held + (image.rgb.nbytes if hasattr(image, "rgb") else len(image.data))
