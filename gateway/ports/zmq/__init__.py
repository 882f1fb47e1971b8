"""Port 5555: ZeroMQ with pickle or msgpack."""
