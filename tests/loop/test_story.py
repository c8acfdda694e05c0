"""From alarm to outcome: one story, told from what the loop wrote down, and whether its retraining helped."""

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from msgspec import structs

import slipway as sw
from looping_desk import NAME
from looping_hand import HandDesk
from slipway.flows.release import declare_endpoint
from slipway.loop.gains import _measured
from slipway.loop.story import get_stories, stories, yield_words
from slipway.operations.rollouts import GetStories
from slipway.records.endpoints import Served
from slipway.records.loop import Action, Gain, Retraining
from slipway.records.rollouts import Rollout, RolloutSpec

NOW = datetime(2013, 9, 1, tzinfo=UTC)
SERVED = Served(model="m", number=2, bundle="b" * 64)


def action(number: int, kind: str, *subjects: str, **more: object) -> Action:
    at = NOW + timedelta(days=number)
    return Action(
        id=f"a{number}", project="p", name=kind, created_at=at, parent_id="p/e", number=number, sentence=kind,
        subjects=subjects, **more,
    )  # type: ignore[arg-type]  # a kind  # fmt: skip


def retraining(id: str, **more: object) -> Retraining:
    return Retraining(
        id=id, project="p", name="e", created_at=NOW, parent_id="p/e", trigger="", snapshot="s", until=NOW, **more
    )  # type: ignore[arg-type]  # fields of it


def rollout(id: str, retraining_id: str, state: str = "promoted") -> Rollout:
    return Rollout(
        id=id, project="p", name="e", created_at=NOW, parent_id="p/e", state=state, champion=SERVED, challenger=SERVED,
        spec=RolloutSpec(), since=NOW, ended_at=NOW, retraining_id=retraining_id,
    )  # type: ignore[arg-type]  # a state  # fmt: skip


def test_what_has_something_in_common_is_one_story() -> None:
    gain = Gain(verdict="helped", sentence="It helped.", at=NOW + timedelta(days=40))
    made = [retraining("r", policy="worse", causes=("incident:i",), gain=gain), retraining("s")]
    done = [
        action(1, "alert", "incident:i", "finding:f"),
        action(2, "retrain", "retraining:r", "incident:i", owner="data scientist"),
        action(3, "note", "finding:g"),
        action(4, "shadow", "retraining:r", "model:m", "rollout:o"),
        action(5, "retrain", "retraining:s"),
        action(6, "promote", "rollout:o"),
        action(7, "close", "incident:i"),
        action(8, "refuse", "retraining:s", "verdict:v"),
    ]
    first, second, third = stories(done[::-1], made, [rollout("o", "r")])
    assert [line.what for line in first.lines] == ["alert", "retrain", "shadow", "promote", "close", "yield"]
    assert (first.policy, first.outcome, first.number) == ("worse", "promoted", 1)
    assert first.lines[-1].sentence == "It helped."
    assert ([line.what for line in second.lines], second.outcome) == (["retrain", "refuse"], "refused")
    assert third.outcome == "noted"
    assert yield_words(made, {"r"}) == ("Of 2 retrainings 1 were promoted: 1 helped, 0 did harm, 0 cannot be told.")
    assert yield_words([], set()) == ""


def test_a_person_who_ends_a_roll_out_ends_its_story() -> None:
    ended = structs.replace(rollout("o", "r", "stopped"), ended_at=NOW + timedelta(days=9), reason="complaints")
    done = [action(2, "retrain", "retraining:r"), action(4, "canary", "retraining:r", "rollout:o")]
    (found,) = stories(done, [retraining("r")], [ended])
    assert (found.outcome, found.lines[-1].what, found.lines[-1].sentence) == ("taken back", "by hand", "complaints")
    (under_way,) = stories(done, [retraining("r")], [structs.replace(ended, ended_at=None, state="canary")])
    assert under_way.outcome == "answers some rows"


@pytest.mark.parametrize(("better", "verdict"), [(0.3, "helped"), (-0.3, "harmed"), (0.0, "cannot tell")])
def test_a_gain_is_told_by_its_whole_interval(better: float, verdict: str) -> None:
    random = np.random.default_rng(1)
    odds = random.normal(size=4_000)
    score, worse = 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(-(1 - abs(better)) * odds))
    first, second = (score, worse) if better >= 0 else (worse, score)
    rows = pl.DataFrame(
        {
            "at": [NOW + timedelta(minutes=5 * place) for place in range(4_000)],
            "label": (random.random(4_000) < score).astype(float), "score": first, "former": second,
        }
    )  # fmt: skip
    found = _measured(rows, "log_loss", "m 1", NOW)
    assert found.verdict == verdict
    if better:
        assert found.low is not None
        assert found.high is not None
        assert (found.high < 0) == (better > 0)
        assert "its log loss less m 1's is " in found.sentence
        assert "on 4,000 labelled rows of the 14 days after its promotion." in found.sentence


def test_a_budget_and_too_few_labels_hold_a_retraining_and_are_told_once(desk: HandDesk) -> None:
    spec = sw.Retrain(desk.project.module().release, when=[sw.cron("0 3 8 * *")], min_labels=100_000)
    declare_endpoint(desk.workspace, dataclasses.replace(desk.endpoint, retrain=spec))
    assert desk.days(7, 8.5) == ["hold"]
    (held,) = desk.actions()
    assert "labels are new since 2013-03-" in held.sentence
    assert held.sentence.endswith("100,000 are needed.")
    told = get_stories(desk.workspace, GetStories(endpoint=NAME))
    assert [one.outcome for one in told.stories if one.lines[0].what == "hold"] == ["held"]


@pytest.mark.full
def test_a_promotion_is_measured_two_weeks_later_against_the_model_before(desk: HandDesk) -> None:
    desk.days(0, 7.5)
    desk.runner.brings(2)
    desk.days(7.5, 26.5)
    first = desk.retrainings()[0]
    assert first.gain is not None
    assert (first.gain.verdict, first.gain.metric) == ("cannot tell", "log_loss"), "orders never change their ways"
    assert first.gain.days in (14, 15)
    assert first.gain.low is not None
    assert first.gain.high is not None
    assert first.gain.low < 0 < first.gain.high
    told = get_stories(desk.workspace, GetStories(endpoint=NAME))
    whole = next(one for one in told.stories if any(line.what == "yield" for line in one.lines))
    kinds = [line.what for line in whole.lines]
    assert [kind for kind in kinds if kind != "hold"] == ["retrain", "shadow", "canary", "canary", "promote", "yield"]
    assert "1 cannot be told" in told.sentence


@pytest.mark.full
def test_a_broken_feed_and_an_estimate_are_watched_without_labels(desk: HandDesk) -> None:
    monitors = [sw.Drift(), sw.EstimatedQuality("log_loss")]
    declare_endpoint(desk.workspace, dataclasses.replace(desk.endpoint, monitors=monitors, retrain=None))
    desk.first()
    desk.days(0, 3, labels=lambda late: None)
    from slipway.flows.watch import watch
    from slipway.operations.endpoints import Watch

    found = {one.name: one for one in watch(desk.workspace, Watch(name=NAME)).findings}["estimated log_loss"]
    assert found.state in ("ok", "cannot tell")
    assert "estimated log loss" in found.sentence
