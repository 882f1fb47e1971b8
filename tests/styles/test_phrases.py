"""The list of phrases to avoid: each pattern finds its examples, and the check names file and line."""

import subprocess
import sys
from pathlib import Path

import pytest

from styles.phrases import Phrase, Phrases, findings_in, read_phrases

LIST = Path(__file__).parents[2] / "styles" / "phrases.toml"
EXAMPLES = [
    pytest.param(phrase, text, found, id=f"{'in' if found else 'not in'}: {text}")
    for phrase in read_phrases(LIST).phrase
    for found, texts in ((True, phrase.finds), (False, phrase.passes))
    for text in texts
]


@pytest.mark.parametrize(("phrase", "text", "is_found"), EXAMPLES)
def test_a_phrase_is_found_where_its_examples_say(
    phrase: Phrase, text: str, is_found: bool, tmp_path: Path
) -> None:
    path = tmp_path / "text.py"
    path.write_text(text)
    assert bool(findings_in(path, Phrases((phrase,)))) == is_found


@pytest.mark.parametrize(
    "text",
    [
        "# It is made\n# anew.\n",
        "// made\n   // anew\n",
        'raise Error("it is made "\n    f"anew: {path}")\n',
        "- It is made\n  anew.\n",
        "/*\n * made\n * anew\n */",
    ],
)
def test_a_sentence_runs_on_over_the_end_of_a_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("\n" + text)
    phrase = Phrase("made anew", "make again", ())
    (finding,) = findings_in(path, Phrases((phrase,)))
    line = text[: text.index("made")].count("\n") + 2
    assert str(finding).startswith(f'{path}:{line}: "made anew')
    assert str(finding).endswith("make again")


def test_words_of_two_paragraphs_or_two_strings_are_not_a_phrase(tmp_path: Path) -> None:
    path = tmp_path / "text.py"
    path.write_text('It is made\n\nanew. f("made", "anew")\n')
    assert not findings_in(path, Phrases((Phrase("made anew", "make again", ()),)))


def test_a_file_that_is_not_text_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"\x89PNG anew")
    assert not findings_in(path, read_phrases(LIST))


@pytest.mark.parametrize(
    ("text", "code"), [("The file is made again.\n", 0), ("The file is made\nanew.\n", 1)]
)
def test_the_command_fails_where_it_finds_something(text: str, code: int, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / "guide").mkdir()
    (tmp_path / "guide" / "start.md").write_text(text)
    command = [sys.executable, "-m", "styles"]
    done = subprocess.run(
        command,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(LIST.parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    assert done.stdout == "" if code == 0 else "guide/start.md:2:" in done.stdout
