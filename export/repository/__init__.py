"""The Triton model repository: its configs and versions on disk, and what a running Triton serves of them.

Free of torch.
"""
