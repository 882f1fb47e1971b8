"""ZeroMQ's protocol and envelopes, without sockets."""
