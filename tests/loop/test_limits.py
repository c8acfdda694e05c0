"""A budget, a number of new labels, and a window of data, as declared."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

import slipway as sw
from slipway.errors import InvalidDeclaration
from slipway.flows.standing import _plain
from slipway.loop.limits import against, began_with
from slipway.records.loop import Retraining, RetrainSpec

NOW = datetime(2013, 9, 1, tzinfo=UTC)


@sw.pipeline
def release(until: date = date(2013, 4, 1), since: date | None = None) -> int:
    return 1


@sw.pipeline
def growing(until: date = date(2013, 4, 1)) -> int:
    return 1


def began(days_ago: float) -> Retraining:
    at = NOW - timedelta(days=days_ago)
    return Retraining(id="r", project="p", name="e", created_at=at, parent_id="p/e", trigger="", snapshot="s", until=at)


def declared(**more: object) -> RetrainSpec:
    return sw.Retrain(release, when=[sw.degraded], **more).spec()  # type: ignore[arg-type]  # what is tested


def labels() -> tuple[int, str]:
    return 400, "2013-08-01"


def test_a_budget_holds_until_the_oldest_leaves_its_span() -> None:
    spec = declared(at_most="2 a month")
    assert against(spec, now=NOW, earlier=[began(31), began(3)], new_labels=labels) == ""
    told = against(spec, now=NOW, earlier=[began(40), began(20), began(3)], new_labels=labels)
    assert told.startswith("2 retrainings began within the last ")
    assert told.endswith("the budget is 2; there is room again on 2013-09-11.")


def test_too_few_new_labels_hold_it() -> None:
    assert against(declared(min_labels=400), now=NOW, earlier=[], new_labels=labels) == ""
    told = against(declared(min_labels=1000), now=NOW, earlier=[], new_labels=labels)
    assert told == "400 labels are new since 2013-08-01, and 1,000 are needed."


def test_a_window_slides_and_a_concept_change_narrows_it() -> None:
    assert began_with(declared(), NOW, is_recent=True) is None
    spec = declared(window="90d", recent="30d")
    assert began_with(spec, NOW, is_recent=False) == NOW - timedelta(days=90)
    assert began_with(spec, NOW, is_recent=True) == NOW - timedelta(days=30)
    assert began_with(declared(window="90d"), NOW, is_recent=True) == NOW - timedelta(days=90)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"at_most": "often"}, "no budget of retrainings"),
        ({"at_most": "0 a month"}, "no budget of retrainings"),
        ({"min_labels": -1}, "no number of labels"),
        ({"min_labels": True}, "no number of labels"),
        ({"window": "1h"}, "too short a window"),
    ],
)
def test_what_is_no_limit_is_refused(more: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidDeclaration, match=told):
        declared(**more)


def test_a_window_needs_a_pipeline_that_takes_its_first_day() -> None:
    with pytest.raises(InvalidDeclaration, match="takes no 'since'"):
        sw.Retrain(growing, when=[sw.degraded], window="90d")


def test_a_word_given_before_there_were_limits_still_holds() -> None:
    plain = _plain(declared())
    assert isinstance(plain, dict)
    before = {"pipeline", "definition", "when", "cooldown_us", "until"}
    assert set(plain) == before
    assert msgspec.json.encode(plain) != msgspec.json.encode(_plain(declared(at_most="2 a month")))
    assert replace(sw.Retrain(release, when=[sw.degraded])).spec() == declared()
