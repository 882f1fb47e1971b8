"""The cause in a failure's text, as Triton and its backends write it.

Triton's own words come first, then those of the backend:

- libtorch, C++ or Python: a sentence without the cause, one or two tracebacks of TorchScript, and then the
  exception;
- a Python backend that raises: the exception, then "At:" and the place;
- ONNX Runtime: one long line that begins with places in its source and ends with the cause.
"""

import re

_INTERPRETER = "The following operation failed in the TorchScript interpreter."
_TRACEBACK = re.compile(r"Traceback [^\n]*\(most recent call last\)")
_PLACES = "At:"
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*: +\S")
# gRPC sends the text as metadata, and a client takes 8 to 16 KiB of it: a batch has longer tracebacks.
CHANNEL_OPTIONS = (("grpc.max_metadata_size", 1 << 20), ("grpc.absolute_max_metadata_size", 1 << 20))
_HEAD_CHARACTERS, _TAIL_CHARACTERS = 250, 350


def cause_of(text: str) -> str:
    """Return one line that names a failure's cause, about 600 characters long at most."""
    lines = text.strip().splitlines() or [""]
    first = lines[0].strip()
    if first.endswith(":") and len(lines) > 1:
        first = f"{first} {lines[1].strip()}"
    if _TRACEBACK.search(text):
        exception = _exception(lines)
        before, said, _ = first.partition(_INTERPRETER)
        traceback = _TRACEBACK.search(first)
        if exception is not None and (said or traceback):
            first = (first[: traceback.start()] if traceback else before) + exception
    if len(first) <= _HEAD_CHARACTERS + _TAIL_CHARACTERS:
        return first
    return f"{first[:_HEAD_CHARACTERS]} ... {first[-_TAIL_CHARACTERS:]}"


def _exception(lines: list[str]) -> str | None:
    """Return the line after a traceback's indented lines: `ValueError: what was wrong`."""
    if _PLACES in lines:
        lines = lines[: lines.index(_PLACES)]
    indented = [index for index, line in enumerate(lines) if line[:1].isspace()]
    after = lines[indented[-1] + 1 :] if indented else lines
    # A message may have more lines, some of them indented.
    for line in (*after, *reversed(lines)):
        if _EXCEPTION.match(line):
            return line.strip()
    return None
