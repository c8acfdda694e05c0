"""The business page, its PDF and its mail on a store that a real project filled: trained, served, watched, renewed."""

from collections.abc import Iterator

import pytest

from business_desk import FORBIDDEN, words_of
from looping_desk import NAME, LoopDesk, opened, prepare, replay
from server_desk import asker
from slipway.flows.business_document import document, letter_text
from slipway.operations.business import BusinessPage, GetBusiness
from slipway.operations.declare import call
from slipway.operations.table import operation
from slipway.records.documents import DocumentField

for module in ("lightgbm", "polars"):
    pytest.importorskip(module, reason=f"the loop's journeys need {module}: pip install 'slipway[demo]'")
pytestmark = pytest.mark.full

PEOPLES_WORDS = (NAME, "as agreed")
"""What the project's people wrote: the model's name, and why it was approved."""


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopDesk]:
    """The looping project after eleven days: its model was trained again, rolled out and promoted."""
    folder = tmp_path_factory.mktemp("lived") / "looping"
    prepare(folder)
    with opened(folder) as desk:
        replay(desk, desk.first(), (0, 11.5))
        yield desk


def own(text: str) -> list[str]:
    """Words of machine learning in what is said, without what people wrote."""
    for word in PEOPLES_WORDS:
        text = text.replace(word, " ")
    return FORBIDDEN.findall(text)


def told(field: DocumentField) -> str:
    rows = " ".join(cell for row in field.rows for cell in row)
    trend = f"{field.trend.title} {' '.join(name for name, _ in field.trend.levels)}" if field.trend else ""
    return " ".join((field.title, field.word, field.text, *field.items, *field.head, rows, field.stale, trend))


def test_no_word_of_machine_learning_is_on_the_page_in_the_pdf_or_in_the_mail_of_a_model_that_lived(
    lived: LoopDesk,
) -> None:
    page: BusinessPage = call(lived.workspace, operation("business.get"), GetBusiness(model=NAME))
    assert page.stage == "pilot"
    assert page.version == 2, "it was renewed meanwhile"
    ask = asker(lived.workspace)
    for path in (f"/projects/{lived.workspace.project}/business/{NAME}", "/portfolio"):
        assert own(words_of(ask("GET", path).text)) == [], path
    made = document(page)
    said = [made.lead, *(f"{tile.title} {tile.large} {tile.word}" for tile in made.tiles)]
    said += [f"{section.title} {told(field)}" for section in made.sections for field in section.fields]
    assert [found for found in map(own, said) if found] == []
    assert own(" ".join(letter_text(page, ""))) == []
    assert ask("GET", f"/projects/{lived.workspace.project}/business/{NAME}/pdf").content.startswith(b"%PDF")
