"""Records found by words: what each kind is found by, page tokens, and stores that were indexed by another edition."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from slipway.errors import InvalidInput
from slipway.ledger import entries, reindex
from slipway.ledger.facets import SEARCHED, facets
from slipway.ledger.search import Page, search
from slipway.ports.workspace import Workspace
from slipway.records.models import LoggedMetric, LoggedModel, ModelVersion, RegisteredModel
from slipway.records.people import Actor
from slipway.records.record import Record
from slipway.records.runs import CodeVersion, Experiment, MetricPoint, Run, RunError
from slipway.records.schema import Field as Named
from slipway.records.search import Compare, Facet, Field, Order
from slipway.records.tables import AboutTable, CheckResult, TableVersion

NOW = datetime(2013, 4, 1, tzinfo=UTC)
COMMON = {"project": "flights", "created_at": NOW}
RUN = Run(
    **COMMON,
    id="a" * 32,
    name="baseline",
    actor=Actor("ada"),
    state="failed",
    started_at=NOW,
    ended_at=NOW + timedelta(seconds=90),
    pipeline="release",
    params={"depth": 6, "rate": 1e-05, "booster": "gbdt", "on": True, "none": None, "text": "4.50"},
    tags={"user": "ada"},
    inputs=("table:flights/flights@abc", "table:flights/planes@def", "file:weather"),
    code=CodeVersion(commit="abc123"),
    error=RunError(type="KeyError", message="'x'"),
)
CHECK = CheckResult(check="x is unique", passed=False, severity="warn", failed_rows=1, rows=9)
TABLE = TableVersion(
    **COMMON,
    id="flights/flights@abc",
    name="flights",
    number=3,
    version="abc",
    change="append",
    rows=1000,
    added_rows=10,
    fingerprint="f",
    fields=(Named("flight_id", "string"), Named("name", "string")),
    checks=(CHECK,),
    data_until=NOW,
    about=AboutTable(owner="ada", tags=("raw",), personal=("name",)),
)
MODEL = ModelVersion(
    **COMMON,
    id="m-1",
    name="delays",
    number=2,
    bundle="b",
    manifest="c",
    actor=Actor("ada"),
    tags={"stage": "pilot"},
    aliases=("best", "champion"),
    metrics={"auc": 0.91, "auc[carrier=AA]": 0.7},
    params={"depth": 6},
)
REGISTERED = RegisteredModel(
    **COMMON, id="flights/delays", name="delays", actor=Actor("ada"), tags={"team": "air"},
    updated_at=NOW + timedelta(days=1),
)  # fmt: skip
LOGGED = LoggedModel(
    **COMMON,
    id="m-2",
    name="late",
    experiment_id="0",
    state="ready",
    actor=Actor("ada"),
    params={"n": "3"},
    updated_at=NOW,
    metrics=(
        LoggedMetric(key="auc", value=0.5, at_us=1),
        LoggedMetric(key="auc", value=0.9, at_us=2, dataset_name="test", dataset_digest="d"),
        LoggedMetric(key="auc", value=0.7, at_us=3, run_id="r"),
        LoggedMetric(key="loss", value=float("nan"), at_us=3),
    ),
)
EXPERIMENT = Experiment(**COMMON, id="123456789012345678", name="first try", tags={"team": "a"})


def ids(workspace: Workspace, record_type: type[Record], where: str, order: str = "") -> list[str]:
    with workspace.ledger.read() as tx:
        return [found.id for found in search(tx, record_type, project="flights", where=where, order=order).records]


def test_what_a_run_is_found_by() -> None:
    found = facets(RUN)
    assert Facet("param", "depth", "6", 6.0) in found
    assert Facet("param", "rate", "1e-05", 1e-05) in found
    assert Facet("param", "text", "4.50", 4.5) in found
    assert Facet("param", "on", "True") in found
    assert Facet("param", "none", "None") in found
    assert Facet("attribute", "started", number=1364774400000.0) in found
    assert Facet("attribute", "seconds", number=90.0) in found
    assert {facet.text for facet in found if facet.key == "name" and facet.space == "dataset"} == {
        "flights",
        "planes",
        "weather",
    }
    assert not [facet for facet in found if facet.key == "parent"]
    assert facets(entries_of_no_search()) == ()


def entries_of_no_search() -> Record:
    from slipway.records.projects import Project

    return Project(**COMMON, id="flights", name="flights")


def test_each_kind_is_found_by_its_own_words(workspace: Workspace) -> None:
    with workspace.ledger.write() as tx:
        for record in (RUN, TABLE, MODEL, EXPERIMENT, REGISTERED, LOGGED):
            entries.put(tx, record)
    assert ids(workspace, Run, "error = 'KeyError' and commit like 'abc%' and seconds = 90") == [RUN.id]
    assert ids(workspace, Run, "dataset.name = 'planes' and dataset.digest = 'abc' and dataset.kind = 'file'") == [
        RUN.id
    ]
    assert ids(workspace, Run, "parent is null and pipeline = 'release' and started = '2013-04-01'") == [RUN.id]
    assert ids(workspace, TableVersion, "rows > 999 and failed_checks = 1 and tags.raw is not null") == [TABLE.id]
    assert ids(workspace, TableVersion, "data_until < '2013-04-01'") == []
    assert ids(workspace, TableVersion, "personal = 'name' and column = 'flight_id' and owner = 'ada'") == [TABLE.id]
    assert ids(workspace, TableVersion, "personal = 'flight_id' or column = 'born'") == []
    assert ids(workspace, ModelVersion, "version = 2 and tags.stage = 'pilot' and user = 'ada'") == [MODEL.id]
    assert ids(workspace, ModelVersion, "metrics.auc > 0.9 and params.depth = 6 and alias = 'champion'") == [MODEL.id]
    assert ids(workspace, ModelVersion, "metrics.auc[carrier=AA] < 0.8 and alias in ('x', 'best')") == [MODEL.id]
    assert ids(workspace, ModelVersion, "metrics.auc > 0.95 or metrics.loss < 9 or alias = 'other'") == []
    assert ids(workspace, ModelVersion, "source = 'slipway-bundle:b'", "metrics.auc desc, params.depth") == [MODEL.id]
    assert ids(workspace, RegisteredModel, "name = 'delays' and tags.team = 'air' and updated > '2013-04-01'") == [
        REGISTERED.id
    ]
    assert ids(workspace, LoggedModel, "metrics.auc = 0.7 and metrics.auc[test] = 0.9 and state = 'ready'") == [
        LOGGED.id
    ]
    assert ids(workspace, LoggedModel, "metrics.auc = 0.9 or metrics.auc[test@e] = 0.9 or metrics.loss < 9") == []
    assert ids(workspace, Experiment, "name matches '^first' and tags.team is not null") == [EXPERIMENT.id]
    # Every attribute can be searched and ordered by.
    for record_type, searched in SEARCHED.items():
        for name, attribute in searched.attributes.items():
            every, order = f"{name} is null or {name} is not null", f"{name} desc"
            assert ids(workspace, record_type, every)
            if attribute.is_ordered:
                assert ids(workspace, record_type, every, order)
            else:
                with pytest.raises(InvalidInput, match="has one value is expected"):
                    ids(workspace, record_type, every, order)


def test_runs_are_found_by_the_name_of_their_experiment(workspace: Workspace) -> None:
    def named(name: str) -> Experiment:
        return msgspec.structs.replace(EXPERIMENT, id=f"id of {name}", name=name)

    with workspace.ledger.write() as tx:
        for experiment in (named("rates"), named("depths")):
            entries.put(tx, experiment)
            entries.put(tx, msgspec.structs.replace(RUN, id=experiment.name, experiment_id=experiment.id))
        entries.put(tx, msgspec.structs.replace(RUN, id="plain", experiment_id="0"))
    for where, expected in (
        ("experiment = 'rates'", {"rates"}),
        ("attributes.experiment_name = 'rates' and params.depth = 6", {"rates"}),
        ("experiment in ('rates', 'Default')", {"rates", "plain"}),
        ("experiment != 'rates'", {"depths", "plain"}),
        ("not experiment = 'rates'", {"depths", "plain"}),
        ("experiment not in ('rates', 'depths')", {"plain"}),
        ("experiment like '%t%' or experiment = 'nothing'", {"rates", "depths", "plain"}),
        ("experiment ilike 'd%'", {"depths", "plain"}),
        ("experiment like 'd%'", {"depths"}),
        ("experiment matches '^D'", {"plain"}),
        ("experiment between 'A' and 'E'", {"plain"}),
        ("experiment between 'a' and 'e'", {"depths"}),
        ("experiment > 'E' and experiment < 'e'", {"depths"}),
        ("experiment >= 'rates' or experiment <= 'Default'", {"rates", "plain"}),
        ("experiment is null", set()),
        ("experiment = 'nothing'", set()),
    ):
        assert set(ids(workspace, Run, where)) == expected, where
    with workspace.ledger.write() as tx:
        entries.put(tx, msgspec.structs.replace(named("rates"), name="learning rates"))
        entries.put(tx, msgspec.structs.replace(EXPERIMENT, id="0@flights", name="Ours"))
    assert ids(workspace, Run, "experiment = 'learning rates' or experiment = 'Ours'") == ["plain", "rates"]
    assert ids(workspace, Run, "experiment = 'rates' or experiment = 'Default'") == []
    with workspace.ledger.read() as tx:
        best = search(tx, Run, project="flights", where="", best_per="experiment").records
        assert [run.id for run in best] == ["plain", "depths", "rates"]


def test_a_page_follows_its_token_and_no_other(workspace: Workspace) -> None:
    with workspace.ledger.write() as tx:
        for number in range(5):
            run = msgspec.structs.replace(RUN, id=f"r{number}", created_at=NOW + timedelta(seconds=number))
            entries.put(tx, run)
            tx.add_points(run.id, [MetricPoint("auc", float("inf") if number == 4 else 0.5)])

    def page(token: str = "", where: str = "metrics.auc > 0", order: str = "metrics.auc desc") -> Page[Run]:
        with workspace.ledger.read() as tx:
            return search(tx, Run, project="flights", where=where, order=order, token=token, limit=2)

    first = page()
    assert [run.id for run in first.records] == ["r4", "r3"]
    second = page(first.next_token)
    assert [run.id for run in second.records] == ["r2", "r1"]
    last = page(second.next_token)
    assert [run.id for run in last.records] == ["r0"]
    assert last.next_token == ""
    for token, where, order in (
        (first.next_token, "metrics.auc > 1", "metrics.auc desc"),
        (first.next_token, "metrics.auc > 0", "metrics.auc"),
        (first.next_token[:-8], "metrics.auc > 0", "metrics.auc desc"),
        ("nonsense", "metrics.auc > 0", "metrics.auc desc"),
        ("ü" * 9, "metrics.auc > 0", "metrics.auc desc"),
    ):
        with pytest.raises(InvalidInput, match="does not belong to this search"):
            page(token, where, order)


def test_conditions_and_orders_need_no_words(workspace: Workspace) -> None:
    with workspace.ledger.write() as tx:
        entries.put(tx, RUN)
    depth = Field("param", "depth")
    with workspace.ledger.read() as tx:
        page = search(tx, Run, project="flights", where=Compare(depth, ">", 5.0), order=(Order(depth),), best_per=depth)
        assert page.records == (RUN,)
        assert search(tx, Run, project="ships").records == ()


def test_a_time_ago_counts_from_now(workspace: Workspace) -> None:
    with workspace.ledger.write() as tx:
        entries.put(tx, RUN)
    with workspace.ledger.read() as tx:
        for later, count in ((timedelta(days=6), 1), (timedelta(days=8), 0)):
            found = search(tx, Run, project="flights", where="created > 7d ago", now=NOW + later)
            assert len(found.records) == count


def test_a_store_of_another_edition_is_indexed_anew_once(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reindex.index_anew(workspace.ledger) == 0
    with workspace.ledger.write() as tx:
        for number in range(7):
            entries.put(tx, msgspec.structs.replace(RUN, id=f"r{number}"))
        # As an older release kept it, and one that cannot be read.
        for id in ("old", "bad"):
            entry = tx.get("run", "r1")
            assert entry is not None
            body = msgspec.json.encode(msgspec.structs.replace(RUN, id=id)) if id == "old" else b'{"kind": "run"}'
            tx.put(msgspec.structs.replace(entry, id=id, body=body))
    assert "old" not in ids(workspace, Run, "params.depth = 6")
    monkeypatch.setattr(reindex, "EDITION", reindex.EDITION + 1)
    monkeypatch.setattr(reindex, "_PAGE", 3)
    assert reindex.index_anew(workspace.ledger) == 8
    assert "old" in ids(workspace, Run, "params.depth = 6")
    assert reindex.index_anew(workspace.ledger) == 0
