"""How many requests, and how many bytes of them, are worked on at once, over all clients of the gateway."""

from collections import Counter

# Total bytes of admitted messages and images.
_MAX_BYTES = 2**30


class Admission:
    """Counts with limits, shared by all sessions.

    Args:
        most: requests worked on at once. Once half of them are taken, a client that has one in flight gets no
            second one in: the other half is for clients that have none, so that no flood keeps a player out.
            No address gets more than half.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._per_address: Counter[str] = Counter()
        self.count = 0
        self.bytes = 0

    def admits(self, address: str, own: int, size: int) -> bool:
        """Return whether a client may have one more request, which then counts.

        Args:
            address: the client's.
            own: its requests that are admitted.
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
