"""Recordings of play: films, and a file of actions that can be played again."""
