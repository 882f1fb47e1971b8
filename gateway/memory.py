"""Memory for frames: the process keeps what one request frees for the next one.

By default glibc gives memory back to the system as soon as a few hundred kilobytes are free. The system would
then map a frame's memory, and fill it with zeros, at each stage of its way.
"""

import ctypes

# From glibc's malloc.h.
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
# Larger blocks go back at once, such as a decoded screenshot.
_LARGE_BYTES = 4 * 2**20
# Free memory beyond this goes back, so that the process is small again after a flood.
_MAX_FREE_BYTES = 32 * 2**20


def keep_memory_for_frames() -> None:
    """Keep freed memory for later frames; this has no effect unless the C library is glibc."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
        libc.mallopt(_TRIM_THRESHOLD, _MAX_FREE_BYTES)
