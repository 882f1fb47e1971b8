"""Protocol gateway between game clients (ZeroMQ and TCP) and the NitroGen models in Triton.

The way of a request: bytes arrive at a port's socket (`ports`), are parsed without I/O into a `Request`
(`protocol`), and wait for their turn (`session`); the data plane turns the request into tensors for Triton
(`triton`). The reply goes the same way back. `telemetry` shows it to operators. No module here imports torch
or `export`: the gateway runs in an image that has neither.
"""
