"""A table that names its readers is closed to everybody else, and so is what is made of it."""

from dataclasses import replace

import polars as pl
import pytest

from slipway.data.browse import failing_rows, list_refusals, profile_table
from slipway.data.declare import Table, table
from slipway.data.write import write
from slipway.errors import Denied
from slipway.operations.delta import ExportDelta
from slipway.operations.table_checks import GetProfile, GetRefusals, ShowFailing
from slipway.operations.table_versions import DiffTables, HistoryOf
from slipway.operations.tables import GetTable
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.tables import AboutTable
from slipway.tables.browse import get_table, table_history
from slipway.tables.catalog import head
from slipway.tables.delta_export import export_delta
from slipway.tables.diffs import diff_tables
from slipway.tables.personal import common_readers
from slipway.tables.refs import branch, merge
from slipway.tables.veil import over
from slipway.tables.versions import Origin, append, overwrite, read

ROWS = pl.DataFrame({"who": ["Ada Byron", "Bo Diddley"], "pay": [4_700_001, 5_200_002], "grade": ["a", "b"]})
FACES = {
    "rows": lambda there: read(there, "pay").collect(),
    "versions": lambda there: get_table(there, GetTable(name="pay")),
    "history": lambda there: table_history(there, HistoryOf(name="pay")),
    "profile": lambda there: profile_table(there, GetProfile(name="pay")),
    "failing rows": lambda there: failing_rows(there, ShowFailing(name="pay")),
    "refusals": lambda there: list_refusals(there, GetRefusals(name="pay")),
    "differences": lambda there: diff_tables(there, DiffTables(name="pay", before="1", after="1")),
    "delta": lambda there: export_delta(there, ExportDelta(name="pay")),
}


def declared(*, readers: tuple[str, ...]) -> Table:
    @table(readers=readers, owner="hr")
    def pay() -> None: ...

    return pay


def of(workspace: Workspace, name: str, *roles: str) -> Workspace:
    return replace(workspace, actor=Actor(name, roles=roles))


@pytest.fixture
def closed(workspace: Workspace) -> Workspace:
    write(workspace, declared(readers=("data engineer", "hilda")), ROWS)
    return workspace


@pytest.mark.parametrize("face", FACES)
def test_who_is_not_named_is_refused_and_who_is_reads(closed: Workspace, face: str) -> None:
    for reader in (of(closed, "deb", "data engineer"), of(closed, "hilda", "data engineer"), closed):
        FACES[face](reader)
    for role in ("data scientist", "ml engineer", "governance", "platform engineer", "business owner"):
        with pytest.raises(Denied, match=r"bob may not read the table 'pay'.*data engineer, hilda.*Ask hr"):
            FACES[face](of(closed, "bob", role))


def test_a_person_is_named_by_name_and_the_installation_reads_by_itself(closed: Workspace) -> None:
    assert read(of(closed, "hilda", "data scientist"), "pay").collect().equals(ROWS)
    loop = replace(closed, actor=Actor("controller", kind="service", roles=("ml engineer",)))
    assert read(loop, "pay").collect().equals(ROWS)


def test_what_is_declared_later_closes_what_was_open(workspace: Workspace) -> None:
    write(workspace, declared(readers=()), ROWS)
    bob = of(workspace, "bob", "ml engineer")
    assert read(bob, "pay", 1).collect().height == 2
    write(workspace, declared(readers=("hilda",)), ROWS)
    for version in (None, 1):
        with pytest.raises(Denied):
            read(bob, "pay", version)


def test_who_may_not_read_cannot_open_it_by_writing(closed: Workspace) -> None:
    bob = of(closed, "bob", "ml engineer")
    for change in (
        lambda: write(bob, declared(readers=()), ROWS),
        lambda: write(bob, declared(readers=("bob",)), ROWS.head(1)),
        lambda: overwrite(bob, "pay", ROWS.head(1), origin=Origin(about=AboutTable())),
    ):
        with pytest.raises(Denied, match="may not read the table 'pay'"):
            change()
    assert head(closed, "pay").about.readers == ("data engineer", "hilda")


def test_a_column_stays_personal_when_somebody_writes_who_may_not_see_it(workspace: Workspace) -> None:
    about = AboutTable(personal=("who",))
    overwrite(workspace, "staff", ROWS, origin=Origin(about=about))
    bob = of(workspace, "bob", "ml engineer")
    with pytest.raises(Denied, match=r"bob may not take 'who' from the personal columns of the table 'staff'"):
        overwrite(bob, "staff", ROWS.head(1), origin=Origin(about=AboutTable()))
    overwrite(bob, "staff", ROWS.head(1), origin=Origin(about=about))
    overwrite(of(workspace, "deb", "data engineer"), "staff", ROWS, origin=Origin(about=AboutTable()))


def test_its_values_are_hidden_wherever_they_came_to_even_from_who_sees_personal_columns(closed: Workspace) -> None:
    governor = of(closed, "gus", "governance")
    known = over(governor)
    assert known is not None
    assert known.text("Ada Byron earns 4700001 in grade a") == "(personal) earns (personal) in grade a"
    assert over(of(closed, "deb", "data engineer")) is None


def test_what_is_made_of_it_and_a_merge_stay_closed(closed: Workspace) -> None:
    made = overwrite(closed, "copy", ROWS, origin=Origin(inputs=(f"table:{head(closed, 'pay').id}",)))
    assert made.about.readers == ("data engineer", "hilda")
    branch(closed, "copy", "fix")
    append(closed, "copy", ROWS.tail(1), branch="fix")
    append(closed, "copy", ROWS.head(1), origin=Origin(about=AboutTable(readers=("hilda", "zoe"))))
    assert merge(closed, "copy", "fix").about.readers == ("hilda",)


def test_readers_of_what_is_made_of_several_are_those_that_all_name() -> None:
    one, two, none = (AboutTable(readers=names) for names in (("a", "b"), ("b", "c"), ()))
    assert common_readers([none, one]) == ("a", "b")
    assert common_readers([one, two]) == ("b",)
    assert common_readers([one, AboutTable(readers=("z",))]) == ("admin",)
    assert common_readers([none]) == ()
