"""What happened is told in sentences, whatever an event holds or lacks."""

from datetime import UTC, datetime
from typing import Any

import pytest

from slipway.flows.event_words import NEWS, place, readable_by, told
from slipway.operations.permissions import RIGHTS
from slipway.records.events import Event
from slipway.records.people import Actor


def event(verb: str, subject: str = "x:flights/thing", **body: Any) -> Event:
    return Event(
        id="e",
        at=datetime(2013, 4, 1, tzinfo=UTC),
        project="flights",
        actor=Actor("ada"),
        verb=verb,
        subject=subject,
        body=body,
    )


@pytest.mark.parametrize("verb", sorted(NEWS))
def test_every_verb_has_its_sentence_even_of_an_empty_event(verb: str) -> None:
    for subject in ("x:flights/thing", "x", ""):
        sentence = told(event(verb, subject))
        assert sentence
        assert "{" not in sentence
        place(event(verb, subject))
    assert readable_by(verb) in RIGHTS


def test_what_is_no_news_is_not_told() -> None:
    assert told(event("endpoints.watch")) == ""


@pytest.mark.parametrize(
    ("verb", "subject", "body", "sentence", "where"),
    [
        ("models.register", "model:m-1", {"name": "m", "number": 2}, "registered m 2", ("models", "m", "2")),
        ("approvals.grant", "bundle:b", {"decision": "approved", "model": "m", "number": 2, "role": "accountable"}, "approved m 2 as accountable", ("models", "m", "2")),
        ("endpoints.deploy", "revision:flights/e/3", {"model": "m", "version": 2, "reason": "why"}, "let m 2 serve at e: why", ("endpoints", "e")),
        ("tables.commit", "table:flights/planes", {"number": 4}, "wrote version 4 of the table planes", ("tables", "planes")),
        ("schedules.fire", "schedule:flights/dev/nightly", {}, "fired the schedule nightly", ("schedules", "nightly")),
        ("comments.add", "table:flights/planes", {}, "commented on the table planes", ("tables", "planes")),
        ("runs.finish", "run:r1", {"name": "release", "state": "failed"}, "ended the run release: failed", ("runs", "r1")),
        ("handovers.offer", "model:m-1", {"model": "m", "number": 1, "to": "mia"}, "offered m 1 to mia", ("handovers",)),
    ],
)  # fmt: skip
def test_an_event_says_what_was_done_and_where_it_is_shown(
    verb: str, subject: str, body: dict[str, Any], sentence: str, where: tuple[str, ...]
) -> None:
    one = event(verb, subject, **body)
    assert (told(one), place(one)) == (sentence, where)
