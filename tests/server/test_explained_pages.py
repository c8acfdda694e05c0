"""A version's page says what its answers rest on, and the page beside it asks the model."""

import pytest
from loans import halves, loans, released, trees

from server_desk import Ask, asker
from slipway.ledger import projects
from slipway.ports.workspace import Workspace


def test_the_page_of_a_version_tells_the_sentence_the_figures_and_the_leak(ask: Ask) -> None:
    page = ask("GET", "/projects/flights/models/flight-delays/1").text
    assert "In flights version abcdef012345, carrier accounts for 80% of what the model&#39;s answers rest on." in page
    assert "not what causes what" in page
    assert "Leak? &lt;script&gt;" in page
    assert page.count('class="card"><svg') >= 3
    assert "hidden: its values are not shown to you." in page


@pytest.fixture
def asked(workspace: Workspace) -> Ask:
    projects.register(workspace)
    fit, _ = halves(loans(n=400))
    released(workspace, trees(fit, rounds=8))
    return asker(workspace)


def test_changing_an_input_shows_both_answers_and_what_turns_the_decision(asked: Ask) -> None:
    page = asked("GET", "/projects/flights/models/loans/1/what-if?row=%232&set.debt=60&set.age=").text
    assert "Answer to row 2 of the stored rows" in page
    assert "With the changes" in page
    assert "What would turn the decision on it as changed" in page
    assert 'name="set.debt" value="60"' in page
    assert page.count('class="card"><svg') == 2
    assert "/api/v1/projects/flights/models/what_if?" in page


@pytest.mark.parametrize(
    ("query", "sentence"), [("row=%23999", "There is no row #999."), ("set.debt=x", "debt does not take")]
)
def test_what_cannot_be_asked_is_said_above_the_form(asked: Ask, query: str, sentence: str) -> None:
    answer = asked("GET", f"/projects/flights/models/loans/1/what-if?{query}")
    assert answer.status_code == 200
    assert sentence in answer.text
    assert "<form" in answer.text
