"""The inputs that the fuzzer kept, replayed without it: no parser fails on any of it."""

import importlib

import pytest

from tests.fuzz.corpus import FOLDER, TARGETS, read_corpus


@pytest.mark.parametrize("target", TARGETS)
def test_no_kept_input_makes_a_parser_fail(target: str) -> None:
    corpus = read_corpus(target)
    assert len(corpus) > 20
    check = importlib.import_module(f"tests.fuzz.{target}").check
    for name, data in corpus.items():
        try:
            check(data)
        except Exception as problem:
            problem.add_note(f"input {name}: {data!r}")
            raise


def test_the_corpora_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 2**20
