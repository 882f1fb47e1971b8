"""The network that is served, as plain PyTorch, and its weights."""
