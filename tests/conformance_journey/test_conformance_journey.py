"""Every behaviour of the journey holds in both columns, and docs/conformance.md lists exactly these."""

from pathlib import Path

import pytest

from conformance_journey.behaviours import BEHAVIOURS, sentence
from conformance_journey.journey import name_of, walked
from conformance_journey.page import PAGE, sentences

AT_LEAST = 150


def test_the_page_lists_the_behaviours() -> None:
    assert sentences(PAGE.read_text()) == [sentence(one) for one in BEHAVIOURS]


def test_each_behaviour_has_a_sentence_and_a_name_of_its_own() -> None:
    assert len(BEHAVIOURS) >= AT_LEAST
    assert len({sentence(one) for one in BEHAVIOURS} - {""}) == len(BEHAVIOURS)
    assert len({name_of(one) for one in BEHAVIOURS}) == len(BEHAVIOURS)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("column", ["embedded", "scaled"])
def test_every_behaviour_holds(column: str, tmp_path: Path) -> None:
    pytest.importorskip("lightgbm", reason="the journey's model needs LightGBM: pip install 'slipway[lightgbm]'")
    failed = walked(column, tmp_path)
    assert not failed, "\n".join(f"--- {name}\n{told}" for name, told in failed.items())
