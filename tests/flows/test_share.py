"""Sharing: another project uses features, a table and a step under numbers, and nothing changes under it."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest
from borrowing import released, share_all
from polars.testing import assert_frame_equal
from small_desk import NAME, Desk

import slipway as sw
from slipway.client.endpoint import EndpointClient
from slipway.data.ingest import ingest
from slipway.errors import Conflict, Corrupt, Denied, InvalidDeclaration, InvalidInput, NotFound
from slipway.flows.column_trace import trace
from slipway.flows.deploy import deploy
from slipway.flows.release import run_pipeline
from slipway.flows.share import get_shared, grant, list_shared, publish, withdraw
from slipway.hosts.project import Project, open_project
from slipway.ledger import publications
from slipway.operations.catalog import Lineage
from slipway.operations.endpoints import Deploy
from slipway.operations.sharing import GetShared, Grant, ListShared, Withdraw
from slipway.pipelines.declare import step
from slipway.ports.workspace import Workspace, current_workspace
from slipway.records.people import Actor
from slipway.records.tables import AboutTable
from slipway.tables.catalog import head
from slipway.tables.commits import note_about
from slipway.tables.personal import MASK
from slipway.tables.versions import overwrite, read


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
        assert [(use.project, use.sort, use.name) for use in uses if use.sort in ("endpoint", "model")] == [
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


def test_a_stored_training_set_keeps_personal_what_a_borrowed_view_reads(desk: Desk, borrower: Project) -> None:
    share_all(desk)
    note_about(desk.workspace, head(desk.workspace, "weather"), AboutTable(personal=("wind",)))
    module = borrower.module()
    with current_workspace.filled(borrower.workspace):
        ingest(borrower.workspace, module.loads)
        module.features.training_batches(module.loads, label="late", at="asked_at")
    assert head(borrower.workspace, "training.features").about.personal == ("weather_now_wind",)


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


def numbers(desk: Desk, name: str) -> dict[int, str]:
    with desk.workspace.ledger.read() as tx:
        return {one.number: one.state for one in publications.editions(tx, NAME, name)}


def test_what_was_withdrawn_comes_back_under_a_new_number_only(desk: Desk) -> None:
    hour = desk.project.module().hour
    publish(desk.workspace, "hour", hour)
    withdraw(desk.workspace, Withdraw(name="hour", number=1, reason="wrong zone"))
    stranger = dataclasses.replace(desk.workspace, project="other")
    with pytest.raises(Conflict) as refused:
        get_shared(stranger, GetShared(reference=f"{NAME}/hour"))
    assert "no number of it is left" in refused.value.fix, "not: its newest number is itself"
    assert publish(desk.workspace, "hour", hour).id == f"{NAME}/hour@2"
    assert numbers(desk, "hour") == {1: "withdrawn", 2: "published"}
    with pytest.raises(Conflict) as refused:
        get_shared(stranger, GetShared(reference=f"{NAME}/hour@1"))
    assert f"slipway share show {NAME}/hour@2" in refused.value.fix
    withdraw(desk.workspace, Withdraw(name="hour", number=1))
    assert get_shared(desk.workspace, GetShared(reference="hour@1")).publication.reason == "wrong zone"


def day(distance: int) -> int:
    return distance + 1


def test_where_the_newest_is_withdrawn_the_one_before_is_offered(desk: Desk) -> None:
    first = publish(desk.workspace, "thing", desk.project.module().hour)
    assert publish(desk.workspace, "thing", sw.feature(day)).number == 2
    withdraw(desk.workspace, Withdraw(name="thing", number=2))
    assert [one.id for one in list_shared(desk.workspace, ListShared(text="thing")).publications] == [first.id]
    assert get_shared(desk.workspace, GetShared(reference="thing")).publication == first
    assert publish(desk.workspace, "thing", desk.project.module().hour) == first
    assert publish(desk.workspace, "thing", sw.feature(day)).number == 3


def test_who_may_not_share_publishes_nothing(desk: Desk) -> None:
    viewer = dataclasses.replace(desk.workspace, actor=Actor("eve", roles=("business owner",)))
    with pytest.raises(Denied, match=r"eve may not do sharing\.publish"):
        publish(viewer, "weather_now", desk.project.module().weather_now)
    assert numbers(desk, "weather_now") == {}


def test_readers_are_of_all_numbers(desk: Desk, borrower: Project) -> None:
    publish(desk.workspace, "thing", desk.project.module().hour)
    publish(desk.workspace, "thing", sw.feature(day), readers=(NAME,))
    with pytest.raises(Denied):
        get_shared(borrower.workspace, GetShared(reference=f"{NAME}/thing@1"))
    assert publish(desk.workspace, "thing", sw.feature(day), readers=("freight",)).readers == ("freight",)
    assert get_shared(borrower.workspace, GetShared(reference=f"{NAME}/thing@1")).numbers == (2, 1)
    assert publish(desk.workspace, "thing", sw.feature(day)).readers == ("freight",)


def test_what_is_said_of_it_may_change_under_its_number(desk: Desk) -> None:
    assert publish(desk.workspace, "day", sw.feature(day)).about.owner == ""
    said = publish(desk.workspace, "day", sw.feature(day, owner="ada"))
    assert (said.number, said.about.owner) == (1, "ada")
    assert get_shared(desk.workspace, GetShared(reference="day")).publication == said


def test_many_who_publish_the_same_at_once_give_it_one_number(desk: Desk) -> None:
    start = threading.Barrier(8)

    def publishes(_: int) -> int:
        start.wait()
        return publish(desk.workspace, "day", sw.feature(day)).number

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(publishes, range(8))) == {1}
    assert numbers(desk, "day") == {1: "published"}


@step
def halves_of(rows: pl.DataFrame, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    return rows.head(seed), rows.tail(seed)


def test_a_table_that_was_made_of_it_is_a_user_too(desk: Desk, borrower: Project) -> None:
    share_all(desk)
    ingest(borrower.workspace, borrower.module().loads)
    (use,) = get_shared(desk.workspace, GetShared(reference="flights@1")).uses
    assert (use.project, use.sort, use.name, use.number) == ("freight", "table", "loads", 1)
    overwrite(desk.workspace, "flights", read(desk.workspace, "flights").drop("distance"))
    with pytest.raises(Conflict, match="distance is gone") as refused:
        publish(desk.workspace, "flights", desk.project.module().flights)
    assert "table loads of freight" in refused.value.why


def test_a_run_that_made_no_model_is_a_user_too(desk: Desk, borrower: Project) -> None:
    share_all(desk)

    @sw.pipeline
    def splits() -> int:
        return int(sw.shared(f"{NAME}/halves@1")(pl.DataFrame({"a": [1, 2]}))[0].height)

    with current_workspace.filled(borrower.workspace):
        run_pipeline(borrower.workspace, splits, {})
    with pytest.raises(Conflict) as refused:
        publish(desk.workspace, "halves", halves_of)
    assert refused.value.what.startswith(f"{NAME}/halves as it is now would break what {NAME}/halves@1 promises")
    assert "run splits of freight" in refused.value.why
    said: list[str] = []
    telling = dataclasses.replace(desk.workspace, say=said.append)
    assert publish(telling, "halves", halves_of, accept_breaking=True).number == 2
    assert [line for line in said if "breaks what earlier" in line and "it now takes seed" in line]
    assert [line for line in said if "freight uses an earlier number (run splits)" in line]
    said.clear()
    grant(telling, Grant(name="halves", readers=(NAME,)))
    assert said == ["freight uses halves (run splits), and can train with it no longer."]


@pytest.mark.parametrize("given", ["p/x@²", "p/x@0", "p/x@-1", "p/x@1@2", "p/x@9999999999", "p/@1", "/x@1", "x@1"])
def test_a_number_is_written_in_plain_digits(given: str) -> None:
    with pytest.raises(InvalidInput, match="is no reference"):
        sw.shared(given)


def test_a_project_that_is_not_there_is_said(desk: Desk) -> None:
    publish(desk.workspace, "hour", desk.project.module().hour)
    with pytest.raises(NotFound, match="holds no project 'small-delay'") as refused:
        get_shared(desk.workspace, GetShared(reference="small-delay/hour"))
    assert NAME in refused.value.why


def test_a_reference_is_read_once_a_run_and_is_an_input_of_each(desk: Desk, borrower: Project) -> None:
    share_all(desk)
    asked: list[str] = []

    def looked_up() -> int:
        return sum("kind='publication'" in line and "name='hour'" in line for line in asked)

    halves, features = sw.shared(f"{NAME}/halves@1"), sw.FeatureSet(sw.shared(f"{NAME}/hour@1"))

    @sw.pipeline
    def uses(seed: int) -> int:
        asked.clear()
        for _ in range(3):
            assert features.names == ["hour"]
            assert list(features.functions) == ["hour"]
            assert features.views == {}
        assert looked_up() == 1
        return int(halves(pl.DataFrame({"a": range(seed)}))[0].height)

    borrower.workspace.ledger._connection().set_trace_callback(asked.append)  # type: ignore[attr-defined]
    with current_workspace.filled(borrower.workspace):
        for seed in (2, 4):
            run = run_pipeline(borrower.workspace, uses, {"seed": seed}).run
            assert {f"publication:{NAME}/halves@1", f"publication:{NAME}/hour@1"} <= set(run.inputs)
        grant(desk.workspace, Grant(name="hour", readers=(NAME,)))
        with pytest.raises(Denied):
            run_pipeline(borrower.workspace, uses, {"seed": 6})
    with current_workspace.filled(desk.workspace):
        assert features.names == ["hour"], "each project asks by its own right"
    with current_workspace.filled(borrower.workspace), pytest.raises(Denied):
        _ = features.names
