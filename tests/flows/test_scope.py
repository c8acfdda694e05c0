"""Scopes: written before there is a model, judged by what the store knows since, shown on one page out of a run."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from small_desk import BETTER, FIRST, NAME, Desk

import slipway as sw
from answering import people_in
from slipway.errors import Conflict, Denied, InvalidInput, NotFound
from slipway.flows.callers import SEEN_WITHIN
from slipway.flows.case_study import study
from slipway.flows.check_load import check_load
from slipway.flows.judging import declared_endpoint, judge_version
from slipway.flows.scope import get_scope, keep, list_scopes
from slipway.ledger import entries
from slipway.models import registry
from slipway.operations.declare import Empty, call, convert
from slipway.operations.load import CheckLoad
from slipway.operations.scopes import GetScope, KeepScope, MakeStudy
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run
from slipway.records.scopes import Requirement, ScopeTerms
from slipway.serving.callers import CallerCounts

TERMS = ScopeTerms(
    name=NAME,
    decision="Whether a passenger is told\n# that the flight is late",
    owner="business owner",
    kpi="cost of errors",
    better="lower",
    value=90_000,
    currency="USD",
    sources=("nothing_here",),
    requests_per_second=10,
    latency_ms=60_000,
    availability=0.9,
    training_rows=1_000_000,
    metrics={"auc": 0.5, "log_loss": 0.0001, "f1": 0.5},
)


def needs(workspace: Workspace, **changes: Any) -> dict[str, Requirement]:
    keep(workspace, KeepScope(terms=msgspec.structs.replace(TERMS, **changes)))
    found = get_scope(workspace, GetScope(name=NAME)).requirements
    return {one.need: one for one in found}


def test_before_there_is_any_model_each_need_says_what_brings_it(workspace: Workspace) -> None:
    found = needs(workspace)
    assert {one.state for name, one in found.items() if name != "owner"} == {"not yet measured"}
    assert all(one.next for name, one in found.items() if name != "owner")
    assert found["source nothing_here"].found == "no version of it"
    assert found["load"].found == "no model is packaged yet"
    listed = list_scopes(workspace, Empty()).scopes
    assert [(one.scope.name, one.measured, one.missed, one.unmeasured) for one in listed] == [(NAME, 1, 0, 8)]
    with pytest.raises(NotFound, match="no scope 'small-delay'") as caught:
        get_scope(workspace, GetScope(name="small-delay"))
    assert NAME in str(caught.value.fix)


def test_needs_are_judged_by_what_the_store_knows(desk: Desk) -> None:
    workspace = desk.workspace
    version = max(registry.versions(workspace, NAME), key=lambda one: one.number)
    auc = version.metrics["auc"]
    found = needs(workspace, sources=("flights",), metrics={"auc": auc, "log_loss": 0.0001, "f1": 0.5})
    assert (found["auc"].state, found["auc"].evidence) == ("measured", f"model:{version.id}")
    assert found["log_loss"].state == "missed"
    assert found["f1"].state == "not yet measured"
    assert found["source flights"].state == "measured"
    assert found["data volume"].state == "missed"
    assert found["availability"].found == "nothing serves yet"
    rows = int(found["data volume"].found.split()[-2].replace(",", ""))
    assert needs(workspace, training_rows=rows)["data volume"].state == "measured"
    desk.clock.advance_to(desk.clock.now() + timedelta(minutes=2))
    assert needs(workspace, sources=("flights",), freshness="1m")["source flights"].state == "missed"
    assert needs(workspace, metrics={"auc": auc + 1e-9})["auc"].state == "missed"


def test_each_consumer_is_known_by_its_token_and_asks_or_does_not(desk: Desk) -> None:
    files = desk.without_processes()
    workspace = files.workspace

    def consumer(name: str) -> Requirement:
        return needs(workspace, consumers=("The Booking Site", "till"))[f"consumer {name}"]

    assert consumer("till").found == "no token of that name may ask it"
    files.approve(FIRST, BETTER)
    files.deploy(FIRST)
    for given in ({"name": "ada", "roles": ["admin"]}, {"name": "booking-site", "is_service": True}):
        call(workspace, operation("people.add"), convert(operation("people.add"), given))
    roles = {"name": "till", "is_service": True, "roles": ["software engineer"], "project": workspace.project}
    call(workspace, operation("people.add"), convert(operation("people.add"), roles))
    call(workspace, operation("tokens.add"), convert(operation("tokens.add"), {"name": "till"}))
    assert (consumer("till").state, consumer("till").next) == ("not yet measured", f"slipway client {NAME}")
    now = workspace.clock.now()
    for caller, at in (("till", now), ("booking-site", now - SEEN_WITHIN - timedelta(days=1))):
        counts = CallerCounts(files.folder, 0, home=files.folder, now=lambda at=at: at)
        counts.add(caller, "predict")
        counts.write()
    assert (consumer("till").state, consumer("till").at) == ("measured", now)
    assert consumer("The Booking Site").state == "missed"
    assert "consumer till" not in needs(workspace, mode="batch", requests_per_second=0, latency_ms=0, availability=0)


@pytest.mark.full
def test_the_gate_asks_for_load_at_the_scoped_rate(desk: Desk) -> None:
    workspace = desk.workspace
    desk.declare(gate=sw.Gate(sw.metric("auc") >= 0.5, sw.load(rate=1, p99_ms=3_600_000)))
    check_load(workspace, CheckLoad(target=f"{NAME}:{BETTER}", rate=1, seconds=1))
    version = desk.version(BETTER)
    bundle = registry.bundle_of(workspace, version)

    def load() -> str:
        declared = declared_endpoint(workspace, NAME)
        outcomes = judge_version(workspace, version, bundle, declared, keep=False).outcomes
        return next(one.result for one in outcomes if "99" in one.check or "p99" in one.check)

    assert load() == "passed"
    assert needs(workspace)["load"].state == "not yet measured"
    assert load() == "cannot tell"  # it was measured at less than the scope asks
    answer = check_load(workspace, CheckLoad(target=f"{NAME}:{BETTER}", seconds=1))
    assert answer.report.rate == 10
    assert load() == "passed"
    registry.set_alias(workspace, NAME, "champion", BETTER)
    found = needs(workspace)["load"]
    assert (found.state, found.evidence) == ("measured", f"load:{answer.report.id}")
    assert needs(workspace, latency_ms=1e-6)["load"].state == "missed"
    many = needs(workspace, rows_per_hour=36_000)["throughput"]
    assert (many.state, many.evidence.partition(":")[0]) == ("measured", "load")
    assert needs(workspace, rows_per_hour=1e12)["throughput"].state == "missed"


def test_a_case_study_is_made_of_a_run(desk: Desk) -> None:
    workspace = desk.workspace
    needs(workspace, sources=("flights",))
    run = desk.version(FIRST).run_id
    found = study(workspace, MakeStudy(name=NAME, run=run[:12]))
    page = found.markdown
    for part in (
        "## The problem",
        "Whether a passenger is told # that",
        "| auc | ",
        " rows) |",
        "90,000 USD a year",
        run,
        "## What is missing",
    ):
        assert part in page
    assert "\n# that the flight" not in page  # nobody's words become a heading
    gap = page.partition("## What is missing to full scale")[2].partition("## ")[0]
    assert "slipway check-load" in gap
    assert "auc:" not in gap
    with pytest.raises(NotFound):
        study(workspace, MakeStudy(name=NAME, run="f" * 32))
    with workspace.ledger.write() as tx:
        broken = entries.get(tx, Run, run)
        entries.put(tx, msgspec.structs.replace(broken, state="killed"))
    with pytest.raises(InvalidInput, match="is killed"):
        study(workspace, MakeStudy(name=NAME, run=run))


def test_nobody_overwrites_what_somebody_else_wrote(workspace: Workspace) -> None:
    first = keep(workspace, KeepScope(terms=TERMS)).scope
    same = keep(workspace, KeepScope(terms=TERMS)).scope
    assert same == first
    changed = msgspec.structs.replace(TERMS, latency_ms=50.0)
    second = keep(workspace, KeepScope(terms=changed, former=first.digest)).scope
    assert (second.number, second.changes) == (2, ("latency_ms: 60000.0, then 50.0",))
    with pytest.raises(Conflict, match="changed since you read it"):
        keep(workspace, KeepScope(terms=TERMS, former=first.digest))
    with workspace.ledger.read() as tx:
        told = [one for one in tx.events() if one.verb == "scopes.keep"]
    assert len(told) == 2


def test_who_may_write_one_and_who_is_told(workspace: Workspace) -> None:
    people = people_in(workspace)
    fields = msgspec.to_builtins(msgspec.structs.replace(TERMS, owner="grace", name="another"))
    people.do("dan", "scopes.keep", terms=fields)
    assert any("you are its owner" in one for one in people.told("grace"))
    with pytest.raises(Denied):
        people.do("sam", "scopes.keep", terms=fields)
    needed = {one.need: one for one in people.do("sam", "scopes.get", name="another").requirements}
    assert needed["owner"].state == "measured"
    people.do("dan", "scopes.keep", terms={**fields, "owner": "nobody-here"})
    needed = {one.need: one for one in people.do("sam", "scopes.get", name="another").requirements}
    assert (needed["owner"].state, needed["owner"].next) == ("missed", "slipway people add nobody-here")
