"""Personal columns stay personal: in what is made from a table, after a merge, and when they are declared later."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from slipway.backends.clocks import SimulatedClock
from slipway.data.browse import failing_rows, list_refusals, profile_table
from slipway.data.checks import between, not_null
from slipway.data.declare import Table, table
from slipway.data.write import write
from slipway.errors import InvalidInput
from slipway.features.training import PinnedTables
from slipway.features.views import feature_view
from slipway.flows.feed import keep_view
from slipway.operations.delta import ExportDelta
from slipway.operations.table_checks import GetProfile, GetRefusals, ShowFailing
from slipway.operations.table_versions import HistoryOf
from slipway.operations.tables import GetTable
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.tables import AboutTable
from slipway.tables.alters import alter
from slipway.tables.browse import get_table, table_history
from slipway.tables.catalog import head
from slipway.tables.cleaning import clean
from slipway.tables.commits import note_about
from slipway.tables.delta_export import export_delta
from slipway.tables.delta_log import LOG
from slipway.tables.diffs import diff
from slipway.tables.part_folders import table_folder
from slipway.tables.personal import MASK, shown
from slipway.tables.refs import branch, merge
from slipway.tables.versions import Origin, append, history, overwrite

ADA = "ada@example.org"
MAILS = [ADA, "b@x.org", "c@x.org"]
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


@pytest.fixture
def renamed(workspace: Workspace) -> Workspace:
    """Rows with `mail`, some set aside and some refused; then it is called `email`, and by that name declared personal."""

    @table(
        key="mail",
        checks=[
            between("age", 0, 90, severity="warn"),
            between("age", 0, 200, severity="quarantine"),
            not_null("city"),
        ],
    )
    def people() -> None: ...

    ages = ((99, 2, 300), (98, 2))
    for some in ages:
        write(workspace, people, pl.DataFrame({"mail": MAILS[: len(some)], "age": some, "city": ["Ulm"] * len(some)}))
    with pytest.raises(InvalidInput, match="was refused"):
        write(workspace, people, pl.DataFrame({"mail": [ADA], "age": [3], "city": [None]}))
    alter(workspace, "people", rename={"mail": "email"})
    append(workspace, "people", pl.DataFrame({"email": ["d@x.org"], "age": [3], "city": ["Bonn"]}))
    note_about(workspace, head(workspace, "people"), AboutTable(personal=("email",)))
    return workspace


def hides(workspace: Workspace, face: Callable[[Workspace], object]) -> None:
    """A face shows the addresses to who may see them, and to nobody else."""
    assert ".org" in str(face(workspace)), "it has something to hide"
    found = str(face(stranger(workspace)))
    assert ".org" not in found
    assert MASK in found or "age" in found


FACES: dict[str, Callable[[Workspace], object]] = {
    "profile": lambda there: profile_table(there, GetProfile(name="people", version="1")),
    "profile beside another": lambda there: profile_table(there, GetProfile(name="people", version="2", against="1")),
    "profile of what was set aside": lambda there: profile_table(there, GetProfile(name="quarantine.people")),
    "failing rows": lambda there: failing_rows(there, ShowFailing(name="people", version="1")),
    "refused rows": lambda there: failing_rows(there, ShowFailing(name="people", version="refused")),
    "refusals": lambda there: list_refusals(there, GetRefusals(name="people")),
    "samples of a version": lambda there: get_table(there, GetTable(name="people", version="1")),
    "samples of all versions": lambda there: get_table(there, GetTable(name="people")),
    "samples in the history": lambda there: table_history(there, HistoryOf(name="people")),
}


@pytest.mark.parametrize("face", FACES)
def test_a_column_is_personal_under_its_former_name_too(renamed: Workspace, face: str) -> None:
    hides(renamed, FACES[face])


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 3), (1, 4)])
def test_what_differs_from_a_version_with_the_former_name_hides_it(renamed: Workspace, before: int, after: int) -> None:
    found = diff(renamed, "people", before, after)
    assert found.changed or before == 2
    assert ".org" not in str(found), "whoever asks"


def test_a_delta_log_has_no_bounds_of_a_column_that_is_personal_by_now(renamed: Workspace) -> None:
    log = table_folder(renamed, "people") / LOG

    def told() -> str:
        return "".join(path.read_text() for path in sorted(log.iterdir()))

    note_about(renamed, head(renamed, "people"), AboutTable())
    export_delta(renamed, ExportDelta(name="people", version="1"))
    assert ADA in told()
    note_about(renamed, head(renamed, "people"), AboutTable(personal=("email",)))
    export_delta(renamed, ExportDelta(name="people", version="1"))
    assert ADA not in told()
    assert '\\"age\\":99' in told()
    append(renamed, "people", pl.DataFrame({"email": ["e@x.org"], "age": [4], "city": ["Bonn"]}))
    export_delta(renamed, ExportDelta(name="people", version="1"))
    assert ".org" not in told()


def test_a_column_that_was_dropped_since_stays_personal(renamed: Workspace) -> None:
    append(
        renamed, "people", pl.DataFrame({"email": ["e@x.org"], "age": [3], "city": ["Bonn"]})
    )  # what is declared goes on with it
    alter(renamed, "people", rename={"email": "address"})
    overwrite(renamed, "people", pl.DataFrame({"age": [1], "city": ["Ulm"]}), key=("age",))
    assert head(renamed, "people").about.personal == ()
    for face in FACES.values():
        hides(renamed, face)
    low = stranger(renamed)
    assert "Ulm" in str(profile_table(low, GetProfile(name="people")))


def test_a_name_that_another_column_has_by_now_does_not_make_that_one_personal(renamed: Workspace) -> None:
    alter(renamed, "people", add={"mail": "string"})  # how the post comes: nobody's
    append(renamed, "people", pl.DataFrame({"email": ["e@x.org"], "age": [3], "city": ["Bonn"], "mail": ["by boat"]}))
    found = {one.name: str(one) for one in profile_table(stranger(renamed), GetProfile(name="people")).columns}
    assert "by boat" in found["mail"]
    assert "e@x.org" not in found["email"]
    hides(renamed, FACES["profile"])


def test_a_version_whose_rows_were_cleaned_away_hides_what_nobody_knows(
    renamed: Workspace, clock: SimulatedClock
) -> None:
    clock.advance_to(clock.now() + timedelta(days=30))
    clean(renamed, ["people"], keep=1, grace=timedelta())
    assert next(one for one in history(renamed, "people") if one.number == 1).cleaned_at is not None
    for face in ("profile", "failing rows", "samples of a version"):
        hides(renamed, FACES[face])
