"""How many requests are worked on at once, over all clients of the gateway."""


class Admission:
    """A count with a limit, shared by all sessions.

    `most`: requests worked on at once. Once half of them are taken, a client that has one in flight gets no
    second one in: the other half is for clients that have none, so that no flood keeps a player out.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.count = 0

    def admits(self, own: int) -> bool:
        """Whether a client that has `own` admitted requests may have one more, which then counts."""
        if self.count >= (self._most if own == 0 else self._most // 2):
            return False
        self.count += 1
        return True

    def release(self) -> None:
        """Count an admitted request as done."""
        self.count -= 1
