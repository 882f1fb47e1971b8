"""A bound on the memory that reading a stranger's file may take."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PAGES = Path("/proc/self/statm")  # of this process; Linux alone has it


@contextmanager
def memory_at_most(more_bytes: int) -> Iterator[None]:
    """Let this process's address space grow by at most so many bytes; beyond that, allocating fails."""
    if not _PAGES.exists():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = int(_PAGES.read_text().split()[0]) * resource.getpagesize() + more_bytes
    allowed = [limit for limit in (soft, hard, most) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(allowed), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
