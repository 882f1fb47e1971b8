"""The checkpoint's own configuration (`ckpt_config`), as typed data.

Unknown keys are ignored, as the reference does; missing, unsupported and contradictory ones are refused.
docs/reference/model.md explains each figure.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from export.errors import CheckpointError, shown

logger = logging.getLogger(__name__)

TOKENS_PER_FRAME = 256

_RELEASED_MODALITY = {"frame_per_sample": 1, "action_interleaving": False}
_RESTORE = (
    "copy it from the checkpoint that this one was trained from, c['ckpt_config'] = "
    "torch.load('nitrogen/ng.pt', weights_only=True)['ckpt_config'], and save this one again"
)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class TransformerConfig(_Section):
    """Figures that the DiT and the VL self-attention share."""

    num_attention_heads: int = Field(gt=0)
    attention_head_dim: int = Field(gt=0)
    num_layers: int = Field(ge=0, le=256)
    attention_bias: Literal[True] = True
    norm_eps: float = Field(default=1e-5, ge=1e-5, le=1e-5)  # the only one that the blocks have
    activation_fn: Literal["gelu-approximate"] = "gelu-approximate"
    positional_embeddings: Literal["sinusoidal"] | None = None
    max_num_positional_embeddings: int = Field(default=512, gt=0)

    @property
    def width(self) -> int:
        """Width of the hidden states, heads x head_dim."""
        return self.num_attention_heads * self.attention_head_dim

    @property
    def position_rows(self) -> int:
        """Rows of each block's sinusoidal table, 0 without one."""
        return self.max_num_positional_embeddings if self.positional_embeddings else 0


class DiTConfig(TransformerConfig):
    """Figures of the diffusion transformer."""

    num_layers: int = Field(gt=0, le=256)
    output_dim: int = Field(gt=0)
    norm_type: Literal["ada_norm"] = "ada_norm"
    norm_elementwise_affine: Literal[False] = False
    interleave_self_attention: bool
    cross_attention_dim: int | None = None

    def is_self_attention(self, block: int) -> bool:
        """Return whether a block attends to the actions themselves: the odd ones, when interleaved."""
        return self.interleave_self_attention and block % 2 == 1

    @property
    def context_width(self) -> int:
        """Width of the states that the cross blocks attend to."""
        return self.width if self.cross_attention_dim is None else self.cross_attention_dim


class ModelConfig(_Section):
    """The `model_cfg` section."""

    model_type: Literal["nitrogen"] = "nitrogen"
    add_pos_embed: bool
    add_view_embed: Literal[False] = False
    diffusion_model_cfg: DiTConfig
    vl_self_attention_cfg: TransformerConfig
    hidden_size: int = Field(gt=0)
    max_seq_len: int = Field(gt=0)
    action_dim: Literal[25]
    action_horizon: int = Field(gt=0)
    num_timestep_buckets: int = Field(gt=0)
    num_inference_timesteps: int = Field(gt=0)
    max_num_embodiments: int = Field(default=1, gt=0)
    vision_encoder_name: str = Field(min_length=1)
    vision_hidden_size: int = Field(gt=0)


class GameMappingConfig(_Section):
    """Where the names of the games come from."""

    src_files: tuple[str, ...] = Field(min_length=1)


class TokenizerConfig(_Section):
    """The `tokenizer_cfg` section."""

    num_visual_tokens_per_frame: Literal[256]
    max_action_dim: Literal[25] = 25
    max_sequence_length: int = Field(gt=0)
    action_horizon: int = Field(gt=0)
    game_mapping_cfg: GameMappingConfig | None = None
    old_layout: bool = False


class ModalityConfig(_Section):
    """The `modality_cfg` section."""

    frame_per_sample: int = Field(gt=0)
    action_interleaving: bool = False


class CheckpointConfig(_Section):
    """The whole of `ckpt_config`."""

    model_cfg: ModelConfig
    tokenizer_cfg: TokenizerConfig
    modality_cfg: ModalityConfig

    @model_validator(mode="after")
    def _agree(self) -> Self:
        model, dit = self.model_cfg, self.model_cfg.diffusion_model_cfg
        mixer = model.vl_self_attention_cfg
        agreements = [
            ("DiT heads x head_dim", dit.width, "hidden_size", model.hidden_size),
            ("DiT output_dim", dit.output_dim, "hidden_size", model.hidden_size),
            ("VL heads x head_dim", mixer.width, "vision_hidden_size", model.vision_hidden_size),
            ("cross-attention width", dit.context_width, "vision_hidden_size", model.vision_hidden_size),
            (
                "model_cfg.action_horizon",
                model.action_horizon,
                "tokenizer_cfg.action_horizon",
                self.tokenizer_cfg.action_horizon,
            ),
        ]
        for left_name, left, right_name, right in agreements:
            if left != right:
                raise ValueError(f"{left_name} is {left}, but {right_name} is {right}")
        rows = [
            ("position_embedding", model.max_seq_len if model.add_pos_embed else 0, model.action_horizon),
            ("DiT positions", dit.position_rows, model.action_horizon),
            ("VL positions", mixer.position_rows, self.tokenizer_cfg.max_sequence_length),
        ]
        for name, have, need in rows:
            if 0 < have < need:  # a table without rows is not used
                raise ValueError(f"{name} has {have} rows, but {need} are needed")
        return self

    @property
    def context_capacity(self) -> int:
        """The largest number of frames whose tokens fit into `max_sequence_length`."""
        game_token = self.tokenizer_cfg.game_mapping_cfg is not None
        return (self.tokenizer_cfg.max_sequence_length - game_token) // TOKENS_PER_FRAME


def parse_config(ckpt_config: Mapping[str, Any]) -> CheckpointConfig:
    """Check a `ckpt_config`; without `modality_cfg`, as older programs write it, the released model's counts.

    Raises:
        CheckpointError: naming the first key that is missing, unsupported or contradictory.
    """
    if not {"model_cfg", "tokenizer_cfg"} & ckpt_config.keys():
        lack = "holds neither model_cfg nor tokenizer_cfg" if ckpt_config else "is empty"
        raise CheckpointError(
            f"the checkpoint's ckpt_config {lack}, "
            f"so nothing says which model its weights are for: {_RESTORE}"
        )
    if ckpt_config.get("modality_cfg") is None:
        logger.warning(
            "the checkpoint's configuration does not say how many frames the model sees (modality_cfg): "
            "taking the released model's %d; --context chooses another",
            _RELEASED_MODALITY["frame_per_sample"],
        )
        ckpt_config = {**ckpt_config, "modality_cfg": _RELEASED_MODALITY}
    try:
        return CheckpointConfig.model_validate(ckpt_config)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "ckpt_config"
        raise CheckpointError(
            f"the checkpoint's configuration cannot be used: {where}: {first['msg']}. "
            "Is this a NitroGen checkpoint of a newer kind?"
        ) from error


def find_config(content: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """Return the `ckpt_config` in a checkpoint's content.

    Raises:
        CheckpointError: when there is none; the message says where something like it is.
    """
    config = content.get("ckpt_config")
    if isinstance(config, dict):
        return config
    if config is not None:
        raise CheckpointError(f"{path}: ckpt_config is not a dict but a {type(config).__name__}: {_RESTORE}")
    for key, value in content.items():
        if isinstance(value, dict):
            inner = [f"['{shown(name)}']" for name, held in value.items() if _is_config(held)]
            if _is_config(value) or inner:
                place = f"c['{shown(key)}']{'' if _is_config(value) else inner[0]}"
                raise CheckpointError(
                    f"{path} has its configuration under {place} instead of ckpt_config: save it again "
                    f"with c['ckpt_config'] = {place}"
                )
    raise CheckpointError(
        f"{path} has no ckpt_config, so nothing says which model its weights are for: {_RESTORE}"
    )


def _is_config(value: object) -> bool:
    return isinstance(value, dict) and value.keys() >= {"model_cfg", "tokenizer_cfg"}
