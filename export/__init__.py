"""From a NitroGen checkpoint to a model in a Triton model repository.

The way of the data: `checkpoint` finds, reads and checks the file; `network` is the model that is served;
`formats` writes it as a graph and proves that the graph computes the same; `repository` publishes it as a
version, and switches between versions. `publish` goes the whole way once.
"""
