"""Measurements of what an exported version costs."""
