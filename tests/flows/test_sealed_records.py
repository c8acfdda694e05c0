"""Words, verdicts, floors and people are what the sealed log says was kept: whoever edits them in the database is found."""

import sqlite3
from contextlib import closing

import pytest
from small_desk import FIRST, NAME, Desk

from slipway.errors import Corrupt
from slipway.flows.approve import grant
from slipway.flows.deploy import deploy
from slipway.governance import audit, people
from slipway.operations.declare import Empty
from slipway.operations.endpoints import Deploy
from slipway.operations.governance import Grant
from slipway.operations.people import AddPerson


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
