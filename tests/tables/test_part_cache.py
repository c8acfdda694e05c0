"""Two machines with one ledger and one place for parts: what one writes the other reads, and what is erased is gone."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from slipway.backends.clocks import SimulatedClock
from slipway.backends.local_blobs import LocalBlobs
from slipway.backends.sqlite_ledger import SqliteLedger
from slipway.errors import Corrupt, Unavailable
from slipway.flows.erase import erase
from slipway.hosts.controller import Controller
from slipway.operations.erasures import Erase
from slipway.ports.workspace import Workspace, current_workspace
from slipway.records.tables import AboutTable
from slipway.tables import parts, row_batches
from slipway.tables.cleaning import clean
from slipway.tables.part_cache import forget_erased
from slipway.tables.part_folders import PartFolder, folder_of, table_folder
from slipway.tables.versions import Origin, append, overwrite, read, verify

ADA = "ada@example.org"


class Bucket:
    """What stands for the object store: a folder that both machines see."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def parts(self, project: str, table: str) -> LocalBlobs:
        return LocalBlobs(self.folder / "tables" / project / table)

    def holding(self, text: str) -> list[Path]:
        return holding(self.folder, text)


def holding(folder: Path, text: str) -> list[Path]:
    """The files of a folder in which the text is, in plain sight or inside Parquet."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith("ledger.db"):
            data = path.read_bytes()
            inside = str(pl.read_parquet(data).to_dict(as_series=False)) if data[:4] == b"PAR1" else ""
            if text in inside or text.encode() in data:
                found.append(path)
    return found


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    return Bucket(tmp_path / "bucket")


@pytest.fixture
def a(workspace: Workspace, bucket: Bucket) -> Iterator[Workspace]:
    opened = replace(workspace, blobs=LocalBlobs(bucket.folder / "blobs"), open_parts=bucket.parts)
    with current_workspace.filled(opened):
        yield opened


@pytest.fixture
def b(a: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    ledger = SqliteLedger(a.root / "ledger.db")
    yield replace(a, root=tmp_path / "other", ledger=ledger)
    ledger.close()


def people(start: int, stop: int, *, ada: int | None = None) -> pl.DataFrame:
    numbers = range(start, stop)
    return pl.DataFrame({"email": [ADA if n == ada else f"p{n}@example.org" for n in numbers], "age": [*numbers]})


def erased(workspace: Workspace) -> None:
    report = erase(workspace, Erase(table="people", key=(ADA,), reason="request 17"))
    assert report.left == 0


def test_each_machine_reads_and_continues_what_the_other_wrote(a: Workspace, b: Workspace) -> None:
    overwrite(a, "people", people(0, 300))
    assert read(b, "people").collect().equals(people(0, 300))
    append(b, "people", people(300, 320))
    assert read(a, "people").collect().equals(people(0, 320))
    assert read(a, "people", 1).collect().height == 300
    assert verify(a, "people").rows == verify(b, "people").rows == 320


def test_the_folder_is_a_cache_that_may_be_removed_at_any_time(a: Workspace) -> None:
    overwrite(a, "people", people(0, 300))
    append(a, "people", people(300, 320))
    shutil.rmtree(a.root / "tables")
    assert read(a, "people").collect().equals(people(0, 320))
    append(a, "people", people(320, 330))
    assert read(a, "people").collect().height == 330


def test_only_parts_that_are_read_are_fetched(a: Workspace, b: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 50)
    overwrite(a, "people", people(0, 300))
    rows = row_batches.batches_of(b, overwrite(a, "people", people(0, 300)))
    with current_workspace.filled(b):
        next(iter(rows.by(50)))
        assert len(list(table_folder(b, "people").glob("*.parquet"))) == 1
        assert rows.scan().collect().height == 300
    assert len(list(table_folder(b, "people").glob("*.parquet"))) == 6


def test_a_training_set_is_read_where_no_store_is_open(a: Workspace, b: Workspace, tmp_path: Path) -> None:
    """A step in a process of its own: whoever hands it over has fetched the files of this machine."""
    made = row_batches.batches_of(a, overwrite(a, "people", people(0, 300)))
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    made.slipway_save(tmp_path / "there")
    with current_workspace.filled(b):
        row_batches.Batches.slipway_load(tmp_path / "there").slipway_save(tmp_path / "here")
    shutil.rmtree(a.root / "tables")
    with current_workspace.filled(None):
        assert row_batches.Batches.slipway_load(tmp_path / "here").scan().collect().height == 300


def test_a_damaged_copy_is_fetched_again_and_a_part_that_is_nowhere_is_said(a: Workspace, bucket: Bucket) -> None:
    overwrite(a, "people", people(0, 300))
    (copy,) = table_folder(a, "people").glob("*.parquet")
    copy.write_bytes(b"short")
    assert read(a, "people").collect().height == 300
    whole = copy.read_bytes()
    copy.write_bytes(whole[:-1] + b"x")
    verify(a, "people")
    assert copy.read_bytes() == whole
    shutil.rmtree(bucket.folder / "tables")
    with pytest.raises(Corrupt, match="is missing in the object store"):
        verify(a, "people")
    copy.unlink()
    with pytest.raises(Corrupt, match=r"is missing.*under tables/ in the object store"):
        read(a, "people")


def test_parts_are_kept_before_the_version_is_known(a: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    overwrite(a, "people", people(0, 300))

    def away(self: PartFolder, paths: object) -> None:
        raise Unavailable("The object store s3://b cannot be reached.", fix="Try again later.")

    monkeypatch.setattr(PartFolder, "keep", away)
    with pytest.raises(Unavailable, match="cannot be reached"):
        append(a, "people", people(300, 320))
    assert read(a, "people").collect().height == 300


def test_erased_rows_are_gone_from_the_bucket_and_from_what_the_other_machine_reads(
    a: Workspace, b: Workspace, bucket: Bucket, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 50)
    version = overwrite(
        a, "people", people(0, 300, ada=120), key=("email",), origin=Origin(about=AboutTable(personal=("email",)))
    )
    append(a, "people", people(300, 310))
    held = row_batches.batches_of(a, version)
    assert holding(a.root, ADA)
    assert bucket.holding(ADA)
    erased(b)
    assert not bucket.holding(ADA)
    assert not holding(b.root, ADA)
    with pytest.raises(Corrupt, match="is missing"):  # it names the part as it was
        held.scan()
    assert not holding(a.root, ADA), "reading removed it"
    assert read(a, "people", version.version).collect().height == 299


@pytest.mark.parametrize("how", ["read", "clean", "tick"])
def test_a_copy_that_was_erased_elsewhere_is_removed(a: Workspace, b: Workspace, how: str) -> None:
    about = Origin(about=AboutTable(personal=("email",)))
    overwrite(a, "people", people(0, 300, ada=120), key=("email",), origin=about)
    overwrite(a, "other", people(0, 3))
    erased(b)
    assert holding(a.root, ADA)
    acts: dict[str, Callable[[], object]] = {
        "read": lambda: read(a, "other"),
        "clean": lambda: clean(a, ["other"]),
        "tick": Controller(a).look,
    }
    acts[how]()
    assert not holding(a.root, ADA)


def test_a_copy_that_was_on_its_way_during_an_erasure_goes_with_the_next_cleaning(a: Workspace, b: Workspace) -> None:
    about = Origin(about=AboutTable(personal=("email",)))
    overwrite(a, "people", people(0, 300, ada=120), key=("email",), origin=about)
    (copy,) = table_folder(a, "people").glob("*.parquet")
    late = copy.read_bytes()
    erased(b)
    read(a, "people")
    copy.write_bytes(late)
    assert forget_erased(a) == 0
    clean(a)
    assert not copy.exists()


def test_an_orphan_with_a_persons_rows_is_erased_where_parts_are_kept(
    a: Workspace, b: Workspace, bucket: Bucket
) -> None:
    about = Origin(about=AboutTable(personal=("email",)))
    overwrite(a, "people", people(0, 300, ada=120), key=("email",), origin=about)
    with parts.PartWriter(a, "people") as writer:
        left = writer.write(people(0, 5, ada=2))
    shutil.rmtree(a.root / "tables")
    report = erase(b, Erase(table="people", key=(ADA,), reason="request 17"))
    assert report.left == 1, "it is young: somebody may be at work on it"
    assert bucket.holding(ADA)
    os.utime(bucket.folder / "tables" / "flights" / "people" / left.digest[:2] / left.digest[2:], (1, 1))
    assert erase(b, Erase(table="people", key=(ADA,), reason="request 17")).left == 0
    assert not bucket.holding(ADA)


def test_a_cleaning_frees_the_bucket_and_the_folder(
    a: Workspace, b: Workspace, bucket: Bucket, clock: SimulatedClock
) -> None:
    overwrite(a, "people", people(0, 300))
    overwrite(a, "people", people(300, 310))
    read(b, "people", 1)
    clock.advance_to(clock.now() + timedelta(days=30))
    for path in (*bucket.folder.rglob("*"), *a.root.rglob("*.parquet")):
        os.utime(path, (time.time() - 30 * 86_400,) * 2)
    would = clean(a, keep=1, dry_run=True)
    done = clean(a, keep=1)
    assert would[0].parts == done[0].parts == 1
    assert would[0].bytes == done[0].bytes
    kept = folder_of(a, "people").kept
    assert kept is not None
    assert len(list(kept.stored())) == 1
    assert len(list(table_folder(a, "people").glob("*.parquet"))) == 1
    assert len(list(table_folder(b, "people").glob("*.parquet"))) == 1, "a copy that nobody asked to be cleaned"
    for path in b.root.rglob("*.parquet"):
        os.utime(path, (time.time() - 30 * 86_400,) * 2)
    assert clean(b, keep=1)[0].parts == 1
    assert not list(table_folder(b, "people").glob("*.parquet"))
    assert read(b, "people").collect().height == 10


def test_what_is_written_again_is_no_more_old(a: Workspace, bucket: Bucket) -> None:
    version = overwrite(a, "people", people(0, 300))
    kept = folder_of(a, "people").kept
    assert kept is not None
    (one,) = kept.stored()
    os.utime(bucket.folder / "tables" / "flights" / "people" / one.digest[:2] / one.digest[2:], (1, 1))
    overwrite(a, "people", people(0, 5))
    assert overwrite(a, "people", people(0, 300)).version == version.version
    assert not kept.delete(one.digest, put_before=datetime.now(UTC) - timedelta(hours=1))
