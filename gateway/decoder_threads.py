"""Threads that decode strangers' images, without file descriptors, so that no library can write to the log.

Image libraries write to descriptor 2: libpng prints names that a file chose, line breaks and terminal escapes
included, once per picture. In Linux a thread can leave the descriptor table that its process shares. Then 2
is the null device for that thread alone. The rest of the process still logs, and so does a library that
aborts it.
"""

import asyncio
import ctypes
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)

_CLOSE_RANGE_UNSHARE = 2  # linux/close_range.h, Linux 5.9
_ALL_ABOVE = 2**32 - 1


class DecoderThreads:
    """A few threads without descriptors, each with a second thread that waits for it.

    The waiting one has the process's descriptors, because waking the event loop takes a write. `pending`
    counts calls that run or wait for a thread.
    """

    def __init__(self, count: int) -> None:
        self.pending = 0
        self._waiting = ThreadPoolExecutor(count, thread_name_prefix="decoded")
        self._decoding = ThreadPoolExecutor(
            count, thread_name_prefix="decode", initializer=_leave_descriptors
        )

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns; it runs in a thread without descriptors, so it cannot log."""
        self.pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._waiting, lambda: self._decoding.submit(work).result()
            )
        finally:
            self.pending -= 1

    def close(self) -> None:
        """End the threads, and cancel work that has not begun."""
        self._waiting.shutdown(wait=False, cancel_futures=True)
        self._decoding.shutdown(wait=False)


def _leave_descriptors() -> None:
    """Give the calling thread a descriptor table of its own, in which 0, 1 and 2 are the null device."""
    libc = ctypes.CDLL(None)
    everything = ctypes.c_uint(0), ctypes.c_uint(_ALL_ABOVE)
    if not hasattr(libc, "close_range") or libc.close_range(*everything, _CLOSE_RANGE_UNSHARE) != 0:
        logger.warning("image libraries can write to the log: Linux 5.9 and glibc 2.34 would prevent it")
        return
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
