"""A Triton model that answers at once or after a fixed time, which leaves the cost of reaching it.

Triton's Python backend runs this file in its stub process.
"""

# Triton puts the types into pb_utils only after it has imported this file.
from __future__ import annotations

import json
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Answers every request with zeros of the configured shapes.

    The config's parameter `batch_ms`: milliseconds that a batch takes, of whatever size; by default none.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Read the outputs' shapes, and how long a batch takes, from the model's config."""
        config = json.loads(args["model_config"])
        self.shapes = {output["name"]: (1, *output["dims"]) for output in config["output"]}
        self.batch_s = (
            float(config["parameters"].get("batch_ms", {"string_value": "0"})["string_value"]) / 1000
        )

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer a dynamic batch; each request is a batch of one."""
        if self.batch_s:
            time.sleep(self.batch_s)
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
