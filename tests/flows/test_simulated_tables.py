"""Simulated rows say so wherever they go, and a floor can keep what learned from them out of production."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import slipway as sw
from slipway.data.ingest import ingest
from slipway.errors import InvalidDeclaration
from slipway.flows.letters import letter_of
from slipway.gates import evidence as make
from slipway.gates.judge import judge
from slipway.gates.written import read_check
from slipway.ledger import origins
from slipway.operations import wire
from slipway.operations.delta import ExportDelta
from slipway.ports.workspace import Workspace
from slipway.records.gates import GateSpec
from slipway.records.notifications import Notification, NotifySettings
from slipway.tables.catalog import simulated_tables
from slipway.tables.commits import Origin
from slipway.tables.delta_export import export_delta
from slipway.tables.versions import overwrite

NOW = datetime(2013, 4, 1, tzinfo=UTC)


@sw.table(key="id", origin="simulated")
def made_up() -> pl.DataFrame:
    return pl.DataFrame({"id": [1, 2]})


@sw.table(key="id")
def counted() -> pl.DataFrame:
    return pl.DataFrame({"id": [3]})


def node(version: object) -> str:
    return f"table:{version.id}"  # type: ignore[attr-defined]


def test_the_origin_is_of_the_version_and_of_all_that_is_made_of_it(workspace: Workspace) -> None:
    simulated, real = ingest(workspace, made_up), ingest(workspace, counted)
    assert simulated.about.origin == "simulated"
    assert real.about.origin == ""
    frame = pl.DataFrame({"id": [1, 3]})
    both = overwrite(workspace, "both", frame, origin=Origin(inputs=(node(simulated), node(real))))
    assert both.about.origin == "simulated"
    with workspace.ledger.read() as tx:
        assert origins.simulated(tx, [node(both)]) == ("both", "made_up")
        assert origins.simulated(tx, [node(real), "run:nobody", "table:gone@1"]) == ()


def test_a_project_names_what_is_made_up_and_an_answer_carries_it(workspace: Workspace) -> None:
    assert simulated_tables(workspace) == ()
    made, _ = ingest(workspace, made_up), ingest(workspace, counted)
    overwrite(workspace, "view.kept.0123", pl.DataFrame({"id": [1]}), origin=Origin(inputs=(node(made),)))
    assert simulated_tables(workspace) == ("made_up",)
    for body in (b"{}", b'{"runs":[]}'):
        told = wire.marked(body, ("made_up",))
        assert json.loads(told) == {"simulated_tables": ["made_up"], **json.loads(body)}
        assert wire.simulated_in(told) == ("made_up",)
        assert wire.marked(body, ()) == body
        assert wire.simulated_in(body) == ()
    assert wire.marked(b"[1]", ("made_up",)) == b"[1]"


def test_a_delta_table_says_it_from_the_version_on_in_which_it_holds(workspace: Workspace) -> None:
    overwrite(workspace, "both", pl.DataFrame({"id": [3]}))
    simulated = ingest(workspace, made_up)
    told = [_properties(workspace)]
    overwrite(workspace, "both", pl.DataFrame({"id": [1]}), origin=Origin(inputs=(node(simulated),)))
    told.append(_properties(workspace))
    assert told == [{}, {"slipway.origin": "simulated"}]


def _properties(workspace: Workspace) -> Any:
    log = Path(export_delta(workspace, ExportDelta(name="both")).path) / "_delta_log"
    told = [json.loads(line) for file in sorted(log.glob("*.json")) for line in file.read_text().splitlines()]
    return [one["metaData"]["configuration"] for one in told if "metaData" in one][-1]


def test_a_message_says_it_too(workspace: Workspace) -> None:
    one = Notification(
        id="n1", project=workspace.project, name="opened", created_at=NOW, parent_id="note:1", sentence="Look at it."
    )
    plain = letter_of(workspace, one, NotifySettings())
    ingest(workspace, made_up)
    letter = letter_of(workspace, one, NotifySettings())
    assert plain is not None
    assert letter is not None
    assert letter.subject == f"SIMULATED {plain.subject}"
    assert letter.text == f"{plain.text}\n\nSIMULATED: rows of made_up are made up."
    assert letter.facts == plain.facts | {"simulated_tables": ["made_up"]}


def test_another_origin_is_refused() -> None:
    with pytest.raises(InvalidDeclaration, match="was given the origin 'invented'"):
        sw.table(origin="invented")(counted.function)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("tables", "simulated", "result"),
    [
        (["table:shop/made_up@1"], ["made_up"], "refused"),
        (["table:shop/counted@1"], [], "passed"),
        ([], [], "cannot tell"),
    ],
)
def test_a_floor_may_ask_for_real_rows(tables: list[str], simulated: list[str], result: str) -> None:
    check = read_check("sw.real_data()")
    found = make.behaviour(check, "b" * 64, NOW, tables=tables, simulated=simulated)
    (outcome,) = judge(GateSpec(checks=(check,)), [found], [], subject="b" * 64, at=NOW, champion_known=False)
    assert outcome.result == result
    if simulated:
        assert outcome.found == "it learned from simulated rows of made_up"
        assert outcome.fix == "Train it again on tables of real rows."
