"""The frame of tests that do not look at it: black, as bytes, as an array, and as a whole request."""

import numpy as np

FRAME_BYTES = 256 * 256 * 3
# A raw frame as port 5556 takes it, and as the gateway hands it on to Triton.
FRAME = bytes(FRAME_BYTES)
# The same for the Python client and for pickles; never changed.
PIXELS = np.zeros((256, 256, 3), np.uint8)
PIXELS.flags.writeable = False
# All of a request on port 5556.
PREDICT = b'{"type": "predict"}\n' + FRAME
