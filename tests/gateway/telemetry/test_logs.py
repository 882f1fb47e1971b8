"""The log: one line per event whatever is in it, extras and exceptions in JSON, repeating lines cut short."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.logs import HumanFormatter, JsonFormatter, LimitedHandler
from tests.stack import wait_until


class Log:
    """A logger of its own whose lines go into a string."""

    def __init__(self, formatter: logging.Formatter, window_s: float = 10.0, most: int = 10) -> None:
        self.now = 0.0
        self._stream = io.StringIO()
        self.handler = LimitedHandler(self._stream, window_s, most, lambda: self.now)
        self.handler.setFormatter(formatter)
        self.logger = logging.Logger("gateway.test", logging.DEBUG)  # noqa: LOG001 - of this test only
        self.logger.addHandler(self.handler)

    def lines(self) -> list[str]:
        """Return what was written, split wherever any program would see the end of a line."""
        return self._stream.getvalue().splitlines()

    def parsed(self) -> dict[str, object]:
        """The one line, as JSON."""
        (line,) = self.lines()
        fields: dict[str, object] = json.loads(line, parse_constant=pytest.fail)
        return fields


@pytest.fixture
def human() -> Iterator[Log]:
    log = Log(HumanFormatter())
    yield log
    log.handler.close()


@pytest.fixture
def as_json() -> Iterator[Log]:
    log = Log(JsonFormatter())
    yield log
    log.handler.close()


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)


@given(ANY_TEXT)
def test_any_message_is_one_line_for_people(message: str) -> None:
    log = Log(HumanFormatter())
    log.logger.info("said: %s", message, extra={"request_id": message})
    (line,) = log.lines()
    assert "gateway.test: said: " in line
    assert all(character.isprintable() or ord(character) >= 0xA0 for character in line)


@given(ANY_TEXT)
def test_any_message_is_one_object_of_json(message: str) -> None:
    log = Log(JsonFormatter())
    log.logger.info("said: %s", message, extra={"client": message})
    fields = log.parsed()
    assert fields["message"] == f"said: {message}"
    assert fields["client"] == message


@given(ANY_TEXT, st.lists(st.one_of(st.integers(), st.floats(), ANY_TEXT), max_size=3))
def test_templates_that_do_not_fit_their_arguments_are_one_line(
    template: str, arguments: list[object]
) -> None:
    log = Log(JsonFormatter())
    log.logger.info(template, *arguments)
    assert log.parsed()["level"] == "info"


def test_a_line_for_people_is_as_it_always_was(human: Log) -> None:
    human.logger.warning("port %d", 5555)
    (line,) = human.lines()
    date, time, rest = line.split(" ", 2)
    datetime.strptime(f"{date} {time}", "%Y-%m-%d %H:%M:%S,%f")
    assert rest == "WARNING gateway.test: port 5555"


def test_a_line_break_of_a_client_begins_no_line(human: Log) -> None:
    human.logger.info("client %s", "x\n2026-01-01 00:00:00,000 ERROR root: all is lost\x1b[2J")
    (line,) = human.lines()
    assert r"x\n2026-01-01" in line
    assert r"\x1b[2J" in line


def test_people_see_the_requests_id(human: Log) -> None:
    human.logger.info("late", extra={"request_id": "ab-1"})
    assert human.lines()[0].endswith("late [request ab-1]")


def test_people_see_an_exceptions_traceback_on_its_line(human: Log) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        human.logger.exception("it failed")
    (line,) = human.lines()
    assert "it failed | Traceback" in line
    assert "test_people_see_an_exceptions_traceback" in line
    assert line.endswith("ValueError: first | second")


def test_an_object_has_time_level_logger_and_message(as_json: Log) -> None:
    as_json.logger.error("port %d", 5555)
    fields = as_json.parsed()
    assert list(fields) == ["time", "level", "logger", "message"]
    assert fields["level"] == "error"
    assert fields["logger"] == "gateway.test"
    assert fields["message"] == "port 5555"
    time = datetime.fromisoformat(str(fields["time"]))
    assert time.utcoffset() is not None
    assert time.microsecond % 1000 == 0


def test_extras_are_fields_and_do_not_replace_others(as_json: Log) -> None:
    as_json.logger.info(
        "x", extra={"request_id": "ab-1", "port": 5, "took_s": 0.5, "time": "never", "of": float("nan")}
    )
    fields = as_json.parsed()
    assert fields["request_id"] == "ab-1"
    assert fields["port"] == 5
    assert fields["took_s"] == 0.5
    assert fields["of"] == "nan"
    assert fields["time"] != "never"


def test_an_exception_is_one_field(as_json: Log) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        as_json.logger.exception("it failed")
    exception = str(as_json.parsed()["exception"])
    assert exception.startswith("Traceback")
    assert exception.endswith("ValueError: first\nsecond")


@pytest.mark.parametrize("log", [Log(HumanFormatter()), Log(JsonFormatter())])
def test_long_texts_are_cut(log: Log) -> None:
    log.logger.info("said: %s", "x" * 1_000_000, extra={"client": "y" * 1_000_000})
    (line,) = log.lines()
    assert len(line) < 10_000
    assert "1000006 characters" in line


def repeat(log: Log, count: int, template: str = "client %d is slow") -> None:
    for number in range(count):
        log.logger.warning(template, number)


def test_lines_of_one_template_are_cut_short(human: Log) -> None:
    repeat(human, 100)
    assert len(human.lines()) == 10


def test_lines_of_another_template_are_not(human: Log) -> None:
    repeat(human, 100)
    human.logger.warning("something %s", "else")
    assert "something else" in human.lines()[-1]


def test_the_next_line_after_the_window_says_how_many_were_left_out(human: Log) -> None:
    repeat(human, 100)
    human.now = 10.5
    human.logger.warning("something %s", "else")
    summary, last = human.lines()[10:]
    assert "90 more like this within 10 s, the last one: client 99 is slow" in summary
    assert "something else" in last


def test_after_the_window_lines_are_written_again(human: Log) -> None:
    repeat(human, 100)
    human.now = 10.5
    repeat(human, 3)
    assert len(human.lines()) == 10 + 1 + 3


def test_texts_that_were_formatted_before_are_one_kind_by_their_place(human: Log) -> None:
    for number in range(100):
        human.logger.warning(f"made up {number}")  # noqa: G004 - as other libraries do
    assert len(human.lines()) == 10


def test_debug_lines_are_all_written(human: Log) -> None:
    for number in range(100):
        human.logger.debug("client %d", number)
    assert len(human.lines()) == 100


def test_nothing_is_said_where_nothing_was_left_out(human: Log) -> None:
    repeat(human, 10)
    human.now = 30
    human.handler.tell()
    assert len(human.lines()) == 10


def test_closing_tells_what_was_left_out(human: Log) -> None:
    repeat(human, 12)
    human.handler.close()
    assert "2 more like this" in human.lines()[-1]


def test_many_kinds_of_lines_are_not_all_remembered(human: Log) -> None:
    for number in range(2000):
        human.logger.warning("kind %d: %%s" % number, "x")  # noqa: G002, UP031 - a template each
    written = len(human.lines())
    assert 1000 <= written <= 1100


def test_a_summary_comes_also_when_no_line_follows() -> None:
    stream = io.StringIO()
    handler = LimitedHandler(stream, window_s=0.1, most=2)
    logger = logging.Logger("gateway.test")  # noqa: LOG001 - of this test only
    logger.addHandler(handler)
    for number in range(50):
        logger.warning("client %d", number)
    wait_until(lambda: "more like this" in stream.getvalue(), "the summary is written")
    handler.close()


PROGRAM = """
import logging, sys, warnings
from gateway.telemetry.logs import configure_logging
configure_logging("info", sys.argv[1])
configure_logging("info", sys.argv[1])
logging.getLogger("gateway.a").debug("not shown")
for number in range(30):
    logging.getLogger("gateway.a").info("number %d", number)
warnings.warn("two\\nlines")
"""


@pytest.mark.parametrize("form", ["human", "json"])
def test_a_process_logs_to_stderr_and_tells_at_its_end_what_was_left_out(form: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, form], capture_output=True, text=True, check=True, timeout=60
    )
    lines = ended.stderr.splitlines()
    assert ended.stdout == ""
    assert len(lines) == 10 + 1 + 1
    assert "two\\nlines" in lines[10]
    assert "20 more like this" in lines[11]
    if form == "json":
        assert [json.loads(line)["level"] for line in lines] == ["info"] * 10 + ["warning", "info"]
