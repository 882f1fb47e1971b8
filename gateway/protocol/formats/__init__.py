"""The formats of a message of port 5555."""
