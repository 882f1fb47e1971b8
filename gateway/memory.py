"""Memory for frames: what one request has freed stays with the process for the next one.

By default glibc gives memory back to the system as soon as a few hundred kilobytes are free, so that the
system would map, and fill with zeros, a frame's memory at each stage of its way.
"""

import ctypes

# From glibc's malloc.h.
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
# Larger pieces go back at once, such as a decoded screenshot.
_LARGE_BYTES = 4 * 2**20
# Beyond so much, what is free goes back: after a flood the process is small again.
_MAX_FREE_BYTES = 32 * 2**20


def keep_memory_for_frames() -> None:
    """Keep freed memory for the frames to come; without effect where the C library is not glibc."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
        libc.mallopt(_TRIM_THRESHOLD, _MAX_FREE_BYTES)
