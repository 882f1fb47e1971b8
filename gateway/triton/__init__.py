"""Triton's side: the connection, the models behind it, and their input and output tensors."""
