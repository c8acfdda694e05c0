"""`slipway ci check`: rows, features, models and contracts of a project as one suite, its store only read."""

import dataclasses
import hashlib
import itertools
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from ci_desk import checked, named
from small_desk import BETTER, FIRST, NAME, Desk

import slipway as sw
from slipway.cli.ci_check import _code
from slipway.data.write import write
from slipway.errors import InvalidInput
from slipway.flows.ci_check import Ask, Code
from slipway.flows.ci_found import Found
from slipway.flows.ci_served import contract_checks
from slipway.flows.ci_trained import Trained, train
from slipway.flows.metric_contracts import draft, sign
from slipway.flows.models import set_alias
from slipway.operations.contracts import SignContract
from slipway.operations.models import SetAlias
from slipway.records.ci import SUITES, CiCheck
from slipway.serving.callers import CallerCounts


def bytes_in(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def with_code(desk: Desk, **changed: object) -> Code:
    return dataclasses.replace(_code(desk.project), **changed)  # type: ignore[arg-type]


def test_stored_rows_are_held_to_what_the_code_declares_now(desk: Desk) -> None:
    @sw.table(key="flight_id", time="asked_at", checks=[sw.between("distance", 0, 500), sw.rows(at_least=10)])
    def flights() -> pl.DataFrame:
        return pl.DataFrame()

    @sw.table(key=["origin", "place"], checks=[sw.not_null("gust", severity="warn")])
    def weather() -> pl.DataFrame:
        return pl.DataFrame()

    @sw.table(key="tail")
    def planes() -> pl.DataFrame:
        return pl.DataFrame()

    before = bytes_in(desk.workspace.root)
    tables = {one.name: one for one in (flights, weather, planes)}
    report = checked(desk.project, Ask(only=("data",)), code=lambda: with_code(desk, tables=tables))
    assert bytes_in(desk.workspace.root) == before
    assert named(report, "flights: no row is lost").state == "passed"
    far = named(report, "flights: distance is between 0 and 500")
    assert far.state == "failed"
    assert "of 3,360 rows break it" in far.sentence
    assert "F1" not in far.sentence  # no row's key is told
    assert "slipway data failing flights" in far.fix
    assert any(one.state == "passed" and "at least 10" in one.name for one in report.checks)
    assert "no such column" in named(report, "weather: columns").sentence
    absent = named(report, "planes")
    assert (absent.state, absent.fix) == ("skipped", "slipway data ingest planes")
    assert not report.passed


def test_a_stored_part_that_was_altered_is_told(desk: Desk) -> None:
    part = next(path for path in (desk.workspace.root / "tables").rglob("*.parquet") if "flights" in str(path))
    part.chmod(0o600)
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 255
    part.write_bytes(bytes(data))
    report = checked(desk.project, Ask(only=("data",)))
    assert named(report, "flights: no row is lost").state == "failed"


def test_what_a_store_that_is_thrown_away_lacks_is_skipped_and_named(desk: Desk) -> None:
    code = with_code(desk, file_sets=("photos",), sets=[sw.FeatureSet(sw.shared("rates/fares@1"), "distance")])
    report = checked(desk.project, Ask(only=("model", "integration"), rows=100), code=lambda: code)
    assert {one.state for one in report.checks} == {"skipped"}
    (first, *_) = report.checks
    assert "rates/fares@1 of another project, the files photos" in first.sentence
    assert report.passed


def test_models_are_trained_elsewhere_and_set_beside_the_champion(desk: Desk) -> None:
    set_alias(desk.workspace, SetAlias(name=NAME, version=str(BETTER), alias="champion"))
    flights = _code(desk.project).tables["flights"]
    rows = flights.read().collect()
    write(desk.workspace, flights, rows.with_columns(distance=pl.col("distance") + 4000))
    before = bytes_in(desk.workspace.root)
    report = checked(desk.project, Ask(only=("features", "model", "contract"), rows=3000, image=False))
    assert bytes_in(desk.workspace.root) == before
    assert [one.name for one in report.checks if one.state == "failed"] == []
    assert "3,000 of 3,360 rows" in report.sample
    assert "weather: 3,360 rows" in report.sample  # a view looks it up
    assert "bit for bit" in named(report, f"{NAME}: offline equals online").sentence
    assert "the same model" in named(report, f"{NAME}: trained twice, the same").sentence
    assert named(report, f"{NAME}: auc at least 0.6").state == "passed"
    assert named(report, f"{NAME}: callers").state == "skipped"  # nothing serves yet
    (beside,) = report.models
    assert beside.champion == f"{NAME} {BETTER}"
    overall = {one.metric: one for one in beside.figures if not one.slice}
    assert {"auc", "log_loss", "cost"} <= overall.keys()
    assert {one.slice for one in beside.figures} == {"", "origin=JFK", "origin=EWR"}
    for one in beside.figures:
        assert one.low <= one.difference <= one.high
        assert one.difference == pytest.approx(one.candidate - one.champion, abs=1e-9)
    assert any("learnt from a sample" in note for note in beside.notes)
    (moved,) = beside.tables
    assert (moved.name, moved.before, moved.after) == ("flights", 1, 2)
    assert [column.name for column in moved.columns] == ["distance"]


@pytest.mark.full
def test_what_hangs_on_no_seed_is_told(desk: Desk) -> None:
    turns = itertools.count(1)
    release = desk.project.module().release

    @sw.pipeline
    def lots() -> sw.Model:
        """Another model each time."""
        return release.function(rounds=next(turns))

    code = with_code(desk, pipelines={"lots": lots}, endpoints={})
    report = checked(desk.project, Ask(only=("model",), image=False), code=lambda: code)
    assert named(report, "lots: trained twice, the same").state == "failed"
    assert "another model" in named(report, "lots: trained twice, the same").sentence


def test_a_pipeline_that_raises_or_lacks_a_parameter_or_gives_no_model_is_told(desk: Desk) -> None:
    @sw.pipeline
    def broken() -> sw.Model:
        raise RuntimeError("boom")

    @sw.pipeline
    def asks(until: int) -> int:
        return until

    @sw.pipeline
    def counts() -> int:
        return 3

    pipelines = {one.name: one for one in (broken, asks, counts)}
    code = with_code(desk, pipelines=pipelines, endpoints={})
    report = checked(desk.project, Ask(only=("model", "integration"), image=False), code=lambda: code)
    failed = named(report, "broken: trains")
    assert (failed.state, failed.sentence) == ("failed", "RuntimeError: boom")
    assert "test_ci_check.py" in failed.detail
    assert named(report, "asks: trains").state == "skipped"
    assert "gave a int" in named(report, "counts: trains").sentence
    assert named(report, "broken: asked over HTTP").state == "skipped"
    only = dataclasses.replace(code, pipelines={"broken": broken})
    told = checked(desk.project, Ask(only=("contract",)), code=lambda: only)
    assert named(told, "broken: trains").state == "failed"  # although nobody asked for the suite `model`


def test_code_that_cannot_be_imported_is_told_once(desk: Desk) -> None:
    def raises() -> Code:
        raise InvalidInput("It names no table.", fix="Name one.")

    report = checked(desk.project, Ask(only=("data", "model")), code=raises)
    (found,) = report.checks
    assert (found.state, found.sentence, found.fix) == ("failed", "It names no table.", "Name one.")


def test_a_source_that_raises_fails_whichever_suites_were_asked_for(desk: Desk) -> None:
    @sw.table(key="id")
    def sales() -> pl.DataFrame:
        raise OSError("no such share")

    report = checked(desk.project, Ask(only=("build",)), code=lambda: with_code(desk, tables={"sales": sales}))
    assert named(report, "sample").state == "failed"
    assert named(report, "models").state == "skipped"
    assert report.suites == ("build",)
    assert report.told == ("model", "build")


def test_a_suite_or_a_sample_that_is_none_is_refused(desk: Desk) -> None:
    with pytest.raises(InvalidInput, match="no suite 'units'"):
        checked(desk.project, Ask(only=("units",)))
    with pytest.raises(InvalidInput, match="no sample"):
        checked(desk.project, Ask(rows=-1))


def test_callers_who_would_be_broken_fail_the_contract(desk: Desk) -> None:
    still = desk.without_processes()
    still.declare(gate=sw.Gate(sw.metric("auc") >= 0.5))
    still.deploy(FIRST)
    endpoint = desk.project.module().delays
    one = train(desk.workspace, desk.project.module().release, endpoint)
    assert one.version is not None
    told = {found.name: found for found in contract_checks(desk.workspace, desk.workspace, one)}
    assert told[f"{NAME}: callers"].state == "passed"
    stricter = dataclasses.replace(endpoint, key=["flight_id", "crew"])
    other = dataclasses.replace(one, endpoint=stricter)
    told = {found.name: found for found in contract_checks(desk.workspace, desk.workspace, other)}
    assert told[f"{NAME}: callers"].state == "passed"  # nobody called
    assert "crew is a new field" in told[f"{NAME}: callers"].sentence
    counts = CallerCounts(still.folder, 0, home=still.folder, now=lambda: desk.clock.now() - timedelta(days=1))
    counts.add("desk", "predict")
    counts.write()
    told = {found.name: found for found in contract_checks(desk.workspace, desk.workspace, other)}
    assert told[f"{NAME}: callers"].state == "failed"
    assert "It would break desk: crew is a new field" in told[f"{NAME}: callers"].sentence
    assert "--break WHY" in told[f"{NAME}: callers"].fix


def test_a_metric_contract_whose_terms_changed_since_it_was_signed_fails(desk: Desk) -> None:
    def told(bad: float) -> CiCheck:
        terms = sw.MetricContract("cost of delays", costs={"false_negative": bad}, unit="USD", owner="business owner")
        endpoint = dataclasses.replace(desk.project.module().delays, kpi=terms, monitors=())
        nothing = Found("skipped", "Nobody trained it.")
        one = Trained(name=NAME, pipeline=desk.project.module().release, endpoint=endpoint, found=nothing)
        callers, contract = contract_checks(desk.workspace, desk.workspace, one)
        assert callers.state == "skipped"
        return contract

    drafted = told(5)
    assert (drafted.state, "slipway contract sign cost-of-delays" in drafted.fix) == ("skipped", True)
    terms = sw.MetricContract("cost of delays", costs={"false_negative": 5}, unit="USD", owner="business owner").terms()
    draft(desk.workspace, terms)
    sign(desk.workspace, SignContract(kpi=terms.slug))
    assert told(5).state == "passed"
    void = told(7)
    assert (void.state, "signed other terms" in void.sentence) == ("failed", True)


@pytest.mark.full
def test_all_suites_pass_on_a_project_that_is_in_order(desk: Desk) -> None:
    (desk.project.folder / "test_small.py").write_text(
        "def test_one(slipway_project):\n    assert slipway_project.name\n"
    )
    report = checked(desk.project, Ask())
    assert [one for one in report.checks if one.state == "failed"] == []
    assert report.told == SUITES
    assert "test_small::test_one" in [one.name for one in report.checks]
    assert named(report, f"{NAME}: asked over HTTP").state == "passed"
    assert named(report, f"{NAME}: package").state == "passed"
    assert "are looked up" in named(report, f"{NAME}: image").sentence
    assert "no champion yet" in report.models[0].sentence
