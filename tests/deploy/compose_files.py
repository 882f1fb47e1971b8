"""The compose files, as they are read."""

from typing import Any

import yaml

from tests.paths import ROOT

FILES = (
    "docker-compose.yml",
    "docker-compose.cpu.yml",
    "docker-compose.graphs.yml",
    "docker-compose.scale.yml",
)


class _Loader(yaml.SafeLoader):
    """Reads Compose's own tags as what they stand before."""


def _untagged(loader: _Loader, _: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return None


_Loader.add_multi_constructor("!", _untagged)


def compose(name: str) -> dict[str, Any]:
    """A compose file's content."""
    content: dict[str, Any] = yaml.load((ROOT / name).read_text(), _Loader)
    return content
