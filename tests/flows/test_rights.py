"""What changes something asks for its right where its body is, also where no operation stands before it."""

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from small_desk import Desk

import slipway
from slipway.data.declare import table
from slipway.data.ingest import ingest
from slipway.data.schedules import declare_schedule
from slipway.errors import Denied
from slipway.flows.erase import erase
from slipway.flows.purge import purge, sweep
from slipway.flows.release import declare_endpoint, run_pipeline
from slipway.flows.trash import keep, put_in_trash, restore
from slipway.operations.acts import ACTS
from slipway.operations.erasures import Erase
from slipway.operations.permissions import EXCLUDING, RIGHTS, ROLES, allowed, is_right
from slipway.operations.table import OPERATIONS
from slipway.operations.trash import KeepTrash, PurgeTrash, PutInTrash, RestoreFromTrash, SweepBlobs
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


# What is no operation


ASKING = ("check_allowed", "check_actor", "check_in_stores")


def acts() -> set[tuple[str, str]]:
    """Every act and right that code names where it asks for one, as text."""
    found = set()
    for path in Path(slipway.__file__).parent.rglob("*.py"):
        text = path.read_text()
        if not any(f"{name}(" in text for name in ASKING):  # few are left: parsing all takes seconds
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ASKING:
                said = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
                if len(said) == 2:
                    found.add((said[0], said[1]))
    return found


def test_everything_that_asks_for_a_right_is_in_the_table() -> None:
    asked = acts()
    assert len(asked) > 20
    for act, right in asked:
        if act in OPERATIONS:
            assert right in RIGHTS, act
        else:
            assert right in ACTS.get(act, ()), act
    assert {right for rights in ACTS.values() for right in rights} <= set(RIGHTS)


REMOVES: dict[str, Callable[[Workspace], object]] = {
    "erasures.start": lambda there: erase(there, Erase(table="held", key=("5",), reason="request 17")),
    "trash.put": lambda there: put_in_trash(there, PutInTrash(items=("model:x",))),
    "trash.restore": lambda there: restore(there, RestoreFromTrash(items=("model:x",))),
    "trash.keep": lambda there: keep(there, KeepTrash(days=3)),
    "trash.purge": lambda there: purge(there, PurgeTrash()),
    "trash.sweep": lambda there: sweep(there, SweepBlobs()),
}


@pytest.mark.parametrize("verb", REMOVES)
def test_who_may_not_remove_removes_nothing_in_their_own_process_either(workspace: Workspace, verb: str) -> None:
    overwrite(workspace, "held", pl.DataFrame({"id": [5]}), key=("id",))
    for role in ("business owner", "software engineer", "no such role"):
        with pytest.raises(Denied, match=rf"bob may not do {verb}"):
            REMOVES[verb](of(workspace, role))
    with workspace.ledger.read() as tx:
        assert [event.verb for event in tx.events(limit=100) if event.verb == verb] == []
    if verb not in ("trash.put", "trash.restore"):
        REMOVES[verb](of(workspace, "admin"))
