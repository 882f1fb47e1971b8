"""The stack without Docker: a real Triton from a Python wheel, and the gateway, as one program.

`serve` is its life from start to stop; `triton_server` runs Triton, watched by `keeper`; `backends` holds
what stands in for Triton's C++ libtorch backend on machines without the NGC container.
"""
