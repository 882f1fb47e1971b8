"""The formats of port 5555's messages."""
