"""Who sees the values of personal columns."""

from dataclasses import replace

import polars as pl
import pytest

from slipway.data.declare import table
from slipway.data.write import write
from slipway.errors import InvalidInput, NotFound
from slipway.operations.permissions import ROLES
from slipway.operations.tables import GetTable, ListTables
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.tables import AboutTable, CheckResult
from slipway.tables.browse import get_table, list_tables
from slipway.tables.catalog import head
from slipway.tables.personal import MASK, check_personal, may_see
from slipway.tables.versions import Origin, overwrite

SEES = {"admin", "data engineer", "governance"}
ROWS = pl.DataFrame({"email": ["ada@x.org", "ada@x.org", None], "age": [36, 37, 38]})


def as_role(workspace: Workspace, role: str) -> Workspace:
    return replace(workspace, actor=Actor("somebody", roles=(role,)))


@pytest.mark.parametrize("role", [*ROLES, "no such role"])
def test_who_may_see_personal_values(role: str) -> None:
    actor = Actor("somebody", roles=(role,))
    assert may_see(actor) == (role in SEES)


def test_samples_of_failing_rows_are_masked_where_the_key_is_personal(workspace: Workspace) -> None:
    sample = ("ada@x.org", "bob@x.org")
    check = CheckResult(check="age is known", passed=False, severity="warn", failed_rows=2, rows=3, sample=sample)
    about = AboutTable(personal=("email",))
    overwrite(workspace, "people", ROWS, key=("email",), origin=Origin(about=about, checks=(check,)))
    for role in ROLES:
        viewer = as_role(workspace, role)
        for found in (
            get_table(viewer, GetTable(name="people")).versions[0],
            list_tables(viewer, ListTables()).tables[0],
        ):
            assert found.checks[0].sample == (sample if role in SEES else (MASK, MASK)), role
    assert head(workspace, "people").checks[0].sample == sample


def test_samples_stay_where_the_key_is_not_personal(workspace: Workspace) -> None:
    people = table(key="age", personal="email")(_people)
    write(workspace, people, pl.concat([ROWS, ROWS]))
    found = get_table(as_role(workspace, "data scientist"), GetTable(name="people")).versions[0]
    assert found.checks[0].sample[0] == "36"


def test_a_misspelled_personal_column_is_refused_before_a_version_is_made(workspace: Workspace) -> None:
    people = table(personal="e-mail")(_people)
    with pytest.raises(InvalidInput, match=r"'e-mail' personal, which is not there.*email"):
        write(workspace, people, ROWS)
    with pytest.raises(NotFound):
        head(workspace, "people")
    check_personal("people", AboutTable(personal=("email",)), ["email"])


def _people() -> pl.DataFrame:
    return ROWS


_people.__name__ = "people"
