"""Triton's side: the connection, the models behind it, and the tensors that go there and come back."""
