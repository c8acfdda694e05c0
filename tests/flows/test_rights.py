"""What changes something asks for its right where its body is, also where no operation stands before it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from small_desk import Desk

from slipway.data.declare import table
from slipway.data.ingest import ingest
from slipway.data.schedules import declare_schedule
from slipway.errors import Denied
from slipway.flows.release import declare_endpoint, run_pipeline
from slipway.operations.permissions import EXCLUDING, RIGHTS, ROLES, allowed, is_right
from slipway.operations.table import OPERATIONS
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.runs import tracking
from slipway.tables.alters import alter
from slipway.tables.file_folders import add_folder
from slipway.tables.upserts import upsert
from slipway.tables.versions import append, overwrite

ROWS = pl.DataFrame({"id": [1, 2]})


@table
def numbers() -> pl.DataFrame:
    return ROWS


def of(workspace: Workspace, role: str) -> Workspace:
    return replace(workspace, actor=Actor("bob", roles=(role,)))


WRITES: dict[str, Callable[[Workspace], object]] = {
    "overwrite": lambda there: overwrite(there, "made", ROWS),
    "append": lambda there: append(there, "held", ROWS),
    "upsert": lambda there: upsert(there, "held", pl.DataFrame({"id": [7]})),
    "ingest": lambda there: ingest(there, numbers),
    "alter": lambda there: alter(there, "held", rename={"id": "number"}),
    "files": lambda there: add_folder(there, "photos", there.root / "given"),
}


@pytest.mark.parametrize("verb", WRITES)
def test_who_may_not_write_tables_writes_none_in_their_own_process_either(workspace: Workspace, verb: str) -> None:
    overwrite(workspace, "held", pl.DataFrame({"id": [5]}), key=("id",))
    given = workspace.root / "given"
    given.mkdir()
    (given / "a.txt").write_text("a")
    for role in ("business owner", "governance", "platform engineer", "executive viewer", "no such role"):
        with pytest.raises(Denied, match=r"bob may not do (tables|files)\.[a-z]+ in 'flights'.*tables\.write"):
            WRITES[verb](of(workspace, role))
    WRITES[verb](of(workspace, "data engineer"))


def test_a_data_engineer_runs_pipelines_and_registers_no_model(desk: Desk) -> None:
    module = desk.project.module()
    there = of(desk.workspace, "data engineer")
    assert run_pipeline(there, module.count_rows, {}).run.state == "finished"
    with pytest.raises(Denied, match=r"bob may not do endpoints\.declare.*data scientist"):
        run_pipeline(there, module.release, {"rounds": 9}, endpoint=module.delays)
    with pytest.raises(Denied, match=r"bob may not do models\.register"):
        run_pipeline(there, module.release, {"rounds": 9}, endpoint=module.delays, declare=False)
    for role in ("business owner", "governance", "platform engineer", "software engineer"):
        with pytest.raises(Denied, match=r"runs\.start"):
            run_pipeline(of(desk.workspace, role), module.count_rows, {})


def test_declaring_an_endpoint_needs_its_right(desk: Desk) -> None:
    for role in set(ROLES) - {"admin", "data scientist", "ml engineer", "platform engineer"}:
        with pytest.raises(Denied, match=r"endpoints\.declare"):
            declare_endpoint(of(desk.workspace, role), desk.project.module().delays)
    declare_endpoint(of(desk.workspace, "data scientist"), desk.project.module().delays)


def test_syncing_by_schedule_needs_its_right(workspace: Workspace, tmp_path: Path) -> None:
    @table(schedule="0 3 * * *")
    def nightly() -> pl.DataFrame:
        return ROWS

    with pytest.raises(Denied, match=r"tables\.schedule.*schedules\.write"):
        declare_schedule(of(workspace, "business owner"), nightly, snapshot="", folder=tmp_path)
    declare_schedule(of(workspace, "data engineer"), nightly, snapshot="", folder=tmp_path)
    declare_schedule(
        of(workspace, "business owner"), numbers, snapshot="", folder=tmp_path
    )  # it has none: nothing is written


def test_a_run_begins_with_the_right_only(workspace: Workspace) -> None:
    with pytest.raises(Denied, match=r"runs\.start"), tracking.start(of(workspace, "business owner"), "x"):
        pass


def test_every_right_is_said_in_words_and_every_role_names_rights_that_are() -> None:
    asked = {one.permission for one in OPERATIONS.values()}
    assert asked <= set(RIGHTS)
    for role, rights in ROLES.items():
        for right in rights:
            assert right in RIGHTS or "*" in right, (role, right)
            assert is_right(right)
    for right in set(RIGHTS) - {"floors.write"}:
        assert allowed(Actor("x", roles=("admin",)), right), right
    for one, other in EXCLUDING:
        assert {one, other} <= set(ROLES)
