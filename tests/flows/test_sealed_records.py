"""Words, verdicts, floors and people are what the sealed log says was kept: whoever edits them in the database is found."""

import dataclasses
import sqlite3
from contextlib import closing

import pytest
from small_desk import FIRST, NAME, Desk

from slipway.errors import Corrupt
from slipway.flows.approve import grant
from slipway.flows.deploy import deploy
from slipway.flows.floors import set_floor
from slipway.governance import audit, people
from slipway.operations.declare import Empty
from slipway.operations.endpoints import Deploy
from slipway.operations.floors import SetFloor
from slipway.operations.governance import Grant
from slipway.operations.people import AddPerson
from slipway.records.people import Actor


@pytest.fixture
def told(desk: Desk) -> Desk:
    quiet = desk.without_processes()
    grant(quiet.workspace, Grant(model=NAME, version=str(FIRST), comment="seen"))
    deploy(quiet.workspace, Deploy(model=NAME, version=str(FIRST)))
    people.add(quiet.workspace_alone, AddPerson(name="ada", roles=("admin",)))
    return quiet


EDITS = {
    "the giver of a word": 'update entries set body = cast(replace(cast(body as text), \'"name":"root"\', \'"name":"grace"\') as blob) where kind = \'approval\'',
    "a word that is gone": "delete from entries where kind = 'approval'",
    "a word that nobody finds": "delete from links where target like 'approval:%'",
    "a verdict": "update entries set body = cast(replace(cast(body as text), '\"passed\":true', '\"passed\":false') as blob) where kind = 'verdict'",
    "a role": "update entries set body = cast(replace(cast(body as text), 'admin', 'governance') as blob) where kind = 'person'",
}


def test_what_nobody_edited_is_as_it_was_kept(told: Desk) -> None:
    assert audit.verify(told.workspace, Empty()).records == 3


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_beside_the_log_is_found_and_named(told: Desk, edit: str) -> None:
    with closing(sqlite3.connect(told.workspace.root / "ledger.db", isolation_level=None)) as connection:
        assert connection.execute(EDITS[edit]).rowcount > 0
    with pytest.raises(Corrupt, match=r"is (gone|another than was kept): \w+ made it on .* \(event \d+, "):
        audit.verify(told.workspace, Empty())


COPIED = "insert into entries(kind, id, project, name, number, state, parent, created_us, etag, body) select kind, '{new}', project, {name}, number, state, parent, created_us, etag, cast(replace(cast(body as text), '{old}', '{new}') as blob) from entries where kind = '{kind}' and id = 'ada'"
ADDED = {
    "a person": COPIED.format(kind="person", old="ada", new="eve", name="'eve'"),
    "a person under somebody's name": COPIED.replace("kind, '{new}'", "kind, 'eve'").format(
        kind="person", old="ada", new="ada", name="name"
    ),
    "a floor that is not found": "update entries set name = 'nowhere' where kind = 'floor'",
    "a verdict of another project": "update entries set project = 'other' where kind = 'verdict'",
}


@pytest.mark.parametrize("edit", ADDED)
def test_what_was_put_there_or_hidden_beside_the_log_is_found(told: Desk, edit: str) -> None:
    people.add(told.workspace_alone, AddPerson(name="gov", roles=("governance",)))
    gov = dataclasses.replace(told.workspace_alone, actor=Actor("gov", roles=("governance",)))
    set_floor(gov, SetFloor(environment="dev", reason="tests are strict", checks=()))
    audit.verify(told.workspace, Empty())
    with closing(sqlite3.connect(told.workspace.root / "ledger.db", isolation_level=None)) as connection:
        assert connection.execute(ADDED[edit]).rowcount == 1
    with pytest.raises(Corrupt, match=r"no event of the audit log tells|found under other names"):
        audit.verify(told.workspace, Empty())
