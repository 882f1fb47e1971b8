"""The search for the model's weights in a checkpoint: under which key they are, and under which names.

Training programs put a prefix before every name, or a wrapper's name into it, and keep averaged (EMA) weights
beside the raw ones. A table of weights is recognised by the names that it must hold (`tensors`).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from export.checkpoint.stand_ins import StandIn
from export.checkpoint.tensors import UNUSED_PREFIX
from export.errors import CheckpointError, first_few, shown

DEFAULT_KEY = "model"
ROOT_KEY = "."  # of weights that no key holds
# Parts that torch.compile, DDP, FSDP, activation checkpointing, Lightning and transformers put into names.
_WRAPPERS = frozenset(
    "_orig_mod module _fsdp_wrapped_module _fpw_module _checkpoint_wrapped_module _forward_module "  # noqa: SIM905 - shorter
    "_ddp_module vision_model".split()
)
_LORA_PARTS = frozenset(
    "base_layer lora_A lora_B lora_embedding_A lora_embedding_B lora_magnitude_vector modules_to_save "  # noqa: SIM905
    "original_module".split()
)
_AVERAGED = ("ema", "avg", "average", "shadow", "swa", "polyak", "teacher", "target")
_MAX_DEPTH = 4  # of dicts in dicts
_MAX_DICTS = 1000  # that are looked into
_MAX_PARTS = 16  # of a name, from its end, that are compared with the model's names


@dataclass
class WeightTable:
    """A table of weights.

    Attributes:
        key: where it is: keys joined by dots, and last the prefix before every name, without wrappers'
            names.
        names: the model's name of a tensor -> the table's own.
        doubled: the table's names that become the same as another one.
    """

    key: str
    table: Mapping[str, Any]
    names: dict[str, str] = field(default_factory=dict)
    doubled: list[str] = field(default_factory=list)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors by the model's names."""
        return {name: self.table[own] for name, own in self.names.items()}

    @property
    def place(self) -> str:
        """Its key, for people."""
        return f"{self.key} (the outermost dict)" if self.key == ROOT_KEY else shown(self.key)

    @property
    def is_averaged(self) -> bool:
        """Whether its key speaks of averaged weights."""
        return _speaks_of_averages(self.key)

    @property
    def changes(self) -> str:
        """The first of the table's names that differs from the model's, with the model's; "" for none."""
        pairs = ((own, name) for name, own in self.names.items() if own != name)
        own, name = next(pairs, ("", ""))
        return own and f"{shown(own)} as {name}"


def find_tables(content: Mapping[str, Any], expected: Collection[str]) -> list[WeightTable]:
    """Return every table in a checkpoint that holds at least half of the expected tensors, in its order."""
    wanted = [name for name in expected if not name.startswith(UNUSED_PREFIX)]
    known = {name: name for name in expected} | {name.replace(".", ""): name for name in expected}
    return [
        table
        for key, value in dicts_in(content)
        for table in _tables_in(key, value, known)
        if 2 * sum(name in table.names for name in wanted) >= len(wanted)
    ]


def choose_table(
    tables: list[WeightTable], content: Mapping[str, Any], key: str | None, path: Path
) -> WeightTable:
    """Return the table that is wanted, or the raw weights under "model".

    Args:
        tables: what `find_tables` found.
        content: the whole checkpoint.
        key: the wanted table's; None for the usual one.
        path: the checkpoint's, for messages.

    Raises:
        CheckpointError: when it is not there, or the user must choose.
    """
    keys = ", ".join(table.place for table in tables)
    if key is not None:
        chosen = [table for table in tables if table.key == key] or [
            table for table in tables if table.key.startswith(f"{key}.")
        ]
        if len(chosen) == 1:
            return chosen[0]
        has = f"its weights are under {keys}" if tables else "it holds no weights of this model"
        raise CheckpointError(f"--weights {key}: {path} has no single table of weights there, {has}")
    usual = [table for table in tables if table.key.partition(".")[0] == DEFAULT_KEY]
    raw = [table for table in usual if not table.is_averaged]
    for choice in ([table for table in usual if table.key == DEFAULT_KEY], raw, usual):
        if len(choice) == 1:
            return choice[0]
    if usual:
        raise CheckpointError(f"{path} holds several tables of weights, {keys}: choose with --weights KEY")
    if tables:
        raise CheckpointError(
            f"{path} has its weights under {keys} instead of {DEFAULT_KEY}: give --weights "
            f"{shown(tables[0].key)}" + (" or another of these" if len(tables) > 1 else "")
        )
    if not isinstance(content.get(DEFAULT_KEY), dict):
        held = first_few([f"'{shown(name, 60)}'" for name in content]) or "it has none"
        raise CheckpointError(
            f"{path} is not a NitroGen checkpoint: none of its keys ({held}) has weights of this model"
        )
    return WeightTable(DEFAULT_KEY, content[DEFAULT_KEY])


def checked_table(table: WeightTable, others: Collection[WeightTable], path: Path) -> dict[str, Any]:
    """Return a table's tensors by the model's names, without single numbers and other tables' tensors.

    Raises:
        CheckpointError: when two of its tensors have one name, or something in it is not a tensor.
    """
    if table.doubled:
        raise CheckpointError(
            f"{path}: under {table.place}, {shown(table.doubled[0])} is there under another name as well: "
            "save one of them"
        )
    same = [table, *(other for other in others if other.table is table.table)]
    named = {own for each in same for own in each.names.values()}
    held = dict(table.tensors)
    for name, value in table.table.items():
        if name in named:
            continue
        if not isinstance(value, Tensor):
            if table.key == ROOT_KEY:
                continue
            kind = "numpy data" if isinstance(value, StandIn) else f"a {type(value).__name__}"
            raise CheckpointError(
                f"{path}: {shown(name)} is not a tensor but {kind}: save a state_dict() of tensors"
            )
        # A single number is a counter or a rate, not a weight.
        if value.dim() and (value.is_floating_point() or value.numel() > 1):
            held[str(name)] = value
    return held


def refuse_wrapped(tables: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Refuse weights that a training program has not put back together.

    Raises:
        CheckpointError: when a LoRA adapter is still wrapped around the model, or FSDP's flat parameters.
    """
    for table in tables:
        for name, value in table.items():
            if not (isinstance(name, str) and isinstance(value, Tensor)):
                continue
            parts = set(name.split("."))
            if parts & _LORA_PARTS:
                raise CheckpointError(
                    f"{path} holds a model that a LoRA adapter is still wrapped around ({shown(name)}): "
                    "merge it before saving (peft's merge_and_unload()), or save the adapter alone "
                    "(save_pretrained) and give its folder with --lora, beside the checkpoint that it was "
                    "trained on"
                )
            if any(part.lstrip("_").startswith("flat_param") for part in parts):
                raise CheckpointError(
                    f"{path} holds FSDP's flat parameters ({shown(name)}): save with FSDP's FULL_STATE_DICT"
                )


def is_bare_state_dict(content: Mapping[Any, Any]) -> bool:
    """Return whether a checkpoint is nothing but tensors."""
    return bool(content) and all(isinstance(value, Tensor) for value in content.values())


def unnamed_averages(content: Mapping[str, Any], least: int) -> list[str]:
    """Return the keys of averaged weights that are a list of at least this many tensors, without names."""
    return [
        _joined(key, name)
        for key, value in dicts_in(content)
        for name, held in value.items()
        if isinstance(name, str)
        and isinstance(held, (list, tuple))
        and len(held) >= least
        and all(isinstance(each, Tensor) for each in held)
        and _speaks_of_averages(_joined(key, name))
    ]


def dicts_in(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the dicts in a checkpoint with their keys, each once, the outermost first."""
    seen: set[int] = set()
    waiting: list[tuple[str, Any, int]] = [(ROOT_KEY, content, 0)]
    while waiting and len(seen) < _MAX_DICTS:
        key, held, depth = waiting.pop(0)
        if id(held) in seen:
            continue
        seen.add(id(held))
        yield key, held
        if depth < _MAX_DEPTH:
            waiting += [
                (_joined(key, name), value, depth + 1)
                for name, value in held.items()
                if isinstance(name, str) and isinstance(value, dict)
            ]


def _tables_in(key: str, table: Mapping[str, Any], known: Mapping[str, str]) -> list[WeightTable]:
    """Return the tables of weights in one dict, one for each prefix before the model's names."""
    groups: dict[str, WeightTable] = {}
    for own, value in table.items():
        if not (isinstance(own, str) and isinstance(value, Tensor)):
            continue
        parts = [part for part in own.split(".") if part not in _WRAPPERS]
        for start in range(max(0, len(parts) - _MAX_PARTS), len(parts)):
            name = known.get(".".join(parts[start:]))
            if name is not None:
                group = groups.setdefault(".".join(parts[:start]), WeightTable("", table))
                if name in group.names:
                    group.doubled.append(own)
                group.names[name] = own
                break
    for prefix, group in groups.items():
        # A single group needs no prefix.
        group.key = key if len(groups) == 1 or not prefix else _joined(key, prefix)
    return list(groups.values())


def _joined(key: str, name: str) -> str:
    return name if key == ROOT_KEY else f"{key}.{name}"


def _speaks_of_averages(key: str) -> bool:
    return any(word in key.lower() for word in _AVERAGED)
