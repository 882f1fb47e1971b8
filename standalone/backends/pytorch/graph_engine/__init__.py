"""Runs a model's batches: as they come, or in CUDA graphs that were recorded when the model was loaded.

A separate package in the backend's folder, because Triton imports `model.py` beside it as a module of no
package. Free of Triton, but for `metrics`.
"""
