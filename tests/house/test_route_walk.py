"""Every operation, by its route, as every role: who may not is refused, who may is served, and changes are told of."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from inspect import getsource
from typing import Any

import httpx
import pytest

from filled_store import BAD_RUN, GOOD_RUN, LOGGED, START, TRASHED_RUN, fill
from server_desk import asker
from slipway.hashing import digest
from slipway.hosts.identity import ALONE
from slipway.ledger.run_file import MAGIC, framed
from slipway.operations.permissions import ROLES, allowed
from slipway.operations.table import OPERATIONS
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.run_entries import EDITION, Begun, FileBegun
from slipway.records.runs import Run

RUN_ID, WRITER, NOW = "e" * 32, "f" * 32, datetime(2013, 4, 1, tzinfo=UTC)
BEGUN = Run(id=RUN_ID, project="flights", created_at=NOW, started_at=NOW, actor=Actor("somebody else"))
FRAMES = [framed(FileBegun(EDITION, "flights", RUN_ID, WRITER)), framed(Begun(BEGUN))]
PIECE = b64encode(MAGIC + b"".join(FRAMES)).decode()
ENDPOINT, MODEL = {"name": "flight-delays"}, {"model": "flight-delays"}
FIELDS: dict[str, dict[str, Any]] = {
    "projects.list": {},
    "projects.add": {"name": "another"},
    "projects.home": {},
    "executions.list": {},
    "settings.get": {},
    "people.list": {},
    "people.me": {},
    "people.add": {"name": "eve", "roles": ["data scientist"]},
    "people.change": {"name": "grace", "title": "Grace"},
    "people.grant": {"name": "grace", "role": "executive viewer", "project": "flights"},
    "people.revoke": {"name": "grace", "role": "business owner"},
    "raci.get": {},
    "raci.check": {},
    "absences.list": {},
    "absences.add": {"name": "grace", "until": "2030-01-01T00:00:00Z"},
    "absences.end": {"name": "grace"},
    "handovers.list": {},
    "handovers.get": MODEL,
    "handovers.offer": {**MODEL, "to": "grace"},
    "handovers.answer": {"id": "0" * 32, "accept": True},
    "contracts.list": {},
    "contracts.get": {"kpi": "revenue per seat"},
    "contracts.sign": {"kpi": "revenue per seat"},
    "costs.all": {},
    "costs.get": {"name": "flight-delays"},
    "journey.all": {},
    "journey.model": {"name": "flight-delays"},
    "business.get": MODEL,
    "business.sharing": MODEL,
    "business.share": MODEL,
    "business.revoke": {"id": "0" * 32},
    "business.mail": {**MODEL, "to": ["board@example.org"]},
    "portfolio.get": {},
    "scopes.list": {},
    "scopes.get": {"name": "late-flights"},
    "scopes.keep": {"terms": {"name": "late-flights", "decision": "Whether to tell", "owner": "grace"}},
    "scopes.study": {"name": "late-flights", "run": GOOD_RUN},
    "comments.all": {"kind": "run"},
    "comments.list": {"about": "model:flight-delays:1"},
    "comments.add": {"about": "model:flight-delays:latest", "text": "Seen."},
    "comments.edit": {"id": "0" * 32, "text": "Seen again."},
    "comments.delete": {"id": "0" * 32},
    "notices.list": {},
    "notices.mark": {},
    "tokens.add": {"name": "grace"},
    "tokens.list": {},
    "tokens.revoke": {"id": "0" * 32},
    "tables.list": {},
    "tables.get": {"name": "flights"},
    "tables.history": {"name": "flights"},
    "tables.diff": {"name": "flights", "before": "1", "after": "main"},
    "tables.tag": {"name": "flights", "tag": "golden"},
    "tables.branch": {"name": "flights", "branch": "fix"},
    "tables.merge": {"name": "flights", "branch": "fix"},
    "tables.alter": {"name": "flights", "rename": {"delay": "late"}},
    "tables.compact": {"name": "flights"},
    "tables.clean": {"names": ["flights"]},
    "catalog.search": {},
    "catalog.lineage": {"what": "flight-delays"},
    "sharing.list": {},
    "sharing.get": {"reference": "flights/hour@1"},
    "sharing.grant": {"name": "hour", "readers": ["flights"]},
    "sharing.withdraw": {"name": "hour", "number": 1},
    "features.list": {},
    "features.get": {"name": "hour"},
    "tables.profile": {"name": "flights"},
    "tables.failing": {"name": "flights"},
    "tables.refusals": {"name": "flights"},
    "delta.export": {"name": "flights"},
    "endpoints.quality": ENDPOINT,
    "erasures.list": {},
    "erasures.start": {"table": "flights", "key": ["AA"], "reason": "request 17"},
    "files.list": {},
    "files.get": {"name": "photos"},
    "files.entries": {"name": "photos"},
    "files.diff": {"name": "photos", "earlier": "1"},
    "features.certify": MODEL,
    "runs.search": {"where": "metrics.auc > 0.7", "order": "metrics.auc desc"},
    "models.search": {"where": "number > 1"},
    "tables.search": {"where": "rows > 1"},
    "runs.get": {"id": GOOD_RUN},
    "runs.curves": {"id": GOOD_RUN},
    "runs.artifact": {"id": GOOD_RUN, "name": "notes.md"},
    "runs.rows": {"id": GOOD_RUN, "name": "rows.parquet"},
    "runs.diff": {"id": GOOD_RUN},
    "runs.step_log": {"id": GOOD_RUN, "step": "train"},
    "trash.list": {},
    "trash.put": {"items": [f"run:{GOOD_RUN}"]},
    "trash.restore": {"items": [f"run:{GOOD_RUN}"]},
    "trash.purge": {"items": [f"run:{TRASHED_RUN}"]},
    "trash.keep": {"days": 90},
    "trash.expire": {},
    "trash.sweep": {},
    "runs.sync": {"run_id": RUN_ID, "writer": WRITER, "offset": 0, "data": PIECE},
    "runs.upload": {"digest": digest(b"picture"), "size": 7, "data": b64encode(b"picture").decode()},
    "runs.reproduce": {"target": GOOD_RUN},
    "runs.rerun": {"target": GOOD_RUN},
    "pipelines.list": {},
    "pipelines.begun": {"key": START},
    "pipelines.start": {"pipeline": "release"},
    "pipelines.retry": {"id": BAD_RUN},
    "pipelines.cancel": {"id": GOOD_RUN},
    "runs.changes": {"id": GOOD_RUN, "other": BAD_RUN},
    "runs.fields": {"contains": "auc"},
    "runs.groups": {"group": "params.depth", "metric": "metrics.auc"},
    "runs.compare": {"runs": f"{GOOD_RUN},{BAD_RUN}", "curves": "metrics.auc"},
    "migrations.get": {},
    "migrations.plan": {"models": [{"name": "flight-delays"}, {"name": "late-flights"}]},
    "migrations.gap": {"model": "flight-delays", "criterion": "gate", "owner": "grace"},
    "migrations.activate": {"model": "flight-delays", "to": "nobody", "why": "to try"},
    "migrations.way": {"model": "flight-delays", "user": "ada"},
    "models.list": {},
    "models.get": {"name": "flight-delays"},
    "models.history": {"name": "flight-delays"},
    "models.diff": {"target": "flight-delays:2", "before": "flight-delays:1"},
    "models.logged": {"id": LOGGED},
    "models.alias": {"name": "flight-delays", "version": "1", "alias": "challenger"},
    "models.what_if": {"name": "flight-delays"},
    "models.load": {"target": GOOD_RUN},
    "models.replay": MODEL,
    "documents.list": {},
    "documents.get": {"kind": "card", "name": "flight-delays"},
    "documents.answer": {
        "kind": "card",
        "name": "flight-delays",
        "field": "purpose",
        "text": "Whether a departure will be late.",
    },
    "documents.bom": {"name": "flight-delays"},
    "documents.attest": {"name": "flight-delays"},
    "endpoints.list": {},
    "endpoints.reports": {},
    "endpoints.get": ENDPOINT,
    "endpoints.ask": {**ENDPOINT, "row": {"carrier": "AA"}},
    "endpoints.drift": ENDPOINT,
    "endpoints.drift_map": ENDPOINT,
    "endpoints.drift_column": {**ENDPOINT, "column": "distance"},
    "endpoints.findings": ENDPOINT,
    "endpoints.health_hours": ENDPOINT,
    "endpoints.sample": ENDPOINT,
    "endpoints.traffic": ENDPOINT,
    "endpoints.callers": ENDPOINT,
    "endpoints.health": ENDPOINT,
    "endpoints.all_health": {},
    "endpoints.deploy": {**MODEL, "dry_run": True},
    "gates.check": MODEL,
    "endpoints.rollback": ENDPOINT,
    "endpoints.stop": ENDPOINT,
    "endpoints.watch": ENDPOINT,
    "endpoints.consistency": ENDPOINT,
    "scorings.list": ENDPOINT,
    "scorings.get": ENDPOINT,
    "scorings.start": ENDPOINT,
    "scorings.label": {**ENDPOINT, "labels": []},
    "endpoints.agreement": {"endpoint": "flight-delays"},
    "rollouts.list": {},
    "rollouts.get": {"endpoint": "flight-delays"},
    "abtests.list": {},
    "abtests.get": {"endpoint": "flight-delays"},
    "abtests.look": {"endpoint": "flight-delays"},
    "abtests.start": {"endpoint": "flight-delays", "arms": {"2": 50}, "spec": {"minimal_effect": 0.1}},
    "abtests.decide": {"endpoint": "flight-delays", "arm": "2", "reason": "x"},
    "retrainings.list": {"endpoint": "flight-delays"},
    "loop.actions": {"endpoint": "flight-delays"},
    "loop.stories": {"endpoint": "flight-delays"},
    "schedules.list": {},
    "schedules.get": {"name": "nightly"},
    "schedules.pause": {"name": "nightly", "reason": "holidays"},
    "schedules.resume": {"name": "resting"},
    "schedules.fire": {"name": "nightly"},
    "schedules.hook": {"name": "nightly"},
    "incidents.list": {},
    "incidents.get": {"id": "i1"},
    "incidents.story": {"id": "i1"},
    "incidents.ack": {"id": "i1"},
    "incidents.snooze": {"id": "i1", "until": "2030-01-01T00:00:00Z"},
    "incidents.close": {"id": "i1", "reason": "it was mended"},
    "incidents.feedback": {"id": "i1", "word": "useful"},
    "incidents.test": {},
    "incidents.run_book": {"name": "other"},
    "simulations.list": {},
    "simulations.get": {"endpoint": "flight-delays"},
    "approvals.grant": MODEL,
    "floors.list": {},
    "floors.set": {"environment": "prod", "checks": ["sw.no_skew()"], "reason": "features are shared"},
    "floors.broken": {},
    "approvals.standing": {},
    "approvals.stand": {"endpoint": "flight-delays", "until": "2030-01-01T00:00:00Z"},
    "approvals.revoke": {"id": "0" * 32},
    "loop.reconcile": {},
    "retrainings.start": {"endpoint": "flight-delays", "reason": "new data"},
    "rollouts.abort": {"endpoint": "flight-delays"},
    "rollouts.pause": {"endpoint": "flight-delays"},
    "rollouts.resume": {"endpoint": "flight-delays"},
    "rollouts.advance": {"endpoint": "flight-delays", "reason": "seen"},
    "endpoints.drill": ENDPOINT,
    "audit.list": {},
    "audit.verify": {},
    "audit.seal": {},
    "audit.roots": {},
    "audit.serving": {"endpoint": "flight-delays"},
    "promotions.list": {},
    "promotions.places": {},
    "promotions.ask": {**MODEL, "target": "test"},
    "promotions.answer": {**MODEL, "target": "test", "version": 1},
}
# Those that need a model that can be loaded, a snapshot, people or a running endpoint are performed
# in tests/journeys, flows and governance.
NEED_MORE = {
    "abtests.decide",
    "abtests.look",
    "abtests.start",
    "approvals.grant",
    "absences.add",
    "absences.end",
    "approvals.revoke",
    "approvals.stand",
    "business.revoke",
    "comments.delete",
    "comments.edit",
    "delta.export",
    "endpoints.agreement",
    "endpoints.ask",
    "endpoints.deploy",
    "endpoints.rollback",
    "endpoints.watch",
    "erasures.start",
    "handovers.answer",
    "incidents.close",
    "handovers.offer",
    "endpoints.consistency",
    "loop.reconcile",
    "models.load",
    "models.replay",
    "models.what_if",
    "people.add",
    "people.change",
    "people.grant",
    "people.revoke",
    "pipelines.cancel",
    "pipelines.retry",
    "pipelines.start",
    "promotions.answer",
    "promotions.ask",
    "retrainings.start",
    "rollouts.abort",
    "rollouts.pause",
    "rollouts.resume",
    "rollouts.advance",
    "endpoints.drill",
    "runs.reproduce",
    "runs.rerun",
    "schedules.fire",
    "scorings.label",
    "scorings.start",
    "tables.alter",
    "tables.clean",
    "tables.compact",
    "tables.merge",
    "tokens.add",
    "tokens.revoke",
}
ROLES_AND_NOBODY = [*ROLES, "no such role"]


def send(workspace: Workspace, name: str) -> httpx.Response:
    operation = OPERATIONS[name]
    path = operation.path.replace("{project}", workspace.project)
    how = "json" if operation.changes else "params"
    return asker(workspace)(operation.method, path, **{how: FIELDS[name]})


def as_role(workspace: Workspace, role: str) -> Workspace:
    return replace(workspace, actor=Actor("somebody", roles=(role,)))


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    fill(workspace)
    return workspace


def test_the_walk_knows_every_operation() -> None:
    assert set(FIELDS) == set(OPERATIONS)
    assert {name for name in NEED_MORE if not OPERATIONS[name].changes} == {
        "endpoints.agreement",  # an old system has to be declared
        "models.what_if",  # it loads the model
    }


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_has_its_body(name: str) -> None:
    module, _, function = OPERATIONS[name].body.partition(":")
    assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in NEED_MORE])
def test_who_may_is_served_and_who_may_not_is_refused(filled: Workspace, name: str) -> None:
    for role in ROLES_AND_NOBODY:
        answer = send(as_role(filled, role), name)
        if allowed(as_role(filled, role).actor, OPERATIONS[name].permission):
            assert answer.status_code == 200, (role, answer.text)
        else:
            assert answer.status_code == 403, role
            assert answer.json()["error"]["code"] == "Denied"
            assert OPERATIONS[name].permission in answer.json()["error"]["why"]


@pytest.mark.parametrize("name", sorted(NEED_MORE))
def test_who_may_not_is_refused_before_anything_happens(
    filled: Workspace, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _, function = OPERATIONS[name].body.partition(":")
    reached: list[str] = []
    monkeypatch.setattr(import_module(module), function, _body(reached))
    for role in ROLES_AND_NOBODY:
        reached.clear()
        answer = send(as_role(filled, role), name)
        may = allowed(as_role(filled, role).actor, OPERATIONS[name].permission)
        assert (answer.status_code == 403, reached) == ((False, ["called"]) if may else (True, [])), role


@pytest.mark.parametrize("name", [name for name in OPERATIONS if OPERATIONS[name].changes])
def test_every_change_is_told_in_the_audit_log_under_its_own_name(filled: Workspace, name: str) -> None:
    if name in NEED_MORE:
        module = import_module(OPERATIONS[name].body.partition(":")[0])
        assert f'"{name}"' in getsource(module), "its body records an event of this name"
        return
    doer = replace(filled, actor=Actor("ada", roles=ALONE))
    assert send(doer, name).status_code == 200
    with filled.ledger.read() as tx:
        told = [event for event in tx.events() if event.verb == name]
    assert [event.actor for event in told] == [doer.actor]


@pytest.mark.parametrize(
    "name", [name for name in OPERATIONS if not OPERATIONS[name].changes and name not in NEED_MORE]
)
def test_reading_changes_nothing(filled: Workspace, name: str) -> None:
    with filled.ledger.read() as tx:
        before = tx.events()
    assert send(filled, name).status_code == 200
    with filled.ledger.read() as tx:
        assert tx.events() == before


def _body(reached: list[str]) -> Callable[[Workspace, Any], Any]:
    def body(workspace: Workspace, request: Any) -> Any:
        reached.append("called")
        return {}

    return body
