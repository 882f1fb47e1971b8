"""How long a test waits for what has to come: far longer than it takes, because the machine may be busy."""

WITHIN_S = 120
