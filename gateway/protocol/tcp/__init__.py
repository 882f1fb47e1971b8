"""What arrives on port 5556, parsed without sockets."""
