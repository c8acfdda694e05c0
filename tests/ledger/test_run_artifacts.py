"""A run with many artifacts reads as any other, and one more costs the same however many there are."""

import random
import sqlite3

import msgspec
import pytest

from slipway.errors import InvalidInput
from slipway.hashing import digest
from slipway.ledger import entries, run_artifacts, run_log
from slipway.ledger.reindex import index_anew
from slipway.ports.workspace import Workspace
from slipway.records.runs import Artifact, Run, RunArtifact
from slipway.runs import outside, search, tracking


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_artifacts, "AT_MOST", 5)


def made(name: str, text: str = "") -> Artifact:
    found = digest((text or name).encode())
    return Artifact(name=name, digest=found, fingerprint=found, format="bytes", size_bytes=1)


def begun(workspace: Workspace) -> str:
    with workspace.ledger.write() as tx:
        return outside.create(tx, workspace, experiment="0", tags={}).id


def store(workspace: Workspace, id: str, *files: Artifact) -> None:
    for file in files:
        with workspace.ledger.write() as tx:
            outside.store_file(tx, workspace, id, file)


def drop(workspace: Workspace, id: str, path: str) -> None:
    with workspace.ledger.write() as tx:
        outside.drop_files(tx, workspace, id, path)


def apart(workspace: Workspace, id: str) -> list[RunArtifact]:
    with workspace.ledger.read() as tx:
        return entries.find(tx, RunArtifact, parent=id, limit=10_000)


FILES = tuple(made(f"plots/{n // 4}/{n}.png") for n in range(20))


@pytest.mark.parametrize("page", [2, 5000])
def test_whoever_reads_a_run_gets_all_in_order(
    workspace: Workspace, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_artifacts, "_PAGE", page)
    id = begun(workspace)
    store(workspace, id, *FILES)
    assert search.get_run(workspace, id).artifacts == FILES
    assert search.get_run(workspace, id[:20]).artifacts == FILES
    assert [len(run.artifacts) for run in search.list_runs(workspace)] == [5], "a page of runs does not read them all"
    with workspace.ledger.read() as tx:
        assert outside.get(tx, workspace, id).artifacts == FILES
        assert [run.artifacts for run in entries.every(tx, Run)] == [FILES]
        assert len(entries.as_stored(tx, Run, id).artifacts) == 5
    assert sum(one.artifact is not None for one in apart(workspace, id)) == 15


def test_storing_what_was_read_changes_nothing_and_keeps_what_changed(workspace: Workspace) -> None:
    id = begun(workspace)
    store(workspace, id, *FILES)
    for read in (entries.get, entries.as_stored):
        with workspace.ledger.write() as tx:
            entries.put(tx, msgspec.structs.replace(read(tx, Run, id), state="failed"))
        assert search.get_run(workspace, id).artifacts == FILES
    other = (*FILES[:3], made(FILES[3].name, "x"), *FILES[4:18], made(FILES[18].name, "y"), FILES[19])
    with workspace.ledger.write() as tx:
        entries.put(tx, msgspec.structs.replace(entries.get(tx, Run, id), artifacts=other))
    assert set(search.get_run(workspace, id).artifacts) == set(other)
    with workspace.ledger.write() as tx:
        tx.set_ref("", "search", "edition", "0", expect=tx.ref("", "search", "edition"))
    assert index_anew(workspace.ledger) > 0
    assert set(search.get_run(workspace, id).artifacts) == set(other)


def test_a_run_that_has_many_from_the_start_is_parted_when_it_is_stored(workspace: Workspace) -> None:
    id = begun(workspace)
    with workspace.ledger.write() as tx:
        entries.put(tx, msgspec.structs.replace(entries.get(tx, Run, id), artifacts=FILES))
    assert search.get_run(workspace, id).artifacts == FILES
    assert sum(one.artifact is not None for one in apart(workspace, id)) == 15


def test_a_path_is_a_file_or_a_folder(workspace: Workspace) -> None:
    id = begun(workspace)
    store(workspace, id, *FILES, made("late/deep/in/a.txt"))
    for name in ("late", "late/deep/in", "late/deep/in/a.txt/b", "plots/0", "plots/0/0.png/x", "plots/4/19.png/x"):
        with pytest.raises(InvalidInput, match="cannot be stored beside"):
            store(workspace, id, made(name))
    drop(workspace, id, "late/deep")
    store(workspace, id, made("late"))
    assert search.get_run(workspace, id).artifacts[-1] == made("late")


def test_files_and_folders_are_dropped(workspace: Workspace) -> None:
    id = begun(workspace)
    store(workspace, id, *FILES)
    drop(workspace, id, "plots/4")
    drop(workspace, id, "plots/0")
    drop(workspace, id, FILES[9].name)
    assert search.get_run(workspace, id).artifacts == tuple(one for one in FILES[4:16] if one != FILES[9])
    drop(workspace, id, "")
    assert search.get_run(workspace, id).artifacts == ()
    assert apart(workspace, id) == []


def test_it_is_as_if_all_stood_in_the_record(workspace: Workspace) -> None:
    """Random changes, beside the plain rule: the last of a name counts, and comes last."""
    chance = random.Random(5)
    names = [f"{folder}{n}" for folder in ("", "a/", "a/b/", "c/") for n in range(6)]
    for _ in range(6):
        id, plain = begun(workspace), dict[str, Artifact]()
        for n in range(60):
            if chance.random() < 0.1:
                path = chance.choice(["a/b", "c", "a", chance.choice(names)])
                drop(workspace, id, path)
                plain = {k: v for k, v in plain.items() if k != path and not k.startswith(f"{path}/")}
                continue
            file = made(chance.choice(names), str(n))
            store(workspace, id, file)
            plain[file.name] = file
        assert {one.name: one for one in search.get_run(workspace, id).artifacts} == plain


def test_native_runs_too(workspace: Workspace) -> None:
    with tracking.start(workspace, system_metrics=False) as run:
        for n in range(20):
            run.log_text(f"notes/{n}.txt", str(n))
            if n % 3 == 0:
                run.flush()
        run.log_text("notes/2.txt", "again")
        run.log_text("notes/18.txt", "again")
        told = run.record.artifacts
    stored = search.get_run(workspace, run.id)
    assert {one.name: one for one in stored.artifacts} == {one.name: one for one in told}
    assert len(stored.artifacts) == 20
    assert run.record.artifacts == told
    assert [one.name for one in told[-2:]] == ["notes/2.txt", "notes/18.txt"]
    with pytest.raises(InvalidInput, match="cannot be stored beside"):
        store(workspace, run.id, made("notes"))


def test_one_more_costs_the_same(workspace: Workspace) -> None:
    """Counted in bytes that are written, not in seconds."""
    connection: sqlite3.Connection = workspace.ledger._connection()  # type: ignore[attr-defined]

    def written(id: str, count: int, first: int) -> int:
        seen: list[str] = []
        connection.set_trace_callback(seen.append)
        store(workspace, id, *(made(f"p/{n}") for n in range(first, first + count)))
        connection.set_trace_callback(None)
        return sum(map(len, seen))

    id = begun(workspace)
    store(workspace, id, *(made(f"p/{n}") for n in range(20)))
    early = written(id, 10, 100)
    store(workspace, id, *(made(f"p/{n}") for n in range(200, 500)))
    assert written(id, 10, 1000) < 1.2 * early


def test_a_log_goes_on_with_what_there_is(workspace: Workspace) -> None:
    id = begun(workspace)
    store(workspace, id, *FILES)
    with workspace.ledger.write() as tx:
        outside.update(tx, workspace, id, state="failed")
    log = run_log.resume(workspace, search.get_run(workspace, id))
    log.add_artifact(made("more"))
    assert log.run.artifacts == (*FILES, made("more"))
    log.finish()
    assert search.get_run(workspace, id).artifacts == (*FILES, made("more"))
