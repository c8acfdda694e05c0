"""Roll-outs of batch endpoints: the same words, records and judge as of those that answer requests, on rows of a table."""

from typing import Any

import polars as pl
import pytest
from scoring_desk import (
    INTO,
    NIGHTLY,
    ROWS,
    at,
    here,
    logged,
    look,
    more_flights,
    nightly,
    scored,
    scores,
    scorings,
)  # fmt: skip
from small_desk import BETTER, FIRST, GUESSING, Desk

from slipway.errors import Conflict
from slipway.flows.deploy import deploy, rollback
from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.rollout_words import abort, pause, resume
from slipway.flows.rollouts import newest
from slipway.flows.score import PREFIX, ROWS_FILE, begin, parts_folder
from slipway.flows.score_labels import label_scores
from slipway.gates.declare import Gate, metric
from slipway.hosts import score_run
from slipway.hosts.score_run import carry_out
from slipway.ledger import entries
from slipway.loop.by_hand import advance
from slipway.operations.endpoints import Deploy, Rollback
from slipway.operations.rollouts import Abort, Advance, Pause, Resume
from slipway.operations.scorings import LabelScores
from slipway.records.loop import Action
from slipway.records.monitors import Incident
from slipway.records.predictions import FailureRow, ShadowRow
from slipway.records.rollouts import Rollout
from slipway.rollout.declare import Canary, Shadow
from slipway.serving.arms import share_of
from slipway.tables import versions
from slipway.tables.alters import alter
from slipway.tables.log_rows import read_rows

pytestmark = pytest.mark.full

EASY = Gate(metric("auc") >= 0.01)
CANARY = (Canary(steps=(50, 100), margin=0.1),)


def rolled_out(desk: Desk, number: int, *phases: Any, **changes: Any) -> Rollout:
    """The first version serves and has scored the table; another one begins as its challenger."""
    nightly(desk, FIRST, rollout=phases, gate=EASY, **changes)
    scored(desk)
    nightly(desk, number, rollout=phases, gate=EASY, **changes)
    return present(desk)


def present(desk: Desk) -> Rollout:
    found = newest(desk.workspace, NIGHTLY)
    assert found is not None
    return found


def shadows(desk: Desk) -> list[ShadowRow]:
    return read_rows(folder_of(desk.workspace, NIGHTLY) / "log", "shadows", ShadowRow)[0]


def by_key(desk: Desk) -> dict[str, float]:
    return dict(scores(desk).select("flight_id", "score").iter_rows())


def actions(desk: Desk) -> list[str]:
    with desk.workspace.ledger.read() as tx:
        found = entries.find(tx, Action, parent=f"{desk.workspace.project}/{NIGHTLY}", limit=100)
    return [one.name for one in reversed(found) if one.name not in ("alert", "close", "note")]


def test_a_shadow_scores_the_same_rows_and_nothing_of_it_is_published(desk: Desk) -> None:
    rollout = rolled_out(desk, BETTER, Shadow())
    assert (rollout.state, rollout.champion.number, rollout.challenger.number) == ("shadow", FIRST, BETTER)
    before = by_key(desk)
    done = scored(desk, every=True)
    assert (done.state, done.by_challenger, done.refused) == ("finished", 0, 0)
    assert by_key(desk) == before
    assert set(scores(desk)["arm"]) == {"champion"}
    assert set(scores(desk)["propensity"]) == {1.0}
    rows = shadows(desk)
    assert {row.arm for row in rows} == {"challenger"}
    named = {row.id: row.key for row in logged(desk)}
    unseen = {named[row.prediction]: row.score for row in rows}
    assert len(rows) == len(unseen) == ROWS
    deploy(desk.workspace, Deploy(model="small-delays", version=str(BETTER), endpoint=NIGHTLY, at_once=True))
    scored(desk, every=True)
    assert by_key(desk) == unseen, "it is what the challenger publishes once it serves"


def test_a_canary_gives_each_row_one_arm_that_stands_in_log_and_table(desk: Desk) -> None:
    rolled_out(desk, BETTER, *CANARY)
    before = by_key(desk)
    done = scored(desk, every=True)
    frame = scores(desk)
    arms = dict(frame.select("flight_id", "arm").iter_rows())
    assert 0.45 * ROWS < done.by_challenger < 0.55 * ROWS
    assert list(arms.values()).count("challenger") == done.by_challenger
    assert f"small-delays {BETTER} answered {done.by_challenger:,} of them" in done.sentence
    assert set(frame["propensity"]) == {0.5}
    assert frame.filter(pl.col("arm") == "challenger")["version"].unique().to_list() == [BETTER]
    champions = frame.filter(pl.col("arm") == "champion")
    assert dict(champions.select("flight_id", "score").iter_rows()) == {
        key: before[key] for key in champions["flight_id"]
    }
    log = [row for row in logged(desk) if row.revision == done.revision]
    assert {row.key: (row.arm, row.propensity) for row in log} == {key: (arm, 0.5) for key, arm in arms.items()}
    assert {(row.arm, row.prediction) for row in shadows(desk)} == {
        ("champion" if row.arm == "challenger" else "challenger", row.id) for row in log
    }, "the model that did not answer a row has scored it unseen"
    scored(desk, every=True)
    assert dict(scores(desk).select("flight_id", "arm").iter_rows()) == arms, "a row keeps its arm"


def test_killed_in_the_middle_of_a_canary_nothing_is_doubled_and_no_row_changes_its_arm(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    rolled_out(desk, BETTER, *CANARY)
    begun = begin(desk.workspace, NIGHTLY, every=True)
    keep = score_run._Work._keep

    def killed(work: Any, number: int, *more: Any) -> None:
        if number == 2:
            raise KeyboardInterrupt
        keep(work, number, *more)

    monkeypatch.setattr(score_run._Work, "_keep", killed)
    with pytest.raises(KeyboardInterrupt):
        carry_out(desk.workspace, begun.id)
    parts = sorted(parts_folder(desk.workspace, begun).glob(f"{PREFIX}*/{ROWS_FILE}"))
    kept = pl.concat([pl.read_ipc(path) for path in parts])
    assert kept.height == 2000
    monkeypatch.setattr(score_run._Work, "_keep", keep)
    assert carry_out(desk.workspace, begun.id).state == "finished"
    frame = scores(desk)
    assert frame.height == ROWS
    assert frame.head(2000).equals(kept.select(frame.columns))
    name = f"small-delays/{BETTER}"
    drawn = ["challenger" if share_of(name, key) < 0.5 else "champion" for key in frame["flight_id"]]
    assert frame["arm"].to_list() == drawn
    ids = [row.id for row in logged(desk) if row.id.startswith(begun.id)]
    assert len(ids) == len(set(ids)) == ROWS
    assert sum(row.prediction.startswith(begun.id) for row in shadows(desk)) == ROWS


def labelled(desk: Desk) -> None:
    """The truth about every flight of the table."""
    late = versions.read(desk.workspace, "flights").collect()
    known = late.select("flight_id", "late").iter_rows()
    rows = [{"key": {"flight_id": id}, "value": float(value)} for id, value in known]
    label_scores(desk.workspace, LabelScores(name=NIGHTLY, labels=rows))


def test_the_loop_takes_a_challenger_from_scoring_to_scoring_to_all_rows(desk: Desk) -> None:
    desk = here(desk)
    rolled_out(desk, BETTER, Shadow(at_least="1d", margin=0.05), Canary(steps=(50, 100), margin=0.1))
    scored(desk, every=True)
    labelled(desk)
    at(desk, 10, 12)
    look(desk)
    assert (present(desk).percent, actions(desk)) == (50, ["canary"]), present(desk).looks[-1].sentence
    at(desk, 10, 13)
    look(desk)
    told = present(desk).looks[-1].sentence
    assert "it has answered no request yet" in told, "rows of earlier revisions are no evidence"
    scored(desk, every=True)
    at(desk, 10, 14)
    look(desk)
    assert (present(desk).state, actions(desk)) == ("promoted", ["canary", "promote"]), present(desk).looks[-1].sentence
    assert "An answer took" not in present(desk).looks[-1].sentence
    after = revision_of(desk.workspace, NIGHTLY)
    assert after.served.number == BETTER
    assert after.challenger is not None
    assert after.challenger.served.number == FIRST, "late labels are judged as long as they may come"
    at(desk, 12, 15)
    look(desk)
    assert revision_of(desk.workspace, NIGHTLY).challenger is None


def test_labels_of_the_same_rows_take_a_worse_model_back_unseen(desk: Desk) -> None:
    desk = here(desk)
    rolled_out(desk, GUESSING, Shadow(at_least="1d"), *CANARY)
    scored(desk, every=True)
    labelled(desk)
    at(desk, 10, 12)
    look(desk)
    assert (present(desk).state, actions(desk)) == ("stopped", ["stop"]), present(desk).looks[-1].sentence
    scored(desk, every=True)
    assert set(scores(desk)["version"]) == {FIRST}


def test_late_labels_bring_the_former_champion_back_after_a_promotion(desk: Desk) -> None:
    desk = here(desk)
    rolled_out(desk, GUESSING, Shadow(at_least="1d"), *CANARY)
    scored(desk, every=True)
    at(desk, 10, 12)
    for _ in range(2):
        advance(desk.workspace, Advance(endpoint=NIGHTLY, reason="labels are late"))
    assert present(desk).state == "promoted"
    assert scored(desk, every=True).served.number == GUESSING
    assert shadows(desk)[-1].revision == revision_of(desk.workspace, NIGHTLY).number, "the former champion scores aside"
    labelled(desk)
    at(desk, 11, 11)
    look(desk)
    assert (present(desk).state, actions(desk)) == ("reverted", ["stop"]), present(desk).looks[-1].sentence
    after = revision_of(desk.workspace, NIGHTLY)
    assert (after.served.number, after.challenger) == (FIRST, None)


def test_a_veto_needs_no_label(desk: Desk) -> None:
    desk = here(desk)
    rolled_out(desk, BETTER, Shadow(most_flips=0.001))
    scored(desk, every=True)
    at(desk, 1, 1)
    look(desk)
    assert present(desk).state == "stopped"
    assert f"of {ROWS:,} rows otherwise" in present(desk).reason


def test_a_challenger_that_is_taken_back_while_it_scores_publishes_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = here(desk)
    rolled_out(desk, BETTER, *CANARY)
    before = scores(desk)
    versions.append(desk.workspace, "flights", more_flights(desk))
    begun = begin(desk.workspace, NIGHTLY)
    abort(desk.workspace, Abort(endpoint=NIGHTLY, reason="callers complain"))
    with pytest.raises(Conflict, match="The roll-out ended while scoring 2"):
        carry_out(desk.workspace, begun.id)
    assert scores(desk).equals(before)
    with desk.workspace.ledger.read() as tx:
        assert not entries.find(tx, Incident, project=desk.workspace.project, name="scoring", limit=10)
    look(desk)
    look(desk)
    assert [(one.number, one.state, one.challenger is None) for one in scorings(desk)] == [
        (1, "finished", True), (2, "failed", False), (3, "finished", True)
    ]  # fmt: skip
    assert scorings(desk)[-1].trigger == "again, without the challenger of scoring 2"
    assert set(scores(desk)["version"]) == {FIRST}
    assert scores(desk).height == ROWS + 10


def test_a_challenger_that_cannot_be_loaded_costs_no_row_and_is_stopped_at_once(desk: Desk) -> None:
    desk = here(desk)
    rollout = rolled_out(desk, BETTER, *CANARY)
    home = folder_of(desk.workspace, NIGHTLY) / "bundles" / rollout.challenger.bundle
    next(path for path in sorted(home.rglob("*")) if "model" in path.parts and path.is_file()).write_bytes(b"damaged")
    done = scored(desk, every=True)
    assert (done.state, done.refused, done.by_challenger) == ("finished", 0, 0)
    assert done.unloaded
    assert set(scores(desk)["version"]) == {FIRST}
    failed = read_rows(folder_of(desk.workspace, NIGHTLY) / "log", "failures", FailureRow)[0]
    assert {(row.arm, row.was_covered) for row in failed} == {("challenger", True)}
    covered = scores(desk).filter(pl.col("propensity") == 1.0).height
    assert sum(row.rows for row in failed) == covered > 0.45 * ROWS
    at(desk, 1, 1)
    look(desk)
    assert present(desk).state == "stopped"
    assert "It could not be loaded in scoring 2" in present(desk).reason


def test_people_decide_as_they_do_of_live_endpoints(desk: Desk) -> None:
    desk = here(desk)
    rolled_out(desk, BETTER, *CANARY)
    workspace = desk.workspace
    at(desk, 1, 1)
    tried = pause(workspace, Pause(endpoint=NIGHTLY, dry_run=True))
    assert tried.is_dry
    assert present(desk).paused_at is None
    pause(workspace, Pause(endpoint=NIGHTLY, reason="the fair"))
    scored(desk, every=True)
    resume(workspace, Resume(endpoint=NIGHTLY))
    at(desk, 1, 3)
    advance(workspace, Advance(endpoint=NIGHTLY, reason="seen by the desk"))
    assert present(desk).state == "promoted"
    rollback(workspace, Rollback(name=NIGHTLY, scores=True))
    assert revision_of(workspace, NIGHTLY).served.number == FIRST
    assert set(scores(desk)["version"]) == {FIRST}, "the scores are those of before the canary"


def test_a_deadline_asks_and_silence_takes_the_challenger_back(desk: Desk) -> None:
    desk = here(desk)
    rolled_out(desk, BETTER, Canary(steps=(50, 100), deadline="2d"))
    at(desk, 3, 1)
    look(desk)
    assert present(desk).asked_at is not None
    assert actions(desk) == ["ask"]
    at(desk, 5, 2)
    look(desk)
    assert (present(desk).state, actions(desk)) == ("undecided", ["ask", "undecided"])
    assert revision_of(desk.workspace, NIGHTLY).challenger is None


def test_a_table_of_scores_of_an_earlier_release_gets_the_columns_of_arms(desk: Desk) -> None:
    nightly(desk)
    scored(desk)
    alter(desk.workspace, INTO, drop=["arm", "propensity"])
    versions.append(desk.workspace, "flights", more_flights(desk))
    assert scored(desk).state == "finished"
    frame = scores(desk)
    assert frame["arm"].is_null().to_list() == [True] * ROWS + [False] * 10
    assert frame.tail(10)["propensity"].to_list() == [1.0] * 10
