import os
import time
from datetime import timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest

from slipway.backends.clocks import SimulatedClock
from slipway.errors import Corrupt, InvalidInput, NotFound
from slipway.ledger import entries, lineage
from slipway.ports.workspace import Workspace
from slipway.records.runs import Artifact, Run
from slipway.tables import cleaning
from slipway.tables.catalog import history, manifest_of, node
from slipway.tables.cleaning import clean
from slipway.tables.compaction import compact
from slipway.tables.part_folders import part_path, table_folder
from slipway.tables.refs import branch, tag
from slipway.tables.versions import append, overwrite, read, verify

DAY = timedelta(days=1)


def rows(start: int, stop: int) -> pl.DataFrame:
    return pl.DataFrame({"id": range(start, stop)})


def grow(workspace: Workspace, versions: int) -> None:
    """Versions that share no part, long ago."""
    for n in range(versions):
        overwrite(workspace, "t", rows(n, n + 3))


def age(workspace: Workspace, clock: SimulatedClock) -> None:
    clock.advance_to(clock.now() + 10 * DAY)
    long_ago = time.time() - 10 * DAY.total_seconds()
    for path in table_folder(workspace, "t").iterdir():
        os.utime(path, (long_ago, long_ago))


def parts_of(workspace: Workspace, number: int) -> list[Path]:
    version = next(v for v in history(workspace, "t") if v.number == number)
    folder = table_folder(workspace, "t")
    return [part_path(folder, part.digest) for part in manifest_of(workspace, version).parts]


def test_what_nothing_names_is_cleaned_away_and_says_so(workspace: Workspace, clock: SimulatedClock) -> None:
    grow(workspace, 5)
    gone = parts_of(workspace, 2)
    age(workspace, clock)
    stray = table_folder(workspace, "t") / ".0123.tmp"
    stray.write_bytes(b"x" * 100)
    os.utime(stray, (0, 0))
    (would,) = clean(workspace, keep=2, dry_run=True)
    assert (would.versions, would.kept, would.parts) == ((1, 2, 3), 2, 3)
    (done,) = clean(workspace, keep=2)
    assert (done.versions, done.kept, done.parts) == ((1, 2, 3), 2, 3)
    assert done.bytes > 100
    assert not any(path.exists() for path in [*gone, stray])
    second = next(v for v in history(workspace, "t") if v.number == 2)
    with pytest.raises(NotFound, match=r"Version 2 of the table 't'.*were cleaned away on 2013-04-11"):
        read(workspace, "t", 2)
    with pytest.raises(NotFound, match="cleaned away on 2013-04-11"):
        tag(workspace, "t", "late", second.version)
    assert [verify(workspace, "t", n).number for n in (4, 5)] == [4, 5]
    assert clean(workspace, keep=2)[0] == msgspec.structs.replace(done, versions=(), parts=0, bytes=0)


def test_content_that_comes_back_is_there_again(workspace: Workspace, clock: SimulatedClock) -> None:
    grow(workspace, 3)
    age(workspace, clock)
    clean(workspace, keep=1)
    again = overwrite(workspace, "t", rows(0, 3))
    assert (again.number, again.cleaned_at) == (1, None)
    assert read(workspace, "t", 1).collect().equals(rows(0, 3))
    clean(workspace, keep=1)
    assert verify(workspace, "t") == again


def test_what_is_named_stays(workspace: Workspace, clock: SimulatedClock) -> None:
    grow(workspace, 9)
    by_number = {version.number: version for version in history(workspace, "t")}
    tag(workspace, "t", "golden", 1)
    branch(workspace, "t", "fix", 2)
    append(workspace, "t", rows(90, 91), branch="fix")
    nodes = {n: node("flights", "t", by_number[n].version) for n in by_number}
    data = msgspec.json.encode({"table": nodes[5], "views": [f"read at {nodes[6]}"]})
    kept = Artifact(
        name="training_set.json", digest=workspace.blobs.put(data), fingerprint="f", format="json", size_bytes=len(data)
    )
    now = clock.now()
    run = Run(id="r1", project="flights", created_at=now, started_at=now, actor=workspace.actor, artifacts=(kept,))
    with workspace.ledger.write() as tx:
        lineage.link(tx, nodes[3], "run:r0", "input")
        lineage.link(tx, "run:r0", nodes[4], "output")
        lineage.link(tx, nodes[7], nodes[8], "parent")
        entries.put(tx, run)
    age(workspace, clock)
    (done,) = clean(workspace, keep=1)
    assert done.versions == (7, 8)
    assert [verify(workspace, "t", n).number for n in (1, 2, 3, 4, 5, 6, 9, 10)] == [1, 2, 3, 4, 5, 6, 9, 10]


def test_what_is_young_stays(workspace: Workspace, clock: SimulatedClock) -> None:
    grow(workspace, 3)
    assert clean(workspace, keep=1)[0].versions == ()
    clock.advance_to(clock.now() + 10 * DAY)
    (done,) = clean(workspace, keep=1)
    assert (done.versions, done.parts) == ((1, 2), 0)
    assert clean(workspace, keep=1, grace=timedelta())[0].parts == 2


def test_parts_of_a_version_that_stays_are_kept_by_it(workspace: Workspace, clock: SimulatedClock) -> None:
    overwrite(workspace, "t", rows(0, 3))
    append(workspace, "t", rows(3, 6))
    compact(workspace, "t")
    append(workspace, "t", rows(6, 7))
    age(workspace, clock)
    (done,) = clean(workspace, keep=2)
    assert (done.versions, done.parts) == ((1, 2), 2)
    assert read(workspace, "t").collect().equals(rows(0, 7))


def test_a_manifest_that_cannot_be_read_stops_the_sweep(workspace: Workspace, clock: SimulatedClock) -> None:
    grow(workspace, 3)
    age(workspace, clock)
    newest = history(workspace, "t")[0].version
    (workspace.root / "blobs" / newest[:2] / newest[2:]).write_bytes(b"{}")
    before = sorted(table_folder(workspace, "t").iterdir())
    with pytest.raises(Corrupt, match="does not have the digest"):
        clean(workspace, keep=1)
    assert sorted(table_folder(workspace, "t").iterdir()) == before


def test_a_part_that_a_writer_wants_at_that_moment_stays(
    workspace: Workspace, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(workspace, 3)
    age(workspace, clock)
    rename = Path.rename

    def meanwhile(path: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        overwrite(workspace, "t", rows(0, 3))
        overwrite(workspace, "t", rows(1, 4))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", meanwhile)
    clean(workspace, keep=1)
    assert read(workspace, "t", 1).collect().equals(rows(0, 3))
    assert read(workspace, "t", 2).collect().equals(rows(1, 4))


def test_a_cleaning_that_keeps_nothing_is_refused(workspace: Workspace) -> None:
    with pytest.raises(InvalidInput, match="cannot keep 0 versions"):
        clean(workspace, keep=0)
    with pytest.raises(NotFound, match="no table 'nothing'"):
        clean(workspace, ["nothing"])
    assert cleaning.clean(workspace) == ()
