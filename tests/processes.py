"""The processes of a running stack, and what they leave behind."""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """A process; its start time distinguishes it from a later one with the same id."""

    pid: int
    started: str
    name: str


def descendants(pid: int) -> set[Process]:
    """All processes below one."""
    children: dict[int, list[Process]] = {}
    for process, parent, _ in _all():
        children.setdefault(parent, []).append(process)
    found: set[Process] = set()
    todo = [pid]
    while todo:
        for child in children.get(todo.pop(), []):
            found.add(child)
            todo.append(child.pid)
    return found


def alive(processes: set[Process]) -> set[Process]:
    """Those that still run; one that has ended and only waits to be collected counts as gone."""
    return processes & {process for process, _, state in _all() if state not in "ZX"}


def _all() -> list[tuple[Process, int, str]]:
    """Every process of the machine with its parent and state, from /proc/PID/stat."""
    processes = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                text = (folder / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            # The name stands in parentheses and may hold any character.
            name, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
            processes.append((Process(int(folder.name), rest[19], name), int(rest[1]), rest[0]))
    return processes


def triton_pids(flag: str) -> list[int]:
    """Process ids of the tritonservers with this flag; none when none runs."""
    pids = []
    for process, *_ in _all():
        if process.name == "tritonserver":
            with suppress(FileNotFoundError, ProcessLookupError):
                if flag in Path(f"/proc/{process.pid}/cmdline").read_bytes().decode().split("\0"):
                    pids.append(process.pid)
    return pids


def shared_memory_of(processes: set[Process]) -> set[Path]:
    """The segments of /dev/shm that some processes have mapped."""
    found = set()
    for process in processes:
        try:
            lines = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found |= {
            Path(line[line.index("/dev/shm/") :].split(" (")[0]) for line in lines if "/dev/shm/" in line
        }
    return {path for path in found if not path.name.startswith("sem.")}
