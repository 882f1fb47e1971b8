"""The ports' formats: bytes to requests and replies to bytes, without sockets and without asyncio."""
