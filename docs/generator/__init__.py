"""Writes docs/reference/settings.md from the programs' own flags, so that the page agrees with them."""
