"""How long a test waits for an event: far longer than it takes, because the machine may be busy."""

WITHIN_S = 120
