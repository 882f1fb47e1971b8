"""The ports' formats: bytes to requests and replies to bytes, without sockets or asyncio."""
