"""The log: one line per event on stderr, for people or as JSON, whatever clients send.

Clients' names and messages are logged, so control characters are written as escapes: nobody can forge a line
or control the operator's terminal. Repeated lines are only counted.
"""

import json
import logging
import math
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TextIO

from gateway.safe_text import one_line, shortened

LogFormat = Literal["human", "json"]

MAX_CHARACTERS = 4000
_MAX_TRACEBACK_CHARACTERS = 20_000
_OF_EVERY_RECORD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}

# Lines of one kind that are written within the window; the others are only counted.
_MAX_REPEATS = 10
_WINDOW_S = 10.0
# Kinds of lines that are told apart; all further ones count as one kind.
_MAX_KINDS = 1000


def configure_logging(level: str, form: LogFormat = "human") -> None:
    """Send the whole process's log to stderr, from `level` on.

    Args:
        level: "debug", "info", "warning" or "error".
        form: "human", or "json" for one JSON object per line with `time`, `level`, `logger`, `message`, the
            fields that were given as `extra`, and `exception` with the traceback.
    """
    handler = LimitedHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else HumanFormatter())
    root = logging.getLogger()
    for former in list(root.handlers):
        root.removeHandler(former)
        former.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)


class HumanFormatter(logging.Formatter):
    """One line with time, level, logger and message, then the request's id and an exception's traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        parts = [f"{self.formatTime(record)} {record.levelname} {record.name}: {_message(record)}"]
        request_id = getattr(record, "request_id", None)
        if request_id is not None:
            parts.append(f"[request {request_id}]")
        if (trace := _traceback(record)) is not None:
            parts.append("| " + " | ".join(line.strip() for line in trace.splitlines()))
        return one_line(" ".join(parts))


class JsonFormatter(logging.Formatter):
    """One JSON object per line, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        for name, value in vars(record).items():
            if name not in _OF_EVERY_RECORD and name not in fields:
                fields[name] = _plain(value)
        if (trace := _traceback(record)) is not None:
            fields["exception"] = trace
        return json.dumps(fields)


@dataclass(slots=True)
class _Kind:
    """How often one kind of line came since `since`; `sample` is one that was left out."""

    since: float
    count: int = 0
    left_out: int = 0
    sample: logging.LogRecord | None = None


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Writes at most ten lines of one kind within ten seconds, then one that says how many were left out.

    Lines are of one kind if they have the same template, or, without arguments, the same place in the code.
    Debug lines are all written.
    """

    def __init__(
        self,
        stream: TextIO,
        window_s: float = _WINDOW_S,
        most: int = _MAX_REPEATS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(stream)
        self._window_s = window_s
        self._most = most
        self._clock = clock
        # The earliest window first.
        self._kinds: dict[object, _Kind] = {}
        self._timer: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record's line, unless it is one of too many."""
        if record.levelno > logging.DEBUG and self._is_left_out(record):
            return
        super().emit(record)

    def tell(self, *, at_end: bool = False) -> None:
        """Write, for each kind whose window is over, how many lines were left out."""
        self.acquire()
        try:
            oldest = self._clock() - self._window_s
            over = [key for key, kind in self._kinds.items() if at_end or kind.since <= oldest]
            for key in over:
                kind = self._kinds.pop(key)
                if kind.left_out and kind.sample is not None:
                    super().emit(_summary(kind.sample, kind.left_out, self._window_s))
        finally:
            self.release()

    def close(self) -> None:
        """Write how many lines were left out so far, and close."""
        if self._timer is not None:
            self._timer.cancel()
        self.tell(at_end=True)
        super().close()

    def _is_left_out(self, record: logging.LogRecord) -> bool:
        """Count a line, and return whether it is one of too many; the caller holds the handler's lock."""
        key = (record.name, record.msg) if record.args else (record.pathname, record.lineno)
        now = self._clock()
        if key not in self._kinds and len(self._kinds) >= _MAX_KINDS:
            self.tell()
            key = key if len(self._kinds) < _MAX_KINDS else ("", "")
        kind = self._kinds.get(key)
        if kind is None or now - kind.since >= self._window_s:
            self.tell()
            kind = self._kinds[key] = _Kind(now)
        kind.count += 1
        if kind.count <= self._most:
            return False
        kind.left_out += 1
        kind.sample = record
        if kind.left_out == 1:
            self._tell_later()
        return True

    def _tell_later(self) -> None:
        """Let a thread write the summaries when the window is over, in case no other line comes."""
        if self._timer is None or not self._timer.is_alive():
            self._timer = threading.Timer(self._window_s, self._tell_in_time)
            self._timer.daemon = True
            self._timer.start()

    def _tell_in_time(self) -> None:
        self.acquire()
        try:
            self.tell()
            self._timer = None
            if any(kind.left_out for kind in self._kinds.values()):
                self._tell_later()
        finally:
            self.release()


def _summary(sample: logging.LogRecord, count: int, window_s: float) -> logging.LogRecord:
    """Return the record that sums up lines that were left out; `sample` is one of them."""
    return logging.LogRecord(
        sample.name,
        sample.levelno,
        sample.pathname,
        sample.lineno,
        "%d more like this within %g s, the last one: %s",
        (count, window_s, _message(sample)),
        None,
    )


def _message(record: logging.LogRecord) -> str:
    """Return the record's text, cut to a bounded length, even if its arguments do not fit its template."""
    try:
        text = record.getMessage()
    except Exception:  # the arguments' own __str__ may raise anything; the line matters more
        text = f"{record.msg} (with arguments that do not fit)"
    if len(text) > MAX_CHARACTERS:
        return f"{text[:MAX_CHARACTERS]}... ({len(text)} characters)"
    return text


def _traceback(record: logging.LogRecord) -> str | None:
    """Return an exception's traceback, or the end of a long one; None without an exception."""
    exception = record.exc_info[1] if record.exc_info else None
    if exception is None:
        return None
    text = "".join(traceback.format_exception(exception)).strip()
    return text if len(text) <= _MAX_TRACEBACK_CHARACTERS else f"...{text[-_MAX_TRACEBACK_CHARACTERS:]}"


def _plain(value: object) -> object:
    """Return a value that every JSON parser accepts."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return shortened(str(value), MAX_CHARACTERS)
