"""The history of aliases is the audit log's: replaying it gives what stands, at any moment."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from slipway.backends.clocks import SimulatedClock
from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.ledger import entries, lineage
from slipway.models import numbered, registered, registered_versions, registry
from slipway.models.history import model_history, moves_of, standing
from slipway.operations.models import GetHistory
from slipway.ports.workspace import Workspace
from slipway.records.models import ModelVersion
from slipway.records.people import Actor

GRACE = Actor("grace", roles=("ml engineer",))


def fill(workspace: Workspace, count: int = 3) -> None:
    with workspace.ledger.write() as tx:
        registered.create(tx, workspace, "late", tags={})
        for _ in range(count):
            registered_versions.add_version(tx, workspace, "late", source="runs:/x/m", location="0/x/m", tags={})


def test_what_served_when_is_told_with_who_and_why(workspace: Workspace, clock: SimulatedClock) -> None:
    fill(workspace)
    times = []
    for number, who, reason in ((1, workspace.actor, "first"), (3, GRACE, "better"), (2, GRACE, "rollback")):
        clock.advance_to(clock.now() + timedelta(days=1))
        times.append(clock.now())
        registry.set_alias(replace(workspace, actor=who), "late", "champion", number, reason=reason)
    told = model_history(workspace, GetHistory(name="late"))
    assert [(move.number, move.before, move.actor.name, move.reason) for move in told.moves] == [
        (1, 0, "ada", "first"),
        (3, 1, "grace", "better"),
        (2, 3, "grace", "rollback"),
    ]
    for at, number in ((times[0], 1), (times[1] - timedelta(seconds=1), 1), (times[1], 3), (times[2], 2)):
        stood = model_history(workspace, GetHistory(name="late", at=at.isoformat())).standing
        assert [(one.alias, one.number) for one in stood] == [("champion", number)]
    assert (
        model_history(workspace, GetHistory(name="late", at=(times[0] - timedelta(seconds=1)).isoformat())).standing
        == ()
    )
    day = times[1].date().isoformat()
    assert model_history(workspace, GetHistory(name="late", at=day)).standing[0].number == 3
    with pytest.raises(InvalidInput, match="is no moment"):
        model_history(workspace, GetHistory(name="late", at="yesterday"))


def test_replaying_gives_what_stands_whatever_was_done(workspace: Workspace, clock: SimulatedClock) -> None:
    fill(workspace, 4)
    with workspace.ledger.write() as tx:
        for alias, number in (("a", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("d", "4")):
            registered_versions.set_alias(tx, workspace, "late", alias, number)
        numbered.drop_alias(tx, workspace, "late", "b")
        registered_versions.delete_version(tx, workspace, "late", "4")
        for number, stage in (("1", "Production"), ("2", "production"), ("1", "Archived")):
            registered_versions.move_to_stage(tx, workspace, "late", number, stage, archive=False)
        registered.rename(tx, workspace, "late", "later")
    stood = {(one.alias, one.number) for one in standing(moves_of(workspace, "later"), clock.now())}
    assert stood == {("a", 3), ("stage Archived", 1), ("stage Production", 2)}
    assert registry.aliases(workspace, "later") == {"a": 3}
    with workspace.ledger.write() as tx:
        registered.delete(tx, workspace, "later")
    assert standing(moves_of(workspace, "later"), clock.now()) == []


def test_a_move_names_the_newest_verdict(workspace: Workspace) -> None:
    fill(workspace, 1)
    with workspace.ledger.write() as tx:
        signed = ModelVersion(
            id="m-" + "a" * 32, project="flights", name="signed", created_at=workspace.clock.now(), number=1,
            bundle="b" * 64, manifest="c" * 64, actor=workspace.actor,
        )  # fmt: skip
        entries.put(tx, signed)
        tx.set_ref("flights", "model", "signed", signed.id, expect=None)
        for id in ("01" * 16, "02" * 16):
            lineage.link(tx, f"bundle:{signed.bundle}", f"verdict:{id}", "judged")
    registry.set_alias(workspace, "signed", "champion", 1)
    [move] = model_history(workspace, GetHistory(name="signed", alias="champion")).moves
    assert move.evidence == ("verdict:" + "02" * 16,)


def test_what_never_was_is_said(workspace: Workspace) -> None:
    fill(workspace)
    with pytest.raises(NotFound, match=r"no model .lat..*Did you mean 'late'"):
        model_history(workspace, GetHistory(name="lat"))
    with pytest.raises(NotFound, match="never had the alias 'x'"):
        model_history(workspace, GetHistory(name="late", alias="x"))


def test_an_alias_moves_only_from_where_one_looked(workspace: Workspace) -> None:
    fill(workspace)
    registry.set_alias(workspace, "late", "champion", 1, before=0)
    with pytest.raises(Conflict):
        registry.set_alias(workspace, "late", "champion", 2, before=3)
    assert registry.aliases(workspace, "late") == {"champion": 1}


def test_a_version_without_a_bundle_is_found_and_not_taken_for_one(workspace: Workspace) -> None:
    fill(workspace)
    assert [version.number for version in registry.all_versions(workspace, "late")] == [3, 2, 1]
    assert registry.versions(workspace, "late") == []
    assert registry.find(workspace, "late").number == 3
    with pytest.raises(InvalidInput, match=r"has no signed bundle.*Package and register"):
        registry.get(workspace, "late", 2)
    with pytest.raises(InvalidInput, match="has no signed bundle"):
        registry.bundle_of(workspace, registry.find(workspace, "late"))


def test_old_records_still_decode(workspace: Workspace) -> None:
    old = (
        b'{"kind":"model","id":"m-1","project":"flights","name":"x","created_at":"2013-04-01T00:00:00Z","number":1,'
        b'"bundle":"b","manifest":"m","actor":{"name":"ada"}}'
    )

    version = msgspec.json.decode(old, type=ModelVersion)
    assert (version.source, version.stage, version.state, version.updated_at) == ("", "None", "", None)
    assert version.created_at == datetime(2013, 4, 1, tzinfo=UTC)
