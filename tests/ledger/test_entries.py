"""Records in and out of the ledger, with their columns and editions."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import Conflict, Corrupt, NotFound
from slipway.ledger import entries
from slipway.ledger.versions import next_number
from slipway.ports.workspace import Workspace
from slipway.records.monitors import Incident
from slipway.records.people import Actor
from slipway.records.projects import Project
from slipway.records.record import Entry
from slipway.records.runs import Run

NOW = datetime(2013, 4, 1, tzinfo=UTC)


def run(id: str, **fields: object) -> Run:
    made = Run(id=id, project="flights", created_at=NOW, started_at=NOW, actor=Actor("ada"), name="baseline")
    return msgspec.structs.replace(made, **fields)


def test_a_record_comes_back_equal(workspace: Workspace) -> None:
    given = run("r1", params={"rate": 0.1, "deep": {"a": [1, None, "x"]}}, state="failed", parent_id="r0")
    with workspace.ledger.write() as tx:
        assert entries.put(tx, given) == 1
    with workspace.ledger.read() as tx:
        assert entries.get(tx, Run, "r1") == given
        assert entries.etag(tx, Run, "r1") == 1
        assert entries.etag(tx, Run, "r2") == 0
        assert entries.find(tx, Run, state="failed", parent="r0") == [given]
        assert entries.find(tx, Run, state="finished") == []


def test_a_missing_record_is_named(workspace: Workspace) -> None:
    with workspace.ledger.read() as tx, pytest.raises(NotFound, match="no run with the id 'r9'"):
        entries.get(tx, Run, "r9")


def test_two_editors_cannot_both_win(workspace: Workspace) -> None:
    with workspace.ledger.write() as tx:
        entries.put(tx, run("r1"), expect=0)
        seen = entries.etag(tx, Run, "r1")
        entries.put(tx, run("r1", name="first"), expect=seen)
        with pytest.raises(Conflict, match="changed by somebody else"):
            entries.put(tx, run("r1", name="second"), expect=seen)


def test_pages_walk_every_record_once(workspace: Workspace) -> None:
    made = [run(f"r{i:02}", created_at=NOW + timedelta(seconds=i // 3)) for i in range(20)]
    with workspace.ledger.write() as tx:
        for each in made:
            entries.put(tx, each)
    walked: list[Run] = []
    with workspace.ledger.read() as tx:
        last = None
        while page := entries.find(tx, Run, project="flights", before=last, limit=7):
            walked += page
            last = page[-1]
    assert walked == sorted(made, key=lambda each: (each.created_at, each.id), reverse=True)


@pytest.mark.parametrize("number", [0, 1, 5, 6, 7])
def test_every_record_is_found_however_many_a_page_holds(workspace: Workspace, number: int) -> None:
    with workspace.ledger.write() as tx:
        for place in range(number):
            entries.put(tx, run(f"r{place}", name="mine"))
            entries.put(tx, run(f"o{place}", name="other"))
    with workspace.ledger.read() as tx:
        for page in (1, 3, 6, 100):
            found = [one.id for one in entries.every(tx, Run, name="mine", page=page)]
            assert found == [f"r{place}" for place in reversed(range(number))]


def test_a_record_that_cannot_be_read_is_damage(workspace: Workspace) -> None:
    with workspace.ledger.write() as tx:
        tx.put(
            Entry(
                kind="run",
                id="r1",
                project="p",
                name="",
                number=0,
                state="",
                parent="",
                created_us=0,
                etag=0,
                body=b"{",
            )
        )
    with workspace.ledger.read() as tx, pytest.raises(Corrupt, match="backup"):
        entries.get(tx, Run, "r1")


def test_what_an_older_release_wrote_still_reads(workspace: Workspace) -> None:
    """A field that came later has a default; one that is gone is passed over."""
    old = {"kind": "project", "id": "p", "project": "p", "name": "p", "created_at": NOW.isoformat(), "gone": 1}
    with workspace.ledger.write() as tx:
        body = msgspec.json.encode(old)
        tx.put(
            Entry(
                kind="project",
                id="p",
                project="p",
                name="p",
                number=0,
                state="",
                parent="",
                created_us=0,
                etag=0,
                body=body,
            )
        )
    with workspace.ledger.read() as tx:
        assert entries.get(tx, Project, "p").name == "p"


def test_numbers_count_within_a_name(workspace: Workspace) -> None:
    with workspace.ledger.write() as tx:
        assert next_number(tx, Incident, "flights", "drift") == 1


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5)), timezone(timedelta(hours=14))])))
@settings(deadline=None)
def test_microseconds_are_exact(instant: datetime) -> None:
    counted = entries.microseconds(instant)
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=counted) == instant


def test_what_belongs_to_a_record_is_found_by_the_index_of_parents(workspace: Workspace) -> None:
    """A run's steps must not cost a look at all steps of the project."""
    with workspace.ledger.read() as tx:
        execute, asked = tx._execute, []  # type: ignore[attr-defined]
        tx._execute = lambda sql, values: asked.append((sql, values)) or execute(sql, values)  # type: ignore[attr-defined]
        tx.find("step", parent="a" * 32)
        ((sql, values),) = asked
        plan = [row[-1] for row in execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()]
    assert plan == ["SEARCH entries USING INDEX entries_by_parent (kind=? AND parent=?)"]
