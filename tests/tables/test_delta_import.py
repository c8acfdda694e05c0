"""Versions of Delta tables become versions of tables, without a copy where that can be."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from slipway.errors import Corrupt, InvalidInput, NotFound
from slipway.operations.delta import ExportDelta
from slipway.ports.workspace import Workspace
from slipway.schema.frame_digests import of_frame
from slipway.tables import part_folders, versions
from slipway.tables.delta_export import export_delta
from slipway.tables.delta_import import import_delta
from slipway.tables.versions import append, overwrite, read, verify

deltalake = pytest.importorskip("deltalake", reason="install it: pip install 'slipway[delta]'")

AT = datetime(2013, 1, 1, 5, tzinfo=UTC)


def rows(start: int, stop: int) -> pl.DataFrame:
    numbers = range(start, stop)
    return pl.DataFrame(
        {
            "id": list(numbers),
            "at": [AT + timedelta(hours=n) for n in numbers],
            "name": [None if n % 3 == 0 else f"n{n}" for n in numbers],
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )


@pytest.fixture
def delta(tmp_path: Path) -> Path:
    """Versions 0 (50 rows) and 1 (60 rows in two files)."""
    place = tmp_path / "delta"
    deltalake.write_deltalake(place, rows(0, 50).to_arrow())
    deltalake.write_deltalake(place, rows(50, 60).to_arrow(), mode="append")
    return place


def inodes(folder: Path) -> set[int]:
    return {path.stat().st_ino for path in folder.glob("*.parquet")}


def test_files_become_parts_and_no_byte_is_copied(workspace: Workspace, delta: Path) -> None:
    done = import_delta(workspace, "flights", str(delta), key=("id",), time="at")
    assert (done.number, done.files, done.copied_bytes, done.why_copied) == (1, 2, 0, "")
    assert inodes(part_folders.table_folder(workspace, "flights")) == inodes(delta)
    content = read(workspace, "flights").collect()
    assert_frame_equal(content.sort("id"), rows(0, 60))
    made = done.version
    assert made.source == f"Delta table {delta}, version 1"
    assert (made.fingerprint, made.rows) == (of_frame(content), 60)
    assert made.data_until == AT + timedelta(hours=59)
    verify(workspace, "flights")
    with workspace.ledger.read() as tx:
        links = tx.links(f"delta:{delta}@1", towards=False)
    assert [link.target for link in links] == [f"table:flights/flights@{made.version}"]


def test_an_older_version_and_then_the_next_share_their_parts(workspace: Workspace, delta: Path) -> None:
    first = import_delta(workspace, "flights", str(delta), version=0)
    assert read(workspace, "flights").collect().height == 50
    second = import_delta(workspace, "flights", str(delta))
    assert (first.version.number, second.version.number) == (1, 2)
    assert inodes(part_folders.table_folder(workspace, "flights")) == inodes(delta)
    again = import_delta(workspace, "flights", str(delta))
    assert again.version == second.version


def test_a_vacuum_over_there_takes_nothing_from_here(workspace: Workspace, delta: Path) -> None:
    import_delta(workspace, "flights", str(delta))
    deltalake.write_deltalake(delta, rows(0, 1).to_arrow(), mode="overwrite")
    deltalake.DeltaTable(delta).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert len(list(delta.glob("*.parquet"))) == 1
    verify(workspace, "flights")
    assert read(workspace, "flights").collect().height == 60
    with pytest.raises(NotFound, match=r"was vacuumed: 2 of 2 files of version 1 are gone"):
        import_delta(workspace, "flights", str(delta), version=1)


def test_appending_goes_on_after_an_import(workspace: Workspace, delta: Path) -> None:
    import_delta(workspace, "flights", str(delta))
    made = append(workspace, "flights", rows(60, 65))
    content = read(workspace, "flights").collect()
    assert (made.rows, made.fingerprint) == (65, of_frame(content))


def test_what_files_alone_do_not_tell_is_read_and_written(workspace: Workspace, tmp_path: Path) -> None:
    place = tmp_path / "parted"
    frame = rows(0, 20).with_columns(city=pl.Series(["Ulm", "Bern"] * 10))
    deltalake.write_deltalake(place, frame.to_arrow(), partition_by=["city"])
    done = import_delta(workspace, "flights", str(place), key=("id",))
    assert done.files == 0
    assert done.copied_bytes > 0
    assert "the values of city are in the names of its folders" in done.why_copied
    assert_frame_equal(read(workspace, "flights").collect().sort("id"), frame, check_column_order=False)


def test_deleted_rows_do_not_come_back(workspace: Workspace, delta: Path) -> None:
    deltalake.DeltaTable(delta).delete("id < 10")
    import_delta(workspace, "flights", str(delta))
    assert read(workspace, "flights").collect()["id"].sort().to_list() == list(range(10, 60))


def test_another_disk_means_a_copy_that_is_told(
    workspace: Workspace, delta: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_disk(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_disk)
    done = import_delta(workspace, "flights", str(delta))
    assert done.copied_bytes == sum(path.stat().st_size for path in delta.glob("*.parquet"))
    assert done.why_copied == "the files lie on another disk"
    assert_frame_equal(read(workspace, "flights").collect().sort("id"), rows(0, 60))


def test_an_exported_table_is_imported_again(workspace: Workspace) -> None:
    overwrite(workspace, "old", rows(0, 30), key=("id",))
    path = export_delta(workspace, ExportDelta(name="old")).path
    done = import_delta(workspace, "new", path, key=("id",))
    assert done.copied_bytes == 0
    assert read(workspace, "new").collect().equals(rows(0, 30))


def test_bad_tables_are_sentences_and_make_no_version(workspace: Workspace, delta: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no Delta table at"):
        import_delta(workspace, "flights", str(tmp_path / "nothing"))
    with pytest.raises(NotFound, match=r"no version 9 .*newest one is 1"):
        import_delta(workspace, "flights", str(delta), version=9)
    with pytest.raises(InvalidInput, match="'code' is not in the table"):
        import_delta(workspace, "flights", str(delta), key=("code",))
    file = next(delta.glob("*.parquet"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(Corrupt, match="cannot be read"):
        import_delta(workspace, "flights", str(delta))
    (delta / "_delta_log" / f"{0:020d}.json").write_text("{")
    with pytest.raises(Corrupt, match="cannot be read"):
        import_delta(workspace, "flights", str(delta))
    with pytest.raises(NotFound):
        versions.head(workspace, "flights")


def test_a_file_that_changes_later_is_noticed(workspace: Workspace, delta: Path) -> None:
    import_delta(workspace, "flights", str(delta))
    file = next(delta.glob("*.parquet"))
    data = bytearray(file.read_bytes())
    data[20] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(Corrupt, match="other bytes than its digest says"):
        verify(workspace, "flights")
