"""Measurements of the exported network on a GPU; they need PyTorch, numpy and the checkout alone."""
