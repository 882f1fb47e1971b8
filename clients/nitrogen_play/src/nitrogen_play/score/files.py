"""The scores as files: JSON for programs, JUnit for continuous integration."""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nitrogen_play.score.results import GameScore, Record
from nitrogen_play.score.statistics import CONFIDENCE, Estimate
from nitrogen_play.score.tables import shown

# Characters that XML 1.0 cannot hold, escaped or not.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_json(path: Path, scores: Sequence[GameScore], settings: dict[str, Any]) -> None:
    """Write everything: each episode's values, the means, the differences to the first server.

    Args:
        path: the file.
        scores: of each game.
        settings: how they were played, for example the seed.

    Raises:
        OSError: it cannot be written.
    """
    report = {
        **settings,
        "method": "Student's t; differences are paired by episode",
        "confidence": CONFIDENCE,
        "games": [_game(score) for score in scores],
    }
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def write_junit(path: Path, scores: Sequence[GameScore]) -> None:
    """Write a test suite per game with a test case per server, which fails where it is worse than the first.

    Raises:
        OSError: it cannot be written.
    """
    root = ET.Element("testsuites", name="nitrogen-play score")
    for score in scores:
        cases = [_case(score, record) for record in score.servers]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=_xml(score.name),
            tests=str(len(cases)),
            failures=str(sum(case.find("failure") is not None for case in cases)),
            errors=str(sum(case.find("error") is not None for case in cases)),
        )
        suite.extend(cases)
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _game(score: GameScore) -> dict[str, Any]:
    return {"game": score.name, "by": score.by, "players": [_player(score, it) for it in score.records]}


def _player(score: GameScore, record: Record) -> dict[str, Any]:
    is_first = record is score.servers[0]
    measures = record.measures()
    return {
        "name": record.name,
        "address": record.address,
        "verdict": None if is_first else score.verdict(record).value,
        "against_random": None if record.address is None else score.against_random(record).value,
        "means": {measure: _estimate(record.mean(measure)) for measure in measures},
        "differences": {
            measure: _estimate(score.difference(record, measure)) for measure in measures if not is_first
        },
        "episodes": [{"episode": index + 1, "values": it} for index, it in record.finished.items()],
        "lost": [{"episode": index + 1, "problem": it} for index, it in record.lost.items()],
    }


def _estimate(value: Estimate | None) -> dict[str, float | int | None] | None:
    if value is None:
        return None
    half_width = value.half_width
    return {
        "mean": value.mean,
        "low": None if half_width is None else value.mean - half_width,
        "high": None if half_width is None else value.mean + half_width,
        "episodes": value.count,
    }


def _case(score: GameScore, record: Record) -> ET.Element:
    case = ET.Element("testcase", classname=_xml(score.name), name=_xml(record.name))
    problems = "\n".join(f"episode {episode + 1}: {problem}" for episode, problem in record.lost.items())
    if not record.finished:
        ET.SubElement(case, "error", message="no episode was finished").text = _xml(problems)
    elif record in score.worse():
        difference = score.difference(record, score.by)
        said = f"{score.by} above {score.servers[0].name}'s, in the same episodes: {shown(difference)}"
        ET.SubElement(case, "failure", message=_xml(said))
    if record.finished and problems:
        ET.SubElement(case, "system-out").text = _xml(problems)
    return case


def _xml(text: str) -> str:
    return _NOT_XML.sub("?", text)
