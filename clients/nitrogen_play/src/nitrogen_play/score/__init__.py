"""`nitrogen-play score`: the same episodes played with each server, and what the game says of them."""
