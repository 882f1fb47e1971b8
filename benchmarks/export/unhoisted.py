"""The network as the reference runs it: all but the vision tower is computed again in every sampler step."""

from torch import Tensor

from export.checkpoint.reader import Checkpoint
from export.formats.self_check import Inputs
from export.network.model import NitroGen, decode
from export.network.time_tables import time_buckets, time_tables


def unhoisted(network: NitroGen, checkpoint: Checkpoint, inputs: Inputs) -> Tensor:
    """Return x(1), (B, H, 25), always without chunk conditioning.

    The network, the checkpoint's tensors and the inputs are on one device.
    """
    frames, frame_count, game_id, x = inputs[:4]
    config = checkpoint.config.model_cfg
    sequence = network.tokens(frames, frame_count, game_id)
    for step, bucket in enumerate(time_buckets(network.steps, config.num_timestep_buckets)):
        keys_values = network.dit.attend_to(network.mix(sequence))
        with x.device:
            tables = time_tables(
                checkpoint.tensors, [bucket], config.diffusion_model_cfg.num_layers, config.hidden_size
            )
        # Autocast gives them in low precision.
        block_adaln, out_adaln = (tables[name][0].to(x.dtype) for name in ("block_adaln", "out_adaln"))
        hidden = network.dit(network.action_encoder(x, step), keys_values, block_adaln, out_adaln)
        x = x + network.action_decoder(hidden)
    return decode(x, network.old_layout)[-1]
