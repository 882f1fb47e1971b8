"""The kinds of game."""
