"""The page on compiled models names what is compiled, all of it, and the corpus's own figures."""

from pathlib import Path

from pipeline_corpus import CORPUS

from slipway.models.compiled.estimators import _PROBABILITIES, _VALUES
from slipway.models.compiled.tables import ENCODERS
from slipway.models.compiled.transformers import _ON_NUMBERS

PAGE = (Path(__file__).parents[2] / "docs" / "compiled.md").read_text()


def test_it_names_everything_that_is_compiled() -> None:
    named = {word.strip("(),.:;*`") for word in PAGE.split()}
    assert {*ENCODERS, *_ON_NUMBERS, *_PROBABILITIES, *_VALUES} - named == set()


def test_its_figures_are_the_corpus_own() -> None:
    compiled = sum(row.compiled for row in CORPUS)
    assert f"Of {len(CORPUS)} ordinary" in PAGE
    assert f"{compiled} are compiled" in PAGE.replace("\n", " ")
