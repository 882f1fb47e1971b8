"""Put clients/consoles.toml into nitrogen.lua: `python clients/bizhawk/embed_table.py`.

EmuHawk's script is a single file, so it has its own copy of the table.
"""

import tomllib
from pathlib import Path
from typing import Any

BEGIN = "-- BEGIN consoles.toml (by embed_table.py: change consoles.toml instead)\n"
END = "-- END consoles.toml\n"

TABLE = Path(__file__).resolve().parent.parent / "consoles.toml"
SCRIPT = Path(__file__).resolve().parent / "nitrogen.lua"


def embedded(script: str, table: dict[str, Any]) -> str:
    """Return the script's text with the table between its markers.

    Raises:
        ValueError: The script has not each marker once.
    """
    for marker in (BEGIN, END):
        if script.count(marker) != 1:
            raise ValueError(f"the script has {script.count(marker)} lines {marker.strip()!r}; it needs one")
    before, rest = script.split(BEGIN)
    return before + BEGIN + "".join(_lua_lines(table)) + END + rest.split(END)[1]


def _lua_lines(table: dict[str, Any]) -> list[str]:
    lines = [f"local STICK_THRESHOLD = {table['stick_threshold']}\n", "local CONSOLES = {\n"]
    for name, console in table.items():
        if not isinstance(console, dict):
            continue
        lines.append("  {\n")
        facts = {"name": name, "title": console["title"], "systems": console["bizhawk"]}
        facts["resize_mode"] = console["resize_mode"]
        lines += [f"    {key} = {_lua(value)},\n" for key, value in facts.items()]
        lines.append("    buttons = {\n")
        for button, entry in console["buttons"].items():
            fields = {"name": button, "pad": entry["pad"], "names": entry["bizhawk"]}
            lines.append(f"      {_lua(fields | ({'menu': True} if entry.get('menu') else {}))},\n")
        lines.append("    },\n")
        lines.append("    axes = {\n" if console.get("axes") else "    axes = {},\n")
        for entry in console.get("axes", {}).values():
            fields = {"stick": entry["stick"], "names": entry["bizhawk"]}
            fields |= {key: entry[key] for key in ("low", "rest", "high")}
            lines.append(f"      {_lua(fields)},\n")
        lines += ["    },\n"] if console.get("axes") else []
        lines.append("  },\n")
    return [*lines, "}\n"]


def _lua(value: object) -> str:
    """Return a value in Lua's notation."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_lua(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "{ " + ", ".join(map(_lua, value)) + " }" if value else "{}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def main() -> None:
    """Rewrite the script."""
    with TABLE.open("rb") as file:
        table = tomllib.load(file)
    SCRIPT.write_text(embedded(SCRIPT.read_text("utf-8"), table), "utf-8")


if __name__ == "__main__":
    main()
