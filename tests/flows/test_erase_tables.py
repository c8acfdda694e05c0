"""A person's rows are found where columns were renamed or dropped, on branches, and where everything was refused."""

import polars as pl
import pytest
from test_erase import ADA, holding

from slipway.data.checks import between, not_null
from slipway.data.declare import table
from slipway.data.write import write
from slipway.errors import InvalidInput
from slipway.flows.erase import erase
from slipway.ledger import entries
from slipway.operations.erasures import Erase, ErasureReport
from slipway.ports.workspace import Workspace
from slipway.records.runs import CodeVersion, Environment, Run
from slipway.records.tables import AboutTable
from slipway.tables.alters import alter
from slipway.tables.refs import branch
from slipway.tables.versions import Origin, history, overwrite, read, verify

PERSONAL = Origin(about=AboutTable(personal=("email",)))
ROWS = pl.DataFrame({"id": [1, 2], "email": [ADA, "bob@example.org"], "age": [1, 2]})


@pytest.fixture
def other(workspace: Workspace) -> Workspace:
    """Another table with such a column, so that the column is known in any case."""
    overwrite(workspace, "other", ROWS.with_columns(email=pl.lit("x@example.org")), key=("id",), origin=PERSONAL)
    return workspace


def run_erase(workspace: Workspace, column: str = "email") -> ErasureReport:
    assert holding(workspace)
    report = erase(workspace, Erase(where=((column, ADA),), reason="request 17"))
    assert report.left == 0
    assert holding(workspace) == []
    return report


def test_rows_of_a_table_whose_rows_were_all_refused(other: Workspace) -> None:
    @table(key="email", personal=["email"], checks=[between("age", 0, 10)])
    def patients() -> None: ...

    with pytest.raises(InvalidInput):
        write(other, patients, ROWS.with_columns(age=pl.lit(99)))
    assert [place.place for place in run_erase(other).places] == ["table patients"]


@pytest.mark.parametrize("column", ["email", "mail"])
def test_a_renamed_column_is_searched_under_all_its_names(workspace: Workspace, column: str) -> None:
    @table(
        key="id",
        personal=["email"],
        checks=[between("age", 0, 10, severity="quarantine"), not_null("age", severity="warn")],
    )
    def people() -> None: ...

    aside = pl.DataFrame({"id": [3, 4], "email": [ADA, ADA], "age": [99, None]}, schema=ROWS.schema)
    write(workspace, people, pl.concat([ROWS, aside]))
    alter(workspace, "people", rename={"email": "mail"})
    run_erase(workspace, column)
    for version in history(workspace, "people"):
        assert read(workspace, "people", version.version).collect()["id"].to_list() == [2]
        verify(workspace, "people", version.version)


def test_a_dropped_column_is_in_the_files_still(other: Workspace) -> None:
    overwrite(other, "people", ROWS, key=("id",), origin=PERSONAL)
    alter(other, "people", drop=["email"])
    run_erase(other)
    for version in history(other, "people"):
        assert read(other, "people", version.version).collect()["id"].to_list() == [2]
        verify(other, "people", version.version)


def test_a_column_that_only_a_branch_has(other: Workspace) -> None:
    overwrite(other, "people", ROWS.drop("email"), key=("id",))
    branch(other, "people", "fix")
    overwrite(other, "people", ROWS, key=("id",), branch="fix", origin=PERSONAL)
    run_erase(other)
    assert read(other, "people").collect().height == 2
    assert read(other, "people", "fix").collect()["id"].to_list() == [2]


def test_other_projects_that_read_a_table_are_named(workspace: Workspace) -> None:
    made = overwrite(workspace, "people", ROWS, key=("id",), origin=PERSONAL)
    now = workspace.clock.now()
    run = Run(
        id="a" * 32, project="freight", name="train", created_at=now, started_at=now,
        actor=workspace.actor, code=CodeVersion(), environment=Environment(python="3.11", platform="Linux"),
        inputs=(f"table:flights/people@{made.version}",),
    )  # fmt: skip
    with workspace.ledger.write() as tx:
        entries.put(tx, run)
    (told,) = run_erase(workspace).kept
    assert told.startswith("The project 'freight' has read people")


@pytest.mark.parametrize("column", ["email", "old_email", "work_email"])
def test_a_name_that_went_from_one_column_to_another_is_refused_and_nothing_goes(
    workspace: Workspace, column: str
) -> None:
    rows = ROWS.with_columns(work_email=pl.Series(["bob@example.org", ADA]))
    about = AboutTable(personal=("email", "work_email"))
    overwrite(workspace, "people", rows, key=("id",), origin=Origin(about=about))
    alter(workspace, "people", rename={"email": "old_email"})
    alter(workspace, "people", rename={"work_email": "email"})
    before = holding(workspace)
    with pytest.raises(InvalidInput, match="is or was called as another of its columns"):
        erase(workspace, Erase(where=((column, ADA),), reason="request 17"))
    assert holding(workspace) == before
