"""A Triton model that answers at once, so that what it costs to reach it shows.

Triton's Python backend runs this file in its stub process.
"""

# Triton puts the types into pb_utils only after it has imported this file.
from __future__ import annotations

import json

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Answers every request with zeros of the configured shapes."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the outputs' shapes from the model's config."""
        outputs = json.loads(args["model_config"])["output"]
        self.shapes = {output["name"]: (1, *output["dims"]) for output in outputs}

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer a dynamic batch; each request is a batch of one."""
        return [
            pb_utils.InferenceResponse(
                # By DLPack, because the stub's numpy bridge gives empty tensors under numpy 2.
                [
                    pb_utils.Tensor.from_dlpack(name, np.zeros(shape, np.float32))
                    for name, shape in self.shapes.items()
                ]
            )
            for _ in requests
        ]
