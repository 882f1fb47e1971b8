"""Protocol gateway between game clients (ZeroMQ and TCP) and the NitroGen models in Triton.

The way of a request: bytes arrive at a socket (`transport`), a codec turns them into a `Request`
(`protocol`), the data plane turns that into tensors for Triton (`triton`), and the way back is the same.
`telemetry` shows it to operators. No module here imports torch or `export`: the gateway runs in an image
that has neither.
"""
