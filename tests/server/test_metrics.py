"""The control plane's metrics: what the consistency reports found."""

from datetime import UTC, datetime
from typing import Any

import pytest

from filled_store import NASTY
from server_desk import Ask, asker
from slipway.ledger import entries
from slipway.ledger.projects import list_projects
from slipway.operations import declare
from slipway.operations.declare import Empty
from slipway.ports.workspace import Workspace
from slipway.records.consistency import ConsistencyReport, FeatureConsistency


def report(number: int, **features: FeatureConsistency) -> ConsistencyReport:
    return ConsistencyReport(
        id=f"flights/flight-delays/{number}",
        project="flights",
        name="flight-delays",
        created_at=datetime(2013, 4, number, tzinfo=UTC),
        parent_id="flights/flight-delays",
        model="flight-delays 1",
        bundle="b" * 64,
        window_until=datetime(2013, 4, number, tzinfo=UTC),
        features=tuple(features.values()),
    )


def test_without_a_report_there_are_no_samples(workspace: Workspace) -> None:
    answer = asker(workspace)("GET", "/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert [line for line in answer.text.splitlines() if not line.startswith("#")] == []


def test_the_newest_report_of_an_endpoint_is_told_by_feature(ask: Ask, workspace: Workspace) -> None:
    older = report(1, a=FeatureConsistency(feature="hour", compared=5, mismatches=5))
    newer = report(
        2,
        a=FeatureConsistency(feature="hour", compared=90, mismatches=1, missing=2, late=3, smape=0.25),
        b=FeatureConsistency(feature=f'wind "{NASTY}\n', compared=90),
    )
    with workspace.ledger.write() as tx:
        for one in (older, newer):
            entries.put(tx, one, expect=0)
    lines = ask("GET", "/metrics").text.splitlines()
    where = 'project="flights",endpoint="flight-delays"'
    assert f'slipway_consistency_compared{{{where},feature="hour"}} 90' in lines
    assert f'slipway_consistency_defects{{{where},feature="hour",kind="missing"}} 2' in lines
    assert f'slipway_consistency_late{{{where},feature="hour"}} 3' in lines
    assert f'slipway_consistency_smape{{{where},feature="hour"}} 0.25' in lines
    assert f"slipway_consistency_until_seconds{{{where}}} {newer.window_until.timestamp()!r}" in lines
    assert all(line.startswith(("#", "slipway_consistency_")) for line in lines), "a feature's name breaks no line"


def test_a_scrape_asks_once_a_project(ask: Ask, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many endpoints, findings and revisions there are: no process is looked at, nothing else is read."""
    asked: list[str] = []
    call = declare.call

    def counted(there: Workspace, wanted: declare.Operation, request: object) -> Any:
        asked.append(wanted.name)
        return call(there, wanted, request)

    monkeypatch.setattr(declare, "call", counted)
    assert ask("GET", "/metrics").status_code == 200
    assert asked[0] == "projects.list"
    assert set(asked[1:]) == {"endpoints.reports"}
    assert len(asked) == 1 + len(list_projects(workspace, Empty()).projects)
