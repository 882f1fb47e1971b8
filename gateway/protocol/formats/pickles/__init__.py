"""Pickles of the Python clients, read by a machine that builds plain data and calls nothing."""
