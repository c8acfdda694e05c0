"""Sharing: another project uses features, a table and a step under numbers, and nothing changes under it."""

import dataclasses

import polars as pl
import pytest
from borrowing import released, share_all
from polars.testing import assert_frame_equal
from small_desk import NAME, Desk

import slipway as sw
from slipway.client.endpoint import EndpointClient
from slipway.errors import Conflict, Corrupt, Denied, InvalidDeclaration, InvalidInput, NotFound
from slipway.flows.column_trace import trace
from slipway.flows.deploy import deploy
from slipway.flows.share import get_shared, grant, list_shared, publish, withdraw
from slipway.hosts.project import Project, open_project
from slipway.operations.catalog import Lineage
from slipway.operations.endpoints import Deploy
from slipway.operations.sharing import GetShared, Grant, ListShared, Withdraw
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.tables import AboutTable
from slipway.tables.catalog import head
from slipway.tables.commits import note_about
from slipway.tables.personal import MASK


def test_shared_features_are_those_of_their_owner_and_serve(desk: Desk, borrower: Project) -> None:
    share_all(desk)
    made = released(borrower)
    module = borrower.module()
    ours = module.features.training_set(module.loads, label="late", at="asked_at")
    with open_project(desk.project.folder, clock=desk.clock) as project:
        theirs = project.module().features.training_set("flights", label="late", at="asked_at")
    shared = ["flight_id", "origin_delay_6h", "origin_seen_6h", "weather_now_wind", "hour", "late"]
    assert_frame_equal(ours.select(shared), theirs.select(shared), check_exact=True)
    assert ours["origin_delay_6h"].null_count() < ours.height / 2
    assert made.version is not None
    serves = deploy(borrower.workspace, Deploy(model="freight-late"))
    assert serves.status is not None
    row = {"flight_id": "Q", "origin": "JFK", "distance": 500, "departure": "2013-04-01T09:00:00Z"}
    try:
        with EndpointClient(serves.status.url, "freight-late") as client:
            answered = client.predict([row], at=desk.clock.now())["predictions"][0]
        assert 0 <= answered["score"] <= 1
        uses = get_shared(desk.workspace, GetShared(reference="weather_now@1")).uses
        assert [(use.project, use.sort, use.name) for use in uses if use.sort != "run"] == [
            ("freight", "endpoint", "freight-late"),
            ("freight", "model", "freight-late"),
        ]
        assert next(use for use in uses if use.sort == "endpoint").is_serving
        reached = trace(desk.workspace, Lineage(what="weather.wind")).models
        assert [(one.project, one.name, one.features) for one in reached] == [
            ("freight", "freight-late", ("weather_now_wind",)),
            (NAME, NAME, ("weather_now_wind",)),
        ], "the owner's column, by way of the rows that the owner keeps"
        borrower.workspace.launcher.stop(borrower.workspace.root / "endpoints" / "freight" / "freight-late")
        check_masks(desk, borrower, answered["id"])
    finally:
        borrower.workspace.launcher.stop(borrower.workspace.root / "endpoints" / "freight" / "freight-late")


def check_masks(desk: Desk, borrower: Project, prediction: str) -> None:
    """What tells of a person in the owner's tables does so in a prediction that another project made of it."""

    def served(role: str) -> dict[str, object]:
        workspace = dataclasses.replace(borrower.workspace, actor=Actor("somebody", roles=(role,)))
        found = trace(workspace, Lineage(what=prediction)).prediction
        assert found is not None
        return found.features

    plain = served("ml engineer")
    assert None not in (plain["weather_now_wind"], plain["hour"], plain["distance"])
    assert MASK not in plain.values()
    note_about(desk.workspace, head(desk.workspace, "weather"), AboutTable(personal=("wind",)))
    assert served("ml engineer") == {**plain, "weather_now_wind": MASK}
    note_about(desk.workspace, head(desk.workspace, "flights"), AboutTable(personal=("departure",)))
    assert served("ml engineer") == {**plain, "weather_now_wind": MASK, "hour": MASK}
    assert served("governance") == plain


def test_features_of_one_name_are_told_apart_by_their_projects(desk: Desk, borrower: Project) -> None:
    share_all(desk)
    released(borrower)

    def models(workspace: Workspace, what: str) -> list[str]:
        return [one.project for one in trace(workspace, Lineage(what=what)).models]

    ours, theirs = desk.workspace, borrower.workspace
    assert models(ours, "distance") == [NAME]
    assert models(theirs, "distance") == ["freight"]
    assert models(ours, "freight/distance") == ["freight"]
    for workspace, what in ((ours, "weather_now_wind"), (ours, "weather_now"), (theirs, f"{NAME}/weather_now")):
        assert models(workspace, what) == ["freight", NAME], "one definition, in two projects"
    both = trace(theirs, Lineage(what="weather_now_wind"))
    assert [(one.project, one.name) for one in both.features] == [(NAME, "weather_now_wind")]
    assert models(ours, "hour") == ["freight", NAME]
    assert models(theirs, "loads.origin") == ["freight"]
    assert models(theirs, "request.distance") == ["freight"]
    kept = get_shared(ours, GetShared(reference="weather_now@1")).publication.table
    rows = trace(ours, Lineage(what=kept))
    assert [one.project for one in rows.models] == ["freight"], "the rows that the owner keeps"
    assert [one.name for one in rows.features] == ["weather_now_wind"]


def test_the_same_definition_keeps_its_number(desk: Desk) -> None:
    hour = desk.project.module().hour
    first = publish(desk.workspace, "hour", hour)
    assert publish(desk.workspace, "hour", hour) == first
    assert first.id == f"{NAME}/hour@1"


def test_a_breaking_change_names_who_uses_it(desk: Desk, borrower: Project) -> None:
    share_all(desk)
    released(borrower)

    @sw.feature_view(entity="origin", time="observed_at", ttl="3h")
    def weather_now(weather: pl.LazyFrame) -> pl.LazyFrame:
        return weather.select("origin", "observed_at", "gust")

    with pytest.raises(Conflict) as refused:
        publish(desk.workspace, "weather_now", weather_now)
    assert "weather_now_wind is gone" in refused.value.what or "wind is gone" in refused.value.what
    assert "model freight-late of freight" in refused.value.why
    second = publish(desk.workspace, "weather_now", weather_now, accept_breaking=True)
    assert second.number == 2
    ours = borrower.module().features.training_set("loads", label="late", at="asked_at")
    assert "weather_now_wind" in ours.columns, "number 1 stays what it was"


def test_only_readers_may_use_it(desk: Desk, borrower: Project) -> None:
    share_all(desk)
    grant(desk.workspace, Grant(name="recent", readers=(NAME,)))
    with pytest.raises(Denied, match="'freight' may not use small-delays/recent@1"):
        released(borrower)
    assert [one.name for one in list_shared(borrower.workspace, ListShared(text="delay")).publications] == [
        "flights",
        "halves",
        "hour",
        "weather_now",
    ]
    grant(desk.workspace, Grant(name="recent", readers=("freight",)))
    assert released(borrower).version is not None
    with pytest.raises(NotFound, match="no project 'marketing'"):
        grant(desk.workspace, Grant(name="recent", readers=("marketing",)))


def test_who_uses_a_withdrawn_number_goes_on_and_nobody_begins(desk: Desk, borrower: Project) -> None:
    share_all(desk)
    released(borrower)
    withdraw(desk.workspace, Withdraw(name="hour", number=1, reason="use hour_local"))
    assert released(borrower).run.state == "finished"
    stranger = dataclasses.replace(desk.workspace, project="other")
    with pytest.raises(Conflict, match="was withdrawn") as refused:
        get_shared(stranger, GetShared(reference=f"{NAME}/hour@1"))
    assert refused.value.why == "use hour_local"


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("hour", InvalidInput, "no reference"),
        ("small-delays/hour@x", InvalidInput, "no reference"),
        ("small-delays/hour", InvalidDeclaration, "names no number"),
    ],
)
def test_a_bad_reference_is_said_at_once(given: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        sw.shared(given)


def test_what_is_not_there_is_said_with_what_is(desk: Desk) -> None:
    publish(desk.workspace, "hour", desk.project.module().hour)
    with pytest.raises(NotFound, match="shares nothing called 'hours'") as said:
        sw.shared(f"{NAME}/hours@1").publication()
    assert "'hour'" in said.value.why
    with pytest.raises(NotFound, match="has no number 7"):
        sw.shared(f"{NAME}/hour@7").publication()
    with pytest.raises(InvalidDeclaration, match="is a feature, and is used as a table"):
        sw.shared(f"{NAME}/hour@1").read()


def test_altered_code_is_refused(desk: Desk) -> None:
    made = publish(desk.workspace, "hour", desk.project.module().hour)
    shared = sw.shared(made.id)
    assert shared.shared_parts().functions["hour"].__module__.startswith("shared_hour_")
    (file,) = (desk.workspace.root / "shared" / made.code).rglob("small_delays.py")
    file.write_text(file.read_text().replace("hour", "minute"))
    with pytest.raises(Corrupt, match="was altered"):
        shared.shared_parts()
