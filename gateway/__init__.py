"""Protocol gateway between game clients and the NitroGen models in Triton.

A request's bytes arrive at a port's socket (`ports`), are parsed without I/O into a `Request` (`protocol`),
and wait for their turn (`session`); the data plane turns the request into tensors for Triton (`triton`). The
reply goes back the same way. `telemetry` shows operators what happens. No module here imports torch or
`export`: the gateway runs in an image that has neither.
"""
