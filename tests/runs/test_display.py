"""What notebooks show of runs, comparisons and verdicts: readable, and harmless whoever wrote the names."""

from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from slipway.ports.workspace import Workspace
from slipway.records.display import table
from slipway.records.gates import Outcome, Verdict
from slipway.records.people import Actor
from slipway.runs import search, tracking

NASTY = "<script>alert('x')</script><img src=x onerror=y>"
ALLOWED = {"table", "caption", "thead", "tbody", "tr", "th", "td"}


class Tags(HTMLParser):
    """The tags of a page and its text; every tag that is opened is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        assert not attrs
        self.found.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def shown(page: str) -> str:
    tags = Tags(page)
    assert tags.found <= ALLOWED
    return tags.text


def test_runs_and_comparisons(workspace: Workspace) -> None:
    with tracking.start(workspace, NASTY, params={"rate": 0.1, "note": NASTY}, tags={"team": NASTY}) as one:
        one.log_metric(f"auc[carrier={NASTY.replace('/', '')}]", 0.5)
        one.log_text("x.html", NASTY)
        assert NASTY in shown(one._repr_html_())
    with pytest.raises(KeyError), tracking.start(workspace, "other", params={"rate": 0.2}) as two:
        raise KeyError(NASTY)
    text = shown(search.get_run(workspace, one.id)._repr_html_())
    assert "finished" in text
    assert "x.html" in text
    assert NASTY in shown(search.get_run(workspace, two.id)._repr_html_())
    text = shown(search.compare(workspace, [one.id, two.id])._repr_html_())
    assert "rate (differs)" in text
    assert "0.2" in text
    assert NASTY in text


def test_verdicts() -> None:
    outcome = Outcome(check="auc at least 0.7", result="refused", found=NASTY, fix="Train on.")
    verdict = Verdict(
        id="v",
        project="flights",
        created_at=datetime(2013, 4, 1, tzinfo=UTC),
        bundle="b" * 64,
        gate="g",
        environment="dev",
        passed=False,
        outcomes=(outcome,),
        actor=Actor("ada"),
    )
    text = shown(verdict._repr_html_())
    assert "refused: bbbbbbbbbbbb in dev" in text
    assert NASTY in text


def test_long_tables_and_texts_are_cut_off() -> None:
    text = shown(table("t", ("a",), [("x" * 10_000,)] + [(n,) for n in range(1000)]))
    assert len(text) < 5000
    assert "and 801 more" in text
