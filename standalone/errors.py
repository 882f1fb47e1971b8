"""The standalone's one error: it cannot start, or cannot go on."""


class StandaloneError(Exception):
    """The stack cannot be brought up; the message says which part, why, and what to do."""
