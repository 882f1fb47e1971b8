"""What a GPU makes of the exported network. Needs PyTorch, numpy and the checkout, and nothing else."""
