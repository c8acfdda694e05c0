"""Personal columns stay personal: in what is made from a table, after a merge, and when they are declared later."""

import dataclasses
from datetime import UTC, datetime

import polars as pl

from slipway.data.browse import failing_rows, profile_table
from slipway.data.checks import between
from slipway.data.declare import Table, table
from slipway.data.write import write
from slipway.features.training import PinnedTables
from slipway.features.views import feature_view
from slipway.flows.feed import keep_view
from slipway.operations.table_checks import GetProfile, ShowFailing
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.tables import AboutTable
from slipway.tables.diffs import diff
from slipway.tables.personal import shown
from slipway.tables.refs import branch, merge
from slipway.tables.versions import Origin, append, history, overwrite

ADA = "ada@example.org"
PERSONAL = Origin(about=AboutTable(personal=("email",)))
AT = datetime(2026, 1, 1, tzinfo=UTC)


@feature_view(entity="id", time="at")
def people_at(people: pl.LazyFrame) -> pl.LazyFrame:
    return people


def stranger(workspace: Workspace) -> Workspace:
    """Somebody who may read tables and not the values of personal columns."""
    return dataclasses.replace(workspace, actor=Actor(name="bob", kind="person", roles=("ml engineer",)))


def test_in_kept_rows_of_a_feature_view(workspace: Workspace) -> None:
    rows = pl.DataFrame({"id": [1, 2], "email": [ADA, "b"], "at": [AT, AT]})
    overwrite(workspace, "people", rows, key=("id",), time="at", origin=PERSONAL)
    kept = keep_view(workspace, people_at, PinnedTables(workspace))
    assert kept.about.personal == ("email",)
    assert ADA not in str(profile_table(stranger(workspace), GetProfile(name=kept.name)))


def test_after_the_merge_of_a_branch_that_began_before(workspace: Workspace) -> None:
    overwrite(workspace, "people", pl.DataFrame({"id": [1], "email": [ADA]}), key=("id",))
    branch(workspace, "people", "fix")
    append(workspace, "people", pl.DataFrame({"id": [2], "email": ["b"]}), branch="fix")
    append(workspace, "people", pl.DataFrame({"id": [3], "email": ["c"]}), origin=PERSONAL)
    assert merge(workspace, "people", "fix").about.personal == ("email",)


def people(*, personal: list[str]) -> Table:
    @table(key="email", personal=personal, checks=[between("age", 0, 10, severity="warn")])
    def people() -> None: ...

    return people


def test_where_it_is_declared_later(workspace: Workspace) -> None:
    rows = pl.DataFrame({"email": [ADA, "b"], "age": [99, 2]})
    write(workspace, people(personal=[]), rows)
    write(workspace, people(personal=[]), rows.with_columns(age=pl.lit(98)))
    low = stranger(workspace)
    assert ADA in str(profile_table(low, GetProfile(name="people")))
    said = write(workspace, people(personal=["email"]), rows.with_columns(age=pl.lit(98)))
    assert (said.number, said.about.personal) == (2, ("email",))
    for number in ("1", "2"):
        assert ADA not in str(profile_table(low, GetProfile(name="people", version=number)))
        assert ADA not in str(failing_rows(low, ShowFailing(name="people", version=number)))
    assert ADA not in str(diff(low, "people", 1, 2))
    assert ADA not in str([shown(low, version) for version in history(low, "people")])
