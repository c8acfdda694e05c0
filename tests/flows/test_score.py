"""Batch endpoints: new rows are scored once, as an endpoint answers them, and appear whole or not at all."""

import json
from datetime import timedelta
from typing import Any

import msgspec
import polars as pl
import pytest
from scoring_desk import INTO, NIGHTLY, PARTS, ROWS, declared, flights, logged, more_flights, nightly, scored, scores
from small_desk import BETTER, FIRST, Desk

import slipway as sw
from server_desk import asker
from slipway.errors import Conflict, InvalidDeclaration, InvalidInput, NotFound
from slipway.flows.deploy import deploy, rollback
from slipway.flows.endpoint import fed_by
from slipway.flows.endpoints import folder_of, get_endpoint, list_endpoints
from slipway.flows.erase import erase
from slipway.flows.log import Log
from slipway.flows.release import declare_endpoint
from slipway.flows.score import begin, list_scorings, parts_folder, settle
from slipway.flows.score_labels import label_scores
from slipway.flows.triggers import cron, on_hook, on_table
from slipway.flows.watch import watch
from slipway.hosts import score_run
from slipway.hosts.score_run import carry_out
from slipway.ledger import entries
from slipway.operations.declare import Empty
from slipway.operations.endpoints import Deploy, GetEndpoint, Rollback, Watch
from slipway.operations.erasures import Erase
from slipway.operations.scorings import LabelScores, ListScorings
from slipway.records.monitors import Incident
from slipway.records.predictions import LabelRow
from slipway.rollout.declare import Canary, Shadow
from slipway.rollout.old_system import OldSystem
from slipway.stats.kpi import kpi_figure, kpi_values
from slipway.tables import upserts, versions
from slipway.tables.catalog import node
from slipway.tables.log_rows import read_rows


def without_moments(frame: pl.DataFrame) -> pl.DataFrame:
    """What two scorings of the same rows have in common."""
    return frame.drop("prediction", "scored_at", "revision")


def test_each_row_gets_a_score_in_the_tables_order_and_the_log_tells_of_it(desk: Desk) -> None:
    deployed = nightly(desk)
    assert deployed.status is None
    assert deployed.revision is not None
    assert not (folder_of(desk.workspace, NIGHTLY) / "status.json").exists()
    done = scored(desk)
    assert (done.state, done.number, done.rows, done.parts, done.refused) == ("finished", 1, ROWS, PARTS, 0)
    frame = scores(desk)
    assert frame["flight_id"].equals(flights(desk)["flight_id"])
    assert frame["score"].null_count() == 0
    assert set(frame["version"]) == {FIRST}
    rows = logged(desk)
    assert [(row.id, row.key, row.score) for row in rows] == list(
        frame.select("prediction", "flight_id", "score").iter_rows()
    )
    assert rows[0].at_us == int(frame["asked_at"].dt.epoch("us")[0])
    assert not parts_folder(desk.workspace, done).exists()
    with desk.workspace.ledger.read() as tx:
        made = node(desk.workspace.project, INTO, done.result_version)
        sources = {(link.source.partition(":")[0], link.role) for link in tx.links(made, towards=True)}
    assert {("table", "scored"), ("table", "source"), ("bundle", "source")} <= sources
    assert "rows of version 1 of 'flights' were scored into version 1 of 'scored_flights'" in done.sentence


@pytest.mark.full
def test_the_log_feeds_monitors_and_a_metric_contract_as_a_live_endpoints(desk: Desk) -> None:
    a_mile = sw.MetricContract(
        "cost a mile", costs={"true_positive": 1, "false_positive": 1, "false_negative": 5}, per="distance / 1000"
    )  # fmt: skip
    nightly(desk, kpi=a_mile)
    scored(desk)
    truth = flights(desk).filter(pl.col("asked_at") > pl.col("asked_at").max() - timedelta(days=30))
    labels = [
        {"key": {"flight_id": id}, "value": late, "observed_at": at}
        for id, late, at in truth.filter(pl.col("asked_at") < desk.clock.now() - timedelta(days=2))
        .select("flight_id", "late", "asked_at")
        .iter_rows()
    ]
    assert label_scores(desk.workspace, LabelScores(name=NIGHTLY, labels=labels)).accepted == len(labels) > 700
    with pytest.raises(InvalidInput, match="names no prediction"):
        label_scores(desk.workspace, LabelScores(name=NIGHTLY, labels=[{"value": 1}]))
    watched = watch(desk.workspace, Watch(name=NIGHTLY))
    assert (watched.predictions, watched.labels, watched.unmatched) == (ROWS, len(labels), 0)
    found = {finding.name: finding for finding in watched.findings}
    assert found.keys() == {"drift", "quality of log_loss", "cost of errors", "cost a mile"}
    assert found["quality of log_loss"].rows > 700
    kpi = found["cost a mile"]
    rows = flights(desk).join(scores(desk).select("flight_id", "score", "decision"), on="flight_id")
    told = pl.col("flight_id").is_in([one["key"]["flight_id"] for one in labels])
    judged = rows.filter((pl.col("asked_at") >= kpi.window_from) & (pl.col("asked_at") < kpi.window_until) & told)
    figure = kpi_figure(
        kpi_values(judged.with_columns(label=pl.col("late").cast(pl.Float64)), a_mile.terms()), a_mile.terms()
    )
    assert kpi.values["value"] == pytest.approx(figure.value, rel=1e-12), kpi.sentence


def test_what_is_scored_is_not_scored_again(desk: Desk) -> None:
    nightly(desk)
    first = scored(desk)
    again = scored(desk)
    assert (again.state, again.number, again.result_version) == ("unchanged", 2, "")
    assert (
        again.sentence
        == "Version 1 of 'flights' was scored by revision 1, and stands in version 1 of 'scored_flights'."
    )
    assert scored(desk, every=True).state == "unchanged"
    assert len(logged(desk)) == ROWS
    assert versions.head(desk.workspace, INTO).version == first.result_version


def test_only_rows_that_came_are_scored(desk: Desk) -> None:
    nightly(desk)
    before = scores(desk, scored(desk).result_version)
    versions.append(desk.workspace, "flights", more_flights(desk))
    done = scored(desk)
    assert (done.rows, done.parts, done.former_source != "") == (10, 1, True)
    after = scores(desk)
    assert after.head(ROWS).equals(before)
    assert after.tail(10)["flight_id"].to_list() == [f"N{place}" for place in range(10)]
    assert len(logged(desk)) == ROWS + 10
    earlier = scored(desk, table_version="1")
    assert (earlier.state, earlier.rows) == ("unchanged", 0)


def test_rows_that_changed_are_scored_again_in_place(desk: Desk) -> None:
    nightly(desk)
    scored(desk)
    before = scores(desk)
    farther = flights(desk).slice(100, 3).with_columns(pl.col("distance") + 5000, pl.col("delay") + 1)
    later = flights(desk).slice(200, 3).with_columns(pl.col("delay") + 1)  # no column that a request carries
    upserts.upsert(desk.workspace, "flights", pl.concat([farther, later, more_flights(desk, 2)]))
    done = scored(desk)
    assert done.rows == 5
    after = scores(desk)
    assert after.height == ROWS + 2
    changed = after.head(ROWS)["prediction"] != before["prediction"]
    assert before["flight_id"].filter(changed).to_list() == farther["flight_id"].to_list()


@pytest.mark.full
def test_a_new_revision_scores_new_rows_and_all_where_it_is_asked_to(desk: Desk) -> None:
    nightly(desk)
    scored(desk)
    nightly(desk, BETTER)
    told = scored(desk)
    assert told.state == "unchanged"
    assert told.sentence.endswith("was scored by revision 1; revision 2 scores new rows, and those again with --all.")
    whole = scored(desk, every=True)
    assert (whole.state, whole.rows, whole.is_whole) == ("finished", ROWS, True)
    assert set(scores(desk)["version"]) == {BETTER}
    assert scored(desk, every=True).state == "unchanged"


@pytest.mark.full
def test_the_way_back_is_a_revision_and_where_asked_its_scores(desk: Desk) -> None:
    nightly(desk)
    first = scored(desk)
    nightly(desk, BETTER)
    scored(desk, every=True)
    back = rollback(desk.workspace, Rollback(name=NIGHTLY))
    assert back.revision is not None
    assert (back.revision.number, back.revision.served.number) == (3, FIRST)
    assert set(scores(desk)["version"]) == {BETTER}
    rollback(desk.workspace, Rollback(name=NIGHTLY, to=2))
    rollback(desk.workspace, Rollback(name=NIGHTLY, to=1, scores=True))
    assert versions.head(desk.workspace, INTO).version == first.result_version
    versions.append(desk.workspace, "flights", more_flights(desk))
    assert scored(desk).rows == 10
    assert set(scores(desk)["version"]) == {FIRST}


def test_rows_that_break_the_contract_are_counted_and_stop_nothing(desk: Desk) -> None:
    nightly(desk)
    scored(desk)
    bad = more_flights(desk, 4).with_columns(
        origin=pl.Series([None, "JFK", "JFK", "JFK"]),
        departure=pl.when(pl.col("flight_id") == "N1").then(None).otherwise("departure"),
        asked_at=pl.when(pl.col("flight_id") == "N2").then(None).otherwise("asked_at"),
    )
    versions.append(desk.workspace, "flights", bad)
    with pytest.raises(InvalidInput, match=r"3 of 4 rows got no score, and max_refused=0.01 allows 0"):
        scored(desk)
    failed = list_scorings(desk.workspace, ListScorings(name=NIGHTLY)).scorings[0]
    assert (failed.state, failed.refused) == ("failed", 3)
    assert versions.head(desk.workspace, INTO).number == 1
    assert len(logged(desk)) == ROWS
    assert not parts_folder(desk.workspace, failed).exists()
    nightly(desk, max_refused=0.75)
    done = scored(desk)
    assert (done.rows, done.refused) == (4, 3)
    told = scores(desk).tail(4)
    assert told["score"].is_null().to_list() == [True, True, True, False]
    assert told["reason"][2] == "its decision time is missing"
    assert sorted(done.reasons.values()) == [1, 1, 1]
    assert {text.split(" ")[0] for text in told["reason"].head(2)} == {"origin", "departure"}
    assert len(logged(desk)) == ROWS + 1


def test_a_failure_opens_an_incident_that_the_next_success_closes(desk: Desk) -> None:
    nightly(desk)
    scored(desk)
    versions.append(desk.workspace, "flights", more_flights(desk, 1, origin=pl.lit(None, pl.String)))
    with pytest.raises(InvalidInput):
        scored(desk)

    def incidents(state: str) -> list[Incident]:
        with desk.workspace.ledger.read() as tx:
            parent = f"{desk.workspace.project}/{NIGHTLY}"
            return entries.find(tx, Incident, parent=parent, name="scoring", state=state)

    assert ["1 of 1 rows got no score" in one.sentence for one in incidents("open")] == [True]
    upserts.upsert(desk.workspace, "flights", more_flights(desk, 1, origin=pl.lit("JFK")))
    assert scored(desk).state == "finished"
    assert (len(incidents("open")), len(incidents("closed"))) == (0, 1)


def test_what_was_done_is_not_done_again_and_the_result_is_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    nightly(desk)
    begun = begin(desk.workspace, NIGHTLY)
    carried: list[int] = []
    genuine = score_run.score_part

    def stops_at_third(job: bytes, rows: pl.DataFrame, first: int, bundle: bytes) -> Any:
        if len(carried) == 2:
            raise KeyboardInterrupt  # as a kill: nothing is told
        carried.append(first)
        return genuine(job, rows, first, bundle)

    monkeypatch.setattr(score_run, "score_part", stops_at_third)
    with pytest.raises(KeyboardInterrupt):
        carry_out(desk.workspace, begun.id)
    assert carried == [0, 1000]
    with pytest.raises(NotFound):
        versions.head(desk.workspace, INTO)  # nothing of it is seen
    assert not logged(desk)
    kept = {path.name: path.stat().st_mtime_ns for path in parts_folder(desk.workspace, begun).glob("part-*")}
    (parts_folder(desk.workspace, begun) / ".left-by-a-kill").mkdir()
    rest: list[int] = []

    def notes(job: bytes, rows: pl.DataFrame, first: int, bundle: bytes) -> Any:
        rest.append(first)
        return genuine(job, rows, first, bundle)

    monkeypatch.setattr(score_run, "score_part", notes)
    desk.clock.advance_to(desk.clock.now() + timedelta(days=1))  # the decision to score was made yesterday
    done = carry_out(desk.workspace, begun.id)
    assert rest == [2000, 3000]
    assert len(kept) == 2
    resumed = scores(desk)
    assert set(resumed["scored_at"]) == {begun.created_at}
    assert len({row.id for row in logged(desk)}) == len(logged(desk)) == done.rows == ROWS


def test_a_kill_before_the_log_has_its_rows_is_made_good(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    nightly(desk)
    begun = begin(desk.workspace, NIGHTLY)
    monkeypatch.setattr(score_run, "settle", lambda workspace, name: None)
    done = carry_out(desk.workspace, begun.id)
    assert done.state == "finished"
    assert not logged(desk)
    first = next(parts_folder(desk.workspace, done).glob("*/*.seg"))
    (folder_of(desk.workspace, NIGHTLY) / "log").mkdir(exist_ok=True)
    first.rename(folder_of(desk.workspace, NIGHTLY) / "log" / first.name)  # killed after the first of them
    for _ in range(2):
        settle(desk.workspace, NIGHTLY)
        assert len(logged(desk)) == ROWS
    assert len({row.id for row in logged(desk)}) == ROWS


@pytest.mark.full
def test_what_is_erased_meanwhile_is_not_published(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    nightly(desk)
    begun = begin(desk.workspace, NIGHTLY)
    genuine = score_run.score_part

    def erases(job: bytes, rows: pl.DataFrame, first: int, bundle: bytes) -> Any:
        made = genuine(job, rows, first, bundle)
        if first == 3000:
            erase(desk.workspace, Erase(table="flights", key=("F17",), reason="request 17"))
        return made

    monkeypatch.setattr(score_run, "score_part", erases)
    with pytest.raises(Conflict, match="Rows were erased from 'flights' while version 1 of it was scored"):
        carry_out(desk.workspace, begun.id)
    monkeypatch.undo()
    with pytest.raises(NotFound):
        versions.head(desk.workspace, INTO)
    done = scored(desk)
    assert done.rows == ROWS - 1
    assert "F17" not in scores(desk)["flight_id"].to_list()


@pytest.mark.full
def test_an_erasure_reaches_scores_log_and_unfinished_parts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    nightly(desk)
    scored(desk)
    versions.append(desk.workspace, "flights", more_flights(desk, 1500))
    scored(desk)
    nightly(desk, BETTER)
    begun = begin(desk.workspace, NIGHTLY, every=True)
    monkeypatch.setattr(score_run._Work, "published", lambda work, began: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        carry_out(desk.workspace, begun.id)
    found = erase(desk.workspace, Erase(table="flights", key=("F17",), reason="request 17", dry_run=True))
    places = {place.place: place.rows for place in found.places}
    assert places["unfinished scorings of delays-nightly"] == 1
    assert places["prediction log of delays-nightly"] == 1
    assert places[f"table {INTO}"] >= 1
    assert erase(desk.workspace, Erase(table="flights", key=("F17",), reason="request 17")).left == 0
    assert "F17" not in scores(desk)["flight_id"].to_list()
    assert "F17" not in {row.key for row in logged(desk)}
    assert not parts_folder(desk.workspace, begun).exists()


def test_personal_columns_stay_so_in_the_scores(desk: Desk) -> None:
    about = versions.head(desk.workspace, "flights").about
    versions.append(
        desk.workspace,
        "flights",
        more_flights(desk, 1),
        origin=versions.Origin(about=msgspec.structs.replace(about, personal=("flight_id", "delay"))),
    )
    nightly(desk)
    scored(desk)
    assert versions.head(desk.workspace, INTO).about.personal == ("flight_id",)


def test_one_at_a_time_and_never_into_somebody_elses_table(desk: Desk) -> None:
    nightly(desk)
    begin(desk.workspace, NIGHTLY)
    with pytest.raises(Conflict, match="Scoring 1 of 'delays-nightly' is under way"):
        begin(desk.workspace, NIGHTLY)
    nightly(desk, into="weather")
    with pytest.raises(Conflict, match="The table 'weather' does not hold scores that 'delays-nightly' made"):
        begin(desk.workspace, NIGHTLY)


def test_a_table_that_lacks_a_column_is_refused_before_anything_is_scored(desk: Desk) -> None:
    nightly(desk, table="weather", time="observed_at")
    with pytest.raises(InvalidInput, match="The table 'weather' has no column 'departure'"):
        scored(desk)
    nightly(desk, time="late")
    with pytest.raises(InvalidInput, match="'late' of the table 'flights' holds no instants with a time zone"):
        scored(desk)


def test_a_live_endpoint_does_not_become_a_batch_endpoint(desk: Desk) -> None:
    nightly(desk)
    declare_endpoint(desk.workspace, type(desk.project.module().delays)(NIGHTLY))
    with pytest.raises(Conflict, match="The endpoint 'delays-nightly' scores a table, and is now declared"):
        deploy(desk.workspace, Deploy(model="small-delays", version="1", endpoint=NIGHTLY))


def test_it_is_listed_with_what_it_scored_and_when_it_will_again(desk: Desk) -> None:
    nightly(desk, schedule=[cron("0 5 * * *")])
    done = scored(desk)
    row = list_endpoints(desk.workspace, Empty()).endpoints[0]
    assert row.status is None
    assert row.scoring == done
    assert row.next_at is not None
    assert row.next_at.isoformat() == "2013-04-01T05:00:00+00:00"
    detail = get_endpoint(desk.workspace, GetEndpoint(name=NIGHTLY))
    assert detail.scorings == (done,)
    assert detail.next_at == row.next_at
    assert json.loads(msgspec.json.encode(detail))["scorings"][0]["rows"] == ROWS
    project = f"/projects/{desk.workspace.project}"
    page = asker(desk.workspace)("GET", f"{project}/endpoints/{NIGHTLY}").text
    assert done.sentence.replace("'", "&#39;") in page
    assert "0 5 * * *; next" in page
    assert "Try it" not in page
    first = asker(desk.workspace)("GET", project).text
    assert f"rows of flights into {INTO} on" in first
    assert "The next scoring is due 2013-04-01 05:00 UTC." in first


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rollout": [Shadow(most_slower=2)]}, "was given most_slower=2 in its rollout"),
        ({"rollout": [Canary(slow="50ms")]}, "was given slow='50ms' in its rollout"),
        ({"old_system": OldSystem(url="https://old.example/score", score="score")}, "was given old_system="),
        ({"strict": True}, "was given strict=True"),
        ({"table": ""}, "as its table"),
        ({"into": ""}, "as its into"),
        ({"into": "flights"}, "Scores have a table of their own"),
        ({"key": ()}, "as its key"),
        ({"key": "score"}, "rename the column"),
        ({"max_refused": 2}, "Give a share from 0 to 1"),
        ({"batch_rows": 0}, "as its batch_rows"),
        ({"schedule": [on_hook()]}, "Scorings begin by clocks and new versions of tables"),
        ({"schedule": "0 5 * * *"}, "as its schedule"),
        ({"schedule": [cron("0 5 * * *"), cron("0 5 * * *")]}, "Give each of them once"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused_with_a_sentence(
    desk: Desk, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidDeclaration) as refused:
        declared(desk, **changes)
    assert told in str(refused.value)


def test_a_pipeline_may_feed_a_live_endpoint_and_a_batch_endpoint(desk: Desk) -> None:
    module = desk.project.module()
    assert fed_by([declared(desk), module.delays], module.release) is module.delays
    assert declared(desk, schedule=[on_table("flights")]).declared("p", desk.clock.now()).batch is not None


def test_the_log_has_a_share_and_no_personal_values_where_the_endpoint_says_so(desk: Desk) -> None:
    about = versions.head(desk.workspace, "flights").about
    versions.append(
        desk.workspace,
        "flights",
        more_flights(desk, 1),
        origin=versions.Origin(about=msgspec.structs.replace(about, personal=("flight_id",))),
    )
    nightly(desk, log=Log(sample=0.25, redact="personal"))
    scored(desk)
    rows = logged(desk)
    assert 600 < len(rows) < 1100
    assert {row.log_share for row in rows} == {0.25}
    assert not any("F1" in row.key or "F2" in str(row.request) for row in rows)
    key = {"flight_id": scores(desk)["flight_id"][0]}
    assert label_scores(desk.workspace, LabelScores(name=NIGHTLY, labels=[{"key": key, "value": 1}])).accepted == 1
    told, _ = read_rows(folder_of(desk.workspace, NIGHTLY) / "log", "labels", LabelRow)
    assert "F0" not in told[0].key
