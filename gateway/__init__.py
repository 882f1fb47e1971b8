"""Protocol gateway between game clients (ZeroMQ and TCP) and the NitroGen models in Triton.

The way of a request: bytes arrive at a transport (`zmq_server`, `tcp_server`), a codec turns them into
a `messages.Request`, the data plane turns that into tensors for Triton, and the way back is the same.
No module here imports torch or `export`: the gateway runs in an image that has neither.
"""
