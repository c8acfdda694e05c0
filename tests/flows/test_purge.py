"""Trash, restore and purge: what goes, what stays and why, and that the bytes are gone."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from purge_desk import age, blobs, do, kept, nested, new_logged, new_run, new_version, purge, put, verified

from slipway.backends.clocks import SimulatedClock
from slipway.backends.local_blobs import LocalBlobs
from slipway.errors import Conflict, Denied, InvalidInput, NotFound
from slipway.flows.purge_plan import Plan, plan_named
from slipway.flows.trash import delete_experiment
from slipway.hashing import digest
from slipway.ledger import artifacts, entries, events
from slipway.ledger.experiments import find_named
from slipway.ledger.projects import register
from slipway.ledger.run_artifacts import AT_MOST
from slipway.ledger.run_file import MAGIC, RunFile, framed
from slipway.models import history, logged, numbered, registered, registered_versions
from slipway.operations.models import GetHistory
from slipway.pipelines import cache
from slipway.pipelines.hidden.present import place_of
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Contract, Revision, Served
from slipway.records.gates import Approval, Verdict
from slipway.records.models import ModelVersion
from slipway.records.people import Actor
from slipway.records.run_entries import EDITION, ArtifactKept, Begun, FileBegun
from slipway.records.runs import Artifact, Run, RunArtifact, StepRun
from slipway.records.tables import TableVersion
from slipway.records.trash import Purge
from slipway.runs import experiments, outside, search, tracking
from slipway.tables.file_folders import add_folder


def new_signed(workspace: Workspace, name: str, data: bytes) -> ModelVersion:
    """A version with a bundle of one file, as far as the ledger knows it."""
    file = workspace.blobs.put(data)
    manifest = workspace.blobs.put(
        b'{"model":"%s","format":"pickle","task":"regression","files":[{"path":"model/x","digest":"%s","size_bytes":%d}],'
        b'"signature":{"inputs":[],"outputs":[]}}' % (name.encode(), file.encode(), len(data))
    )
    with workspace.ledger.write() as tx:
        newest = numbered.newest_of(tx, workspace.project, name)
        version = ModelVersion(
            id="m-" + os.urandom(16).hex(), project=workspace.project, name=name, created_at=workspace.clock.now(),
            number=numbered.next_number(tx, workspace.project, name), bundle=manifest, manifest=manifest,
            signature=workspace.blobs.put(b"signed " + data), actor=workspace.actor,
        )  # fmt: skip
        entries.put(tx, version)
        registered.keep(tx, workspace.project, name)
        tx.set_ref(workspace.project, numbered.MODEL, name, version.id, expect=newest.id if newest else None)
        events.record(tx, workspace, "models.register", f"model:{version.id}", name=name, bundle=manifest)
    return version


def test_a_purged_run_is_gone_with_its_bytes_and_what_others_name_stays(workspace: Workspace) -> None:
    one, other = new_run(workspace, b"own", b"shared"), new_run(workspace, b"shared")
    put(workspace, f"run:{one}", reason="a mistake")
    listed = do(workspace, "trash.list").items
    assert [(item.item, item.by, item.reason) for item in listed] == [(f"run:{one}", "ada", "a mistake")]
    assert listed[0].goes_at == listed[0].deleted_at + timedelta(days=30)
    foretold = purge(workspace, f"run:{one}", dry_run=True)
    assert (foretold.records, foretold.blobs, foretold.bytes) == (1, 1, 3)
    assert blobs(workspace) == {digest(b"own"), digest(b"shared")}
    done = purge(workspace, f"run:{one}")
    assert (done.items, done.records, done.blobs, done.bytes) == ((f"run:{one}",), 1, 1, 3)
    assert blobs(workspace) == {digest(b"shared")}
    with workspace.ledger.read() as tx:
        assert tx.get("run", one) is None
        assert tx.points(one, "loss") == []
        assert list(entries.every(tx, Purge)) == []
        assert outside.get(tx, workspace, other).artifacts[0].digest == digest(b"shared")
        told = [event.verb for event in tx.events(subject=f"run:{one}")]
    assert told == ["runs.start", "runs.finish", "runs.delete", "runs.purge"]
    assert verified(workspace) > 0


def test_a_second_purge_says_so_and_what_never_was_is_not_found(workspace: Workspace) -> None:
    run = new_run(workspace, b"x")
    put(workspace, f"run:{run}")
    purge(workspace, f"run:{run}")
    again = purge(workspace, f"run:{run}")
    assert (again.gone, again.items, again.records, again.bytes) == ((f"run:{run}",), (), 0, 0)
    with pytest.raises(NotFound, match="There is no run"):
        purge(workspace, f"run:{'f' * 32}")
    assert purge(workspace).records == 0
    for wrong in ("run", "thing:x", "model:x:1", "experiment:x", "logged:m-1"):
        with pytest.raises((InvalidInput, NotFound)):
            purge(workspace, wrong)


def test_what_is_not_in_the_trash_is_not_purged(workspace: Workspace) -> None:
    run = new_run(workspace, b"x")
    with pytest.raises(InvalidInput, match="is not in the trash"):
        purge(workspace, f"run:{run}")
    put(workspace, f"run:{run}")
    do(workspace, "trash.restore", items=[f"run:{run}"])
    with pytest.raises(InvalidInput, match="is not in the trash"):
        purge(workspace, f"run:{run}")
    assert blobs(workspace) == {digest(b"x")}


def test_what_was_stored_within_the_grace_goes_with_a_later_purge(workspace: Workspace) -> None:
    run = new_run(workspace, b"young", b"old")
    age(workspace, b"old")
    put(workspace, f"run:{run}")
    done = purge(workspace, f"run:{run}", grace_days=1)
    assert (done.blobs, done.bytes, done.waiting) == (1, 3, 1)
    assert blobs(workspace) == {digest(b"young")}
    age(workspace, b"young")
    later = purge(workspace, grace_days=1)
    assert (later.blobs, later.bytes, later.waiting) == (1, 5, 0)
    assert blobs(workspace) == set()


def pass_days(clock: SimulatedClock, days: int) -> None:
    clock.advance_to(clock.now() + timedelta(days=days))


def test_the_trash_is_purged_after_its_days(workspace: Workspace, clock: SimulatedClock) -> None:
    early = new_run(workspace, b"early")
    put(workspace, f"run:{early}")
    pass_days(clock, 20)
    late = new_run(workspace, b"late")
    put(workspace, f"run:{late}")
    pass_days(clock, 9)
    assert purge(workspace).items == ()
    pass_days(clock, 1)
    assert purge(workspace).items == (f"run:{early}",)
    do(workspace, "trash.keep", days=None)
    assert do(workspace, "trash.list").items[0].goes_at is None
    pass_days(clock, 900)
    assert purge(workspace).items == ()
    do(workspace, "trash.keep", days=1000)
    assert purge(workspace).items == ()
    assert purge(workspace, older_than_days=30).items == (f"run:{late}",)
    with pytest.raises(InvalidInput):
        do(workspace, "trash.keep", days=0)


def test_an_experiment_goes_and_comes_with_its_runs(workspace: Workspace, clock: SimulatedClock) -> None:
    with workspace.ledger.write() as tx:
        number = experiments.create(tx, workspace, "tries", {}).id
    runs = [new_run(workspace, b"%d" % i, experiment=number) for i in range(3)]
    model = new_logged(workspace, b"weights", number)
    put(workspace, f"run:{runs[0]}")
    pass_days(clock, 1)
    put(workspace, "experiment:tries", reason="done")
    assert search.list_runs(workspace) == []
    assert [item.item for item in do(workspace, "trash.list").items] == ["experiment:tries", f"run:{runs[0]}"]
    with pytest.raises(Conflict, match="was deleted"):
        experiments.experiment_named(workspace, "tries")
    do(workspace, "trash.restore", items=["experiment:tries"])
    assert {run.id for run in search.list_runs(workspace)} == set(runs[1:]), "the first was put there by itself"
    with workspace.ledger.read() as tx:
        assert logged.get(tx, workspace, model).deleted_at is None
    put(workspace, f"experiment:{number}")
    done = purge(workspace, "experiment:tries")
    assert done.records == 5
    assert blobs(workspace) == set()
    with workspace.ledger.write() as tx:
        assert find_named(tx, workspace, "tries") is None
        assert experiments.create(tx, workspace, "tries", {}).id != number
    assert purge(workspace, f"experiment:{number}").gone == (f"experiment:{number}",)


def test_an_experiment_whose_deletion_was_killed_is_deleted_by_asking_again(workspace: Workspace) -> None:
    with workspace.ledger.write() as tx:
        number = experiments.create(tx, workspace, "tries", {}).id
    run = new_run(workspace, b"x", experiment=number)
    with workspace.ledger.write() as tx:
        experiments.set_deleted(tx, workspace, number, deleted=True)
    held = purge(workspace, "experiment:tries")
    assert [one.why for one in held.kept] == [f"its run {run} is not in the trash"]
    put(workspace, "experiment:tries")
    assert purge(workspace, "experiment:tries").records == 2
    with pytest.raises(InvalidInput, match="default"):
        delete_experiment(workspace, "0")


def test_a_run_that_made_a_version_that_stays_is_held(workspace: Workspace) -> None:
    run = new_run(workspace, b"model")
    new_version(workspace, "m", run)
    put(workspace, f"run:{run}")
    for dry_run in (True, False):
        held = purge(workspace, f"run:{run}", dry_run=dry_run)
        assert [(one.item, one.why) for one in held.kept] == [(f"run:{run}", "version 1 of 'm' names it")]
        assert held.records == held.blobs == 0
    put(workspace, "model:m:1")
    assert purge(workspace, f"run:{run}").kept[0].why == "version 1 of 'm' (in the trash) names it"
    done = purge(workspace, f"run:{run}", "model:m:1")
    assert (done.records, done.blobs, done.kept) == (2, 1, ())


def test_a_run_whose_files_a_version_is_is_held_whatever_run_the_client_names(workspace: Workspace) -> None:
    run, other = new_run(workspace, b"model"), new_run(workspace)
    with workspace.ledger.write() as tx:
        registered.create(tx, workspace, "m", tags={})
        where = f"0/{run}/artifacts/file0"
        registered_versions.add_version(tx, workspace, "m", source="x", location=where, run_id=other, tags={})
    put(workspace, f"run:{run}")
    assert purge(workspace, f"run:{run}").kept[0].why == "version 1 of 'm' names it"


def test_a_run_that_wrote_a_table_is_held_until_the_rows_are_cleaned_away(workspace: Workspace) -> None:
    run = new_run(workspace)
    table = TableVersion(
        id="flights/t@1", project="flights", name="t", created_at=workspace.clock.now(), number=1, version="1",
        change="overwrite", rows=1, added_rows=1, fingerprint="f", fields=(), run_id=run,
    )  # fmt: skip
    with workspace.ledger.write() as tx:
        entries.put(tx, table)
    put(workspace, f"run:{run}")
    assert purge(workspace, f"run:{run}").kept[0].why == "version 1 of the table 't' names it"
    with workspace.ledger.write() as tx:
        entries.put(tx, msgspec.structs.replace(table, cleaned_at=workspace.clock.now()))
    assert purge(workspace, f"run:{run}").records == 1


HOLDERS: dict[str, Callable[[ModelVersion], Any]] = {
    "revision 1 of the endpoint 'e' names it": lambda version: Revision(
        **common("flights/e/1", "e"), number=1, environment="dev", contract=Contract(fields=()), actor=Actor("ada"),
        served=Served(model="m", number=version.number, bundle=version.bundle),
    ),
    "the verdict that let it into prod names it": lambda version: Verdict(
        **common("v1"), bundle=version.bundle, gate="g", environment="prod", passed=True, outcomes=(), actor=Actor("a"),
    ),
    "an approval by ada names it": lambda version: Approval(
        **common("a1", "accountable"), bundle=version.bundle, actor=Actor("ada"), decision="approved"
    ),
}  # fmt: skip


def common(id: str, name: str = "") -> dict[str, Any]:
    return {"id": id, "project": "flights", "name": name, "created_at": datetime(2013, 4, 1, tzinfo=UTC)}


@pytest.mark.parametrize("why", HOLDERS)
def test_a_signed_version_that_serves_or_was_let_through_is_never_deleted(workspace: Workspace, why: str) -> None:
    version = new_signed(workspace, "m", b"weights")
    with workspace.ledger.write() as tx:
        entries.put(tx, HOLDERS[why](version))
    with pytest.raises(InvalidInput, match=why):
        put(workspace, "model:m:1")
    with pytest.raises(InvalidInput, match=why):
        put(workspace, "model:m")
    # Had it been put there before it was let through, it would stay there.
    with workspace.ledger.write() as tx:
        numbered.put_deleted(tx, workspace, version)
    assert [one.why for one in purge(workspace, "model:m:1").kept] == [why]
    assert len(blobs(workspace)) == 3


def test_a_champion_is_not_deleted_and_what_no_gate_let_through_gives_its_bytes_back(workspace: Workspace) -> None:
    one, two = new_signed(workspace, "m", b"first"), new_signed(workspace, "m", b"second")
    refused = Verdict(
        **common("v1"), bundle=one.bundle, gate="g", environment="dev", passed=False, outcomes=(), actor=Actor("a")
    )
    with workspace.ledger.write() as tx:
        numbered.point_alias(tx, workspace, "m", "champion", 2)
        entries.put(tx, refused)
    with pytest.raises(InvalidInput, match="the alias champion points at it"):
        put(workspace, "model:m:2")
    put(workspace, "model:m:1")
    done = purge(workspace, "model:m:1")
    assert (done.records, done.blobs) == (1, 2)
    # The verdict stays, and the manifest tells what was refused.
    assert blobs(workspace) == {digest(b"second"), two.manifest, two.signature, one.manifest}
    with workspace.ledger.read() as tx:
        assert numbered.look_up(tx, workspace.project, "m", "champion").number == 2


def test_an_event_keeps_what_it_tells_of_only_while_its_subject_is_there(workspace: Workspace) -> None:
    version = new_signed(workspace, "m", b"weights")
    told = workspace.blobs.put(b"told of")
    with workspace.ledger.write() as tx:
        numbered.put_deleted(tx, workspace, version)
        events.record(tx, workspace, "things.happen", "project:flights", digest=told)
        events.record(tx, workspace, "things.happen", f"model:{version.id}", digest=told)
    assert purge(workspace, "model:m:1").blobs == 3
    assert do(workspace, "trash.sweep", grace_days=0).blobs == 0
    assert blobs(workspace) == {told}


def test_what_came_over_http_goes_with_the_run_that_names_it(workspace: Workspace) -> None:
    for data in (b"logged", b"left"):
        assert do(workspace, "runs.upload", digest=digest(data), size=len(data), data=data).whole
    run = new_run(workspace, b"logged")
    assert do(workspace, "trash.sweep", grace_days=0).blobs == 1
    assert blobs(workspace) == {digest(b"logged")}
    put(workspace, f"run:{run}")
    assert purge(workspace, f"run:{run}").blobs == 1
    assert blobs(workspace) == set()


def test_the_files_of_a_bundle_that_stays_stay(workspace: Workspace) -> None:
    run = new_run(workspace, b"weights")
    new_signed(workspace, "m", b"weights")
    put(workspace, f"run:{run}")
    assert purge(workspace, f"run:{run}").blobs == 0
    assert digest(b"weights") in blobs(workspace)
    assert do(workspace, "trash.sweep", grace_days=0).blobs == 0


def test_numbers_go_on_after_a_model_was_purged_and_its_history_stays(workspace: Workspace) -> None:
    first = [new_version(workspace, "m").number for _ in range(3)]
    with workspace.ledger.write() as tx:
        registered_versions.move_to_stage(tx, workspace, "m", "2", "Production", archive=False)
        registered_versions.set_alias(tx, workspace, "m", "best", "3")
    put(workspace, "model:m")
    assert new_version(workspace, "m").number == 4, "the name is free at once"
    put(workspace, "model:m:4")
    done = purge(workspace, "model:m:1", "model:m:2", "model:m:3", "model:m:4")
    assert done.records == 4
    assert [first, new_version(workspace, "m").number] == [[1, 2, 3], 5]
    with workspace.ledger.read() as tx:
        assert [version.number for version in numbered.versions_in(tx, workspace.project, "m")] == [5]
    moves = history.model_history(workspace, GetHistory(name="m")).moves
    assert [(move.alias, move.number) for move in moves] == [
        ("stage Production", 2), ("best", 3), ("best", 0), ("stage Production", 0),
    ]  # fmt: skip


def test_a_model_comes_back_with_the_versions_that_went_with_it(workspace: Workspace, clock: SimulatedClock) -> None:
    for _ in range(3):
        new_version(workspace, "m")
    put(workspace, "model:m:2")
    pass_days(clock, 1)
    put(workspace, "model:m")
    with pytest.raises(InvalidInput, match="with its versions"):
        do(workspace, "trash.restore", items=["model:m:2"])
    do(workspace, "trash.restore", items=["model:m"])
    with workspace.ledger.read() as tx:
        assert [version.number for version in numbered.versions_in(tx, workspace.project, "m")] == [3, 1]
    do(workspace, "trash.restore", items=["model:m:2", "model:m"])
    with workspace.ledger.read() as tx:
        assert [version.number for version in numbered.versions_in(tx, workspace.project, "m")] == [3, 2, 1]
        assert numbered.latest_of(tx, workspace.project, "m").number == 3  # type: ignore[union-attr]
    put(workspace, "model:m")
    assert purge(workspace, "model:m").records == 4
    with pytest.raises(NotFound):
        do(workspace, "trash.restore", items=["model:m"])


def test_a_version_whose_number_another_has_by_a_renaming_stays_in_the_trash(workspace: Workspace) -> None:
    new_version(workspace, "m")
    put(workspace, "model:m")
    new_version(workspace, "n")
    with workspace.ledger.write() as tx:
        registered.rename(tx, workspace, "n", "m")
        (gone,) = [one for one in numbered.versions_in(tx, "flights", "m", deleted=True) if one.state]
    with workspace.ledger.write() as tx, pytest.raises(Conflict, match="renamed to it"):
        registered_versions.restore_version(tx, workspace, "m", gone.number)
    assert new_version(workspace, "m").number == 2
    assert new_version(workspace, "n").number == 2, "the audit log knows an 'n 1'"
    assert purge(workspace, older_than_days=0).records == 1


def test_a_logged_model_outlives_its_run_and_is_held_by_its_version(workspace: Workspace) -> None:
    run = new_run(workspace, b"plot")
    model = new_logged(workspace, b"weights", run_id=run)
    put(workspace, f"run:{run}")
    assert purge(workspace, f"run:{run}").blobs == 1
    with workspace.ledger.read() as tx:
        assert logged.get(tx, workspace, model).run_id == run
    new_version(workspace, "m", logged_id=model)
    put(workspace, f"logged:{model}")
    assert purge(workspace, f"logged:{model}").kept[0].why == "version 1 of 'm' names it"
    put(workspace, "model:m")
    done = purge(workspace, "model:m", f"logged:{model}")
    assert (done.records, done.blobs, blobs(workspace)) == (3, 1, set())


def test_a_run_that_logs_right_now_is_left_alone(workspace: Workspace) -> None:
    with tracking.start(workspace, "at work") as run:
        run.log_text("notes.txt", "words")
        run.flush()
        put(workspace, f"run:{run.id}")
        held = purge(workspace, f"run:{run.id}")
        assert [one.why for one in held.kept] == ["a process still logs to it: end it first"]
    assert purge(workspace, f"run:{run.id}").records >= 1
    assert blobs(workspace) == set()


def test_bytes_that_a_runs_file_names_are_not_swept(workspace: Workspace) -> None:
    stored = workspace.blobs.put(b"named by a file only")
    folder = workspace.root / "run-logs"
    folder.mkdir(parents=True, exist_ok=True)
    # The name lies across the border of what is read at once.
    (folder / f"{'a' * 32}.{'b' * 32}.runlog").write_bytes(b"." * ((1 << 20) - 30) + stored.encode() + b"..")
    assert RunFile.all_in(folder)
    assert do(workspace, "trash.sweep", grace_days=0).blobs == 0
    assert blobs(workspace) == {stored}


def test_a_sweep_takes_what_nothing_names_and_leaves_the_rest(workspace: Workspace) -> None:
    run = new_run(workspace, b"first", b"stays")
    with workspace.ledger.write() as tx:
        outside.store_file(tx, workspace, run, kept(workspace, "file0", b"second"))
    lost = workspace.root / "blobs" / "ab" / ".part-lost"
    gone = workspace.root / "blobs" / "ab" / ".gone-lost"
    lost.parent.mkdir(parents=True, exist_ok=True)
    for path in (lost, gone):
        path.write_bytes(b"12345")
    assert do(workspace, "trash.sweep").blobs == 0, "within the grace"
    foretold = do(workspace, "trash.sweep", grace_days=0, dry_run=True)
    assert (foretold.blobs, foretold.bytes, foretold.left_bytes) == (1, 5, 0)
    assert digest(b"first") in blobs(workspace)
    done = do(workspace, "trash.sweep", grace_days=0)
    assert (done.blobs, done.bytes) == (1, 5)
    assert blobs(workspace) == {digest(b"second"), digest(b"stays")}
    assert lost.exists(), "a writer may be at work"


def test_tidying_takes_only_what_is_old(tmp_path: Path) -> None:
    store = LocalBlobs(tmp_path)
    store.put(b"abc")
    (tmp_path / "ab").mkdir(exist_ok=True)
    (tmp_path / "ab" / ".part-x").write_bytes(b"12")
    (tmp_path / "ab" / ".gone-x").write_bytes(b"345")
    assert store.tidy(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert store.tidy(datetime.now(UTC) + timedelta(hours=1), dry_run=True) == 5
    assert store.tidy(datetime.now(UTC) + timedelta(hours=1)) == 5
    assert [path.name for path in tmp_path.rglob(".*")] == []


def test_the_files_of_a_file_set_stay(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(300):
        (folder / f"{number}.txt").write_bytes(b"%d" % number)
    add_folder(workspace, "photos", folder)
    run = new_run(workspace, b"7")
    put(workspace, f"run:{run}")
    assert purge(workspace, f"run:{run}").blobs == 0
    assert do(workspace, "trash.sweep", grace_days=0).blobs == 0
    assert {digest(b"%d" % number) for number in range(300)} <= blobs(workspace)


def test_other_projects_keep_what_they_name(workspace: Workspace) -> None:
    other = replace(workspace, project="others")
    register(other)
    theirs = new_run(other, b"shared")
    mine = new_run(workspace, b"shared")
    put(workspace, f"run:{mine}")
    with pytest.raises(NotFound):
        put(workspace, f"run:{theirs}")
    assert purge(workspace, f"run:{mine}").blobs == 0
    put(other, f"run:{theirs}")
    assert purge(workspace).items == ()
    assert purge(other, f"run:{theirs}").blobs == 1


def test_what_is_restored_between_the_look_and_the_removal_stays(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with workspace.ledger.write() as tx:
        number = experiments.create(tx, workspace, "tries", {}).id
    run, model = new_run(workspace, b"x", experiment=number), new_logged(workspace, b"y")
    new_version(workspace, "m")
    items = ("experiment:tries", f"run:{run}", "model:m", "model:m:1", f"logged:{model}")
    put(workspace, *items)

    def planned(asking: Workspace, named: tuple[str, ...]) -> Plan:
        plan = plan_named(asking, named)
        do(workspace, "trash.restore", items=items)
        return plan

    monkeypatch.setattr("slipway.flows.purge.plan_named", planned)
    done = purge(workspace, *items)
    assert (done.items, done.records, done.blobs) == ((), 0, 0)
    assert {one.item: one.why for one in done.kept} == dict.fromkeys(items, "it was taken out of the trash meanwhile")


def test_who_may_purge(workspace: Workspace) -> None:
    scientist = replace(workspace, actor=Actor("bob", roles=("data scientist",)))
    run = new_run(workspace, b"x")
    put(scientist, f"run:{run}")
    with pytest.raises(Denied):
        purge(scientist, f"run:{run}")
    keeper = replace(workspace, actor=Actor("eve", roles=("platform engineer",)))
    with pytest.raises(Denied):
        put(keeper, f"run:{run}")
    assert purge(keeper, f"run:{run}").records == 1


def test_steps_go_with_their_run_and_the_cache_forgets_them(workspace: Workspace) -> None:
    run = new_run(workspace)
    step = StepRun(
        **common(f"{run}.0", "train"), parent_id=run, state="finished", key="k",
        outputs=(kept(workspace, "result", b"result"),), closure=workspace.blobs.put(b"closure"),
    )  # fmt: skip
    with workspace.ledger.write() as tx:
        entries.put(tx, step)
        tx.set_ref(workspace.project, "cache", "k", step.id, expect=None)
        tx.set_ref(workspace.project, "cache", "other", "else.0", expect=None)
    put(workspace, f"run:{run}")
    done = purge(workspace, f"run:{run}")
    assert (done.records, done.blobs) == (2, 2)
    with workspace.ledger.read() as tx:
        assert tx.refs(workspace.project, "cache") == {"other": "else.0"}
        assert list(entries.every(tx, Run)) == []


def test_what_is_about_to_be_named_without_being_stored_again_is_not_deleted(workspace: Workspace) -> None:
    run = new_run(workspace)
    step = StepRun(
        **common(f"{run}.0", "train"), parent_id=run, state="finished", key="k",
        outputs=artifacts.store(workspace.blobs, cache.encode("value")),
    )  # fmt: skip
    with workspace.ledger.write() as tx:
        entries.put(tx, step)
        cache.remember(tx, step)
    workspace.blobs.put(b"sent before")
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    for asked in ("cache", "upload", "sync"):
        data = b"sent before" if asked != "cache" else workspace.blobs.get(step.outputs[0].digest)
        age(workspace, data)
        if asked == "cache":
            assert isinstance(cache.find(workspace, "k", place_of(())), cache.Hit)
        elif asked == "upload":
            assert do(workspace, "runs.upload", digest=digest(data), size=len(data)).whole
        else:
            named = ArtifactKept(kept_as("x", data))
            begun = Begun(Run(**common("c" * 32), actor=workspace.actor, started_at=an_hour_ago), "")
            header = FileBegun(EDITION, "flights", "c" * 32, "d" * 32)
            piece = MAGIC + b"".join(framed(entry) for entry in (header, begun, named))
            do(workspace, "runs.sync", run_id="c" * 32, writer="d" * 32, offset=0, data=piece)
        assert not workspace.blobs.delete(digest(data), put_before=an_hour_ago), asked


def kept_as(name: str, data: bytes) -> Artifact:
    stored = digest(data)
    return Artifact(name=name, digest=stored, fingerprint=stored, format="bytes", size_bytes=len(data))


def test_the_artifacts_of_a_run_that_has_many_go_with_it(workspace: Workspace) -> None:
    data = [b"artifact %d" % number for number in range(AT_MOST + 30)]
    run, other = new_run(workspace, *data), new_run(workspace, data[-1])
    with workspace.ledger.read() as tx:
        assert len(list(entries.every(tx, RunArtifact))) >= 30
    third = new_run(workspace, data[-2])
    put(workspace, f"run:{third}")
    assert purge(workspace, f"run:{third}").blobs == 0, "another run's entry of its own names it"
    put(workspace, f"run:{run}")
    done = purge(workspace, f"run:{run}")
    assert done.blobs == len(data) - 1
    assert blobs(workspace) == {digest(data[-1])}
    with workspace.ledger.read() as tx:
        assert list(entries.every(tx, RunArtifact)) == []
        assert outside.get(tx, workspace, other).artifacts[0].digest == digest(data[-1])


@pytest.mark.parametrize("inner_is_in_trash", [False, True])
def test_a_run_is_not_purged_before_those_inside_it(workspace: Workspace, inner_is_in_trash: bool) -> None:
    outer, middle, inner = (new_run(workspace) for _ in range(3))
    nested(workspace, outer, middle, inner)
    put(workspace, f"run:{outer}", f"run:{middle}", *([f"run:{inner}"] if inner_is_in_trash else []))
    for dry_run in (True, False):
        done = purge(workspace, f"run:{outer}", f"run:{middle}", dry_run=dry_run)
        assert done.items == ()
        assert {one.item: one.why for one in done.kept} == {
            f"run:{outer}": f"the run {middle} inside it stays",
            f"run:{middle}": f"the run {inner} inside it stays",
        }
    if not inner_is_in_trash:
        put(workspace, f"run:{inner}")
    together = [f"run:{one}" for one in (outer, inner, middle)]
    assert purge(workspace, *together).items == tuple(f"run:{one}" for one in (inner, middle, outer))


def test_a_run_stays_when_one_inside_it_turns_out_to_stay(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    outer, inner = new_run(workspace), new_run(workspace)
    nested(workspace, outer, inner)
    put(workspace, f"run:{outer}", f"run:{inner}")
    monkeypatch.setattr("slipway.flows.purge_records.is_at_work", lambda run: run.id == inner)
    for dry_run in (True, False):
        done = purge(workspace, f"run:{outer}", f"run:{inner}", dry_run=dry_run)
        assert (done.items, {one.item for one in done.kept}) == ((), {f"run:{outer}", f"run:{inner}"})


def test_runs_that_name_each_other_as_the_outer_one_can_be_purged(workspace: Workspace) -> None:
    one, other = new_run(workspace), new_run(workspace)
    nested(workspace, one, other, one)
    put(workspace, f"run:{one}", f"run:{other}")
    assert len(purge(workspace, f"run:{one}", f"run:{other}").items) == 2
