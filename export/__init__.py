"""From a NitroGen checkpoint (`ng.pt`) to a model in a Triton model repository.

The way of the data: `checkpoint` reads the file, `config` and `vision_config` its figures, `tensors` says
which tensors it must hold, `weights` carries them into `policy`, `torchscript` saves and verifies the graph,
`repository` publishes it.
"""
