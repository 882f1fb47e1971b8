"""The formats of port 5556, parsed without sockets."""
