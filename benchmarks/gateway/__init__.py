"""Measurements of the gateway, beside direct calls of Triton."""
