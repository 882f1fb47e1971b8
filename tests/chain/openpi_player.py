"""Plays by openpi's own client, with its environment: a line of JSON for each step of it."""

import json
import sys

import numpy as np
from openpi_client.websocket_client_policy import WebsocketClientPolicy

address, picture = sys.argv[1:]
frame = np.load(picture)


def say(**fields: object) -> None:
    """Print what happened."""
    print(json.dumps(fields, default=lambda value: value.tolist()), flush=True)  # noqa: T201 - what it is for


policy = WebsocketClientPolicy(address)
say(**policy.get_server_metadata())
for observation in ({"image": frame}, {"observation/image": frame.transpose(2, 0, 1)}):
    got = policy.infer(
        {**observation, "observation/state": np.zeros(8), "seed": np.int64(7), "prompt": "play"}
    )
    timing = got.pop("server_timing")
    say(timing=sorted(timing), dtypes=sorted({str(value.dtype) for value in got.values()}), **got)
say(**policy.infer({"__ctrl__": "episode_start"}))
try:
    policy.infer({"state": np.zeros(8)})
except RuntimeError as error:
    say(error=str(error))
say(shape=policy.infer({"image": frame})["actions"].shape)
