"""What a message of port 5555 may be written in."""
