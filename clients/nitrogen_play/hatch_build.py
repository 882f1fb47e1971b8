"""Takes along the table of buttons, which is outside this folder: the Lua script uses it as well."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_IN_PACKAGE = Path("src", "nitrogen_play", "consoles.toml")
_IN_CLONE = Path("..", "consoles.toml")


class ConsolesHook(BuildHookInterface[Any]):
    """Puts the table into the package, unless that has it already (sdist) or reads the clone's (editable)."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the clone's table to what is built.

        Raises:
            FileNotFoundError: there is no table, neither in the package nor beside its folder.
        """
        root = Path(self.root)
        if version == "editable" or (root / _IN_PACKAGE).exists():
            return
        table = root / _IN_CLONE
        if not table.exists():
            raise FileNotFoundError(f"{table} is not there: build from a whole clone, or from an sdist")
        place = _IN_PACKAGE if self.target_name == "sdist" else _IN_PACKAGE.relative_to("src")
        build_data["force_include"][str(table)] = place.as_posix()
