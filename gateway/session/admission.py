"""Limits on the requests in flight, and on their bytes, for all clients of the gateway together."""

from collections import Counter

# Total bytes of admitted messages and images.
_MAX_BYTES = 2**30


class Admission:
    """Counts requests in flight; all sessions share it.

    Args:
        most: the limit. Its second half is for clients that have no request in flight, so that no flood keeps
            a player out. No address gets more than half.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._per_address: Counter[str] = Counter()
        self.count = 0
        self.bytes = 0

    def admits(self, address: str, own: int, size: int) -> bool:
        """Return whether a client may have another request; if so, count it.

        Args:
            address: the client's.
            own: its admitted requests.
            size: the request's bytes.
        """
        half = max(1, self._most // 2)
        if self.count >= (self._most if own == 0 else self._most // 2):
            return False
        if self._per_address[address] >= half or self.bytes + size > _MAX_BYTES:
            return False
        self.count += 1
        self.bytes += size
        self._per_address[address] += 1
        return True

    def release(self, address: str, size: int) -> None:
        """Count an admitted request as done."""
        self.count -= 1
        self.bytes -= size
        self._per_address[address] -= 1
        if not self._per_address[address]:
            del self._per_address[address]
