"""The audit log: sealed roots show an edit, a deletion, a swap and a truncation."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import Corrupt
from slipway.ledger import events
from slipway.ports.workspace import Workspace
from slipway.records.events import Event


def record(workspace: Workspace, times: int) -> None:
    with workspace.ledger.write() as tx:
        for i in range(times):
            events.record(tx, workspace, "models.alias", f"model:m{i}", alias="champion")


def seal_two_roots(workspace: Workspace) -> None:
    record(workspace, 3)
    events.seal(workspace.ledger, workspace.signer)
    record(workspace, 4)
    events.seal(workspace.ledger, workspace.signer)


def tamper(workspace: Workspace, *statements: str) -> None:
    connection = sqlite3.connect(workspace.root / "ledger.db")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_what_is_sealed_holds_and_the_tail_is_stated(workspace: Workspace) -> None:
    assert events.verify(workspace.ledger, workspace.signer) == (0, 0)
    assert events.seal(workspace.ledger, workspace.signer) is None
    seal_two_roots(workspace)
    record(workspace, 2)
    assert events.verify(workspace.ledger, workspace.signer) == (7, 2)


def test_many_events_are_sealed_over_several_reads(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_BATCH", 3)
    for times in (9, 3, 1):
        record(workspace, times)
        events.seal(workspace.ledger, workspace.signer)
    assert events.verify(workspace.ledger, workspace.signer) == (13, 0)


_SWAP = (
    "UPDATE events SET seq=-2 WHERE seq=2",
    "UPDATE events SET seq=2 WHERE seq=3",
    "UPDATE events SET seq=3 WHERE seq=-2",
)


@pytest.mark.parametrize(
    ("statements", "sentence"),
    [
        (("UPDATE events SET body=replace(body, 'champion', 'challenger') WHERE seq=2",), "Root 1 .*altered"),
        (("DELETE FROM events WHERE seq=5",), "Root 2 .*missing"),
        (("DELETE FROM events WHERE seq=7",), "Root 2 .*missing"),
        (_SWAP, "event 2 was altered"),
        (('DELETE FROM roots WHERE "index"=1',), "does not follow"),
        (("UPDATE roots SET body=replace(body, '\"last_seq\":7', '\"last_seq\":6')",), "not what was signed|altered"),
    ],
    ids=["edit", "deletion", "truncation of events", "swap", "deleted root", "edited root"],
)
def test_damage_is_named(workspace: Workspace, statements: tuple[str, ...], sentence: str) -> None:
    seal_two_roots(workspace)
    tamper(workspace, *statements)
    with pytest.raises(Corrupt, match=sentence):
        events.verify(workspace.ledger, workspace.signer)


def test_a_root_signed_by_another_key_does_not_hold(workspace: Workspace) -> None:
    seal_two_roots(workspace)
    for key in (workspace.root / "keys" / "trusted").glob("*.pub"):
        key.unlink()
    with pytest.raises(Corrupt, match="no key that is trusted"):
        events.verify(workspace.ledger, workspace.signer)


def test_an_event_is_written_with_its_change_or_not_at_all(workspace: Workspace) -> None:
    def change_that_fails() -> None:
        with workspace.ledger.write() as tx:
            events.record(tx, workspace, "models.alias", "model:m1")
            raise KeyError

    with pytest.raises(KeyError):
        change_that_fails()
    with workspace.ledger.read() as tx:
        assert tx.events() == []


def test_an_event_says_who_when_and_where(workspace: Workspace) -> None:
    record(workspace, 1)
    with workspace.ledger.read() as tx:
        (event,) = tx.events()
    assert (event.actor, event.at, event.project, event.verb) == (
        workspace.actor,
        workspace.clock.now(),
        "flights",
        "models.alias",
    )


@given(st.integers(1, 9), st.integers(0, 8), st.sampled_from(["drop", "swap", "edit", "double"]))
@settings(deadline=None, max_examples=60)
def test_a_merkle_root_is_of_these_events_in_this_order(count: int, place: int, change: str) -> None:
    made = [_event(i) for i in range(count)]
    changes: dict[str, Callable[[list[Event], int], list[Event]]] = {
        "drop": lambda all, i: all[:i] + all[i + 1 :],
        "swap": lambda all, i: [*all[:i], *reversed(all[i : i + 2]), *all[i + 2 :]],
        "edit": lambda all, i: [*all[:i], msgspec.structs.replace(all[i], verb="other.verb"), *all[i + 1 :]],
        "double": lambda all, i: [*all[:i], all[i], *all[i:]],
    }
    other = changes[change](made, place % count)
    assert (_root_of(made) == _root_of(other)) == (made == other)


def _root_of(made: list[Event]) -> str:
    return events.merkle_root(events.leaf(msgspec.json.encode(event)) for event in made)


def _event(i: int) -> Event:
    raw = {"id": f"e{i}", "at": "2013-04-01T00:00:00Z", "project": "p", "actor": {"name": "a"}, "verb": "a.b"}
    return msgspec.convert(raw | {"subject": "s", "seq": i}, Event)


def test_roots_cut_off_with_their_events_are_missed(workspace: Workspace, tmp_path: Path) -> None:
    head = tmp_path / "audit.head"
    for name in ("one", "two"):
        with workspace.ledger.write() as tx:
            events.record(tx, workspace, "a.b", f"run:{name}")
        events.seal(workspace.ledger, workspace.signer, head=head)
    assert events.verify(workspace.ledger, workspace.signer, head=head) == (2, 0)
    tamper(workspace, "DELETE FROM events WHERE seq=2", 'DELETE FROM roots WHERE "index"=2')
    assert events.verify(workspace.ledger, workspace.signer) == (1, 0)
    with pytest.raises(Corrupt, match="cut off"):
        events.verify(workspace.ledger, workspace.signer, head=head)


def test_an_event_whose_columns_were_altered_is_not_shown_as_nothing(workspace: Workspace) -> None:
    with workspace.ledger.write() as tx:
        events.record(tx, workspace, "a.b", "run:one")
    tamper(workspace, "UPDATE events SET subject='run:other'")
    with pytest.raises(Corrupt, match="columns"):
        events.verify(workspace.ledger, workspace.signer)
