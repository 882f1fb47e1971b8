"""NitroGen as Triton serves it: frames and noise in, one chunk of gamepad actions out.

Written from docs/reference/model.md. All that does not depend on the sampler's x is computed once per frame
(vision tower, VL self-attention, keys and values); tables hold what depends on the time step alone. The graph
holds no device, raises for no input values, and returns a flat tuple, as Triton's libtorch backend needs.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from export.checkpoint.config import TOKENS_PER_FRAME, CheckpointConfig
from export.checkpoint.vision_config import VisionConfig
from export.network.actions import ActionDecoder, ActionEncoder
from export.network.conditioning import step_shares, weights_of_rows
from export.network.transformer import DiT, MixerBlock
from export.network.vision import VisionTower


@dataclass(frozen=True)
class Sampling:
    """The settings that an export may choose beyond the checkpoint.

    Attributes:
        context_length: frames seen (K).
        steps: Euler steps (N).
        cfg_scale: guidance, 1 = off.
    """

    context_length: int
    steps: int
    cfg_scale: float


class NitroGen(nn.Module):
    """The whole model; weights are put in by `weights.load_model`."""

    block_adaln: Tensor
    out_adaln: Tensor
    conditioning: Tensor
    game_rows: Tensor

    def __init__(
        self, config: CheckpointConfig, vision: VisionConfig, num_games: int, sampling: Sampling
    ) -> None:
        super().__init__()
        model, dit = config.model_cfg, config.model_cfg.diffusion_model_cfg
        width, steps = model.hidden_size, sampling.steps
        self.context_length = sampling.context_length
        self.horizon = model.action_horizon
        self.steps = steps
        self.cfg_scale = sampling.cfg_scale
        self.tokens_per_frame = TOKENS_PER_FRAME
        self.padding = config.tokenizer_cfg.max_sequence_length - TOKENS_PER_FRAME * sampling.context_length
        guided = sampling.cfg_scale != 1.0
        self.reads_game = num_games > 0 and not guided
        # With one frame the guided and the unguided branch see the same: one of them is enough.
        self.is_guided = guided and sampling.context_length > 1
        self.old_layout = config.tokenizer_cfg.old_layout
        self.vision = VisionTower(vision)
        self.mixer = nn.ModuleList(
            MixerBlock(model.vl_self_attention_cfg) for _ in range(model.vl_self_attention_cfg.num_layers)
        )
        self.dit = DiT(dit, model.action_horizon)
        self.action_encoder = ActionEncoder(width, model.action_horizon, steps)
        self.action_decoder = ActionDecoder(dit.output_dim, width)
        self.register_buffer("game_rows", torch.empty(num_games, model.vision_hidden_size))
        self.register_buffer("block_adaln", torch.empty(steps, dit.num_layers, 2, width))
        self.register_buffer("out_adaln", torch.empty(steps, 2, width))
        self.register_buffer("conditioning", torch.empty(2, 2, steps, 1, 1, 1))

    def forward(
        self,
        frames: Tensor,
        frame_count: Tensor,
        game_id: Tensor,
        noise: Tensor,
        previous: Tensor,
        previous_weight: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return a batch of action chunks.

        Args:
            frames: (B, K, 256, 256, 3) uint8 RGB, newest last; unused older slots come first and are ignored.
            frame_count: (B, 1) int64, used slots; clamped to 1..K.
            game_id: (B, 1) int64, row of the game table; clamped; ignored by a model that reads no game.
            noise: (B, H, 25) float32, x(0).
            previous: (B, H, 25) float32, what the sampler is pulled towards, as x(1).
            previous_weight: (B, H) float32, how strongly in each row: 0 (also for NaN, and then the row of
                `previous` is ignored) to 1 (the row comes back as it is); clamped.

        Returns:
            j_left (B, H, 2), j_right (B, H, 2), buttons (B, H, 21) and actions (B, H, 25), all float32.
        """
        keys_values = self.dit.attend_to(self.mix(self.tokens(frames, frame_count, game_id)))
        return decode(self.sample(noise, previous, previous_weight, keys_values), self.old_layout)

    def sample(
        self, noise: Tensor, previous: Tensor, previous_weight: Tensor, keys_values: list[Tensor]
    ) -> Tensor:
        """x(0) to x(1), (B, H, 25); arguments as in `forward`."""
        weight = weights_of_rows(previous_weight)
        # NaN times 0 is NaN: what no weight asks for is not looked at.
        previous = torch.where(weight > 0, previous, noise)
        pulls, keeps = step_shares(self.conditioning, weight).unbind(0)
        x = noise
        for step in range(self.steps):
            increment = self.increment(x, step, keys_values)
            x = torch.addcmul(torch.lerp(x, previous, pulls[step]), increment, keeps[step])
        return torch.where(weight == 1, previous, x)

    def tokens(self, frames: Tensor, frame_count: Tensor, game_id: Tensor) -> Tensor:
        """Return the vision-language sequence, left-padded with zeros to S = max_sequence_length.

        Returns:
            (B, S, D); with guidance (2B, S, D), the branch that sees the newest frame only after the other.
        """
        count = frame_count.reshape(-1, 1, 1).clamp(1, self.context_length)
        images = self.vision(frames.flatten(0, 1)).unflatten(0, [-1, self.context_length]).flatten(1, 2)
        if self.is_guided:
            images = torch.cat([images, images])
            count = torch.cat([count, torch.ones_like(count)])
        padding = images.new_zeros([images.size(0), self.padding, images.size(2)])
        sequence = torch.cat([padding, images], dim=1)
        row = torch.arange(sequence.size(1), device=sequence.device).reshape(1, -1, 1)
        first_image_row = sequence.size(1) - count * self.tokens_per_frame
        sequence = torch.where(row < first_image_row, torch.zeros_like(sequence), sequence)
        if self.reads_game:
            game = self.game_rows[game_id.reshape(-1).clamp(0, self.game_rows.size(0) - 1)].unsqueeze(1)
            sequence = torch.where(row == first_image_row - 1, game, sequence)
        return sequence

    def mix(self, sequence: Tensor) -> Tensor:
        """Apply the VL self-attention: (B, S, D) to (B, S, D)."""
        for block in self.mixer:
            sequence = block(sequence)
        return sequence

    def increment(self, x: Tensor, step: int, keys_values: list[Tensor]) -> Tensor:
        """Return a sampler step's addition to x, v(x, t) / N, with guidance: (B, H, 25) to (B, H, 25)."""
        if self.is_guided:
            x = torch.cat([x, x])
        hidden = self.action_encoder(x, step)
        hidden = self.dit(hidden, keys_values, self.block_adaln[step], self.out_adaln[step])
        increment: Tensor = self.action_decoder(hidden)
        if self.is_guided:
            conditional, unconditional = increment.to(x.dtype).chunk(2)
            # The same as conditional + cfg_scale * (conditional - unconditional), in one operation.
            increment = torch.lerp(unconditional, conditional, 1 + self.cfg_scale)
        return increment


def decode(actions: Tensor, old_layout: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Turn x(1), (B, H, 25), into sticks in [-1, 1] and buttons 0.0 or 1.0, beside x(1) itself."""
    if old_layout:
        left, right, buttons = actions[..., :2], actions[..., 2:4], actions[..., 4:]
    else:
        buttons, left, right = actions[..., :-4], actions[..., -4:-2], actions[..., -2:]
    return (
        (left * 2 - 1).clamp(-1, 1),
        (right * 2 - 1).clamp(-1, 1),
        (buttons > 0.5).to(actions.dtype),
        actions,
    )
