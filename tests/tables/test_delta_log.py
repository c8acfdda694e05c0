"""A table's versions read back by the tools that read Delta."""

import json
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from slipway.backends.clocks import SimulatedClock
from slipway.errors import Conflict, Corrupt, InvalidInput, NotFound
from slipway.operations.delta import DeltaExport, ExportDelta
from slipway.ports.workspace import Workspace
from slipway.records.tables import AboutTable
from slipway.tables import part_folders, parts, versions
from slipway.tables.catalog import manifest_of, subject
from slipway.tables.delta_export import export_delta
from slipway.tables.delta_log import LOG
from slipway.tables.versions import Origin, append, commit, overwrite, read

deltalake = pytest.importorskip("deltalake", reason="install it: pip install 'slipway[delta]'")
duckdb = pytest.importorskip("duckdb", reason="install it: pip install 'slipway[duckdb]'")

AT = datetime(2013, 1, 1, 5, 0, 0, 123456, tzinfo=UTC)


def rows(start: int, stop: int) -> pl.DataFrame:
    numbers = range(start, stop)
    return pl.DataFrame(
        {
            "id": list(numbers),
            "at": [AT + timedelta(hours=n) for n in numbers],
            "delay": [None if n % 3 == 0 else float("nan") if n % 7 == 0 else n / 2 for n in numbers],
            "name": [f"passenger {n}" for n in numbers],
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )


def export(workspace: Workspace, version: str = "") -> DeltaExport:
    return export_delta(workspace, ExportDelta(name="flights", version=version))


def root(workspace: Workspace) -> Path:
    return part_folders.table_folder(workspace, "flights").resolve()


def inodes(workspace: Workspace) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_size) for path in root(workspace).glob("*.parquet")}


def three_versions(workspace: Workspace, clock: SimulatedClock) -> list[pl.DataFrame]:
    overwrite(workspace, "flights", rows(0, 50), key=("id",), time="at")
    clock.advance_to(clock.now() + timedelta(days=1))
    append(workspace, "flights", rows(50, 60))
    clock.advance_to(clock.now() + timedelta(days=1))
    overwrite(workspace, "flights", rows(7, 9).with_columns(gate=pl.lit("B22")), key=("id",), time="at")
    return [rows(0, 50), rows(0, 60), rows(7, 9).with_columns(gate=pl.lit("B22"))]


def test_every_version_is_the_delta_version_of_its_number_for_every_reader(
    workspace: Workspace, clock: SimulatedClock
) -> None:
    expected = three_versions(workspace, clock)
    before = inodes(workspace)
    made = export(workspace)
    assert (made.number, made.files, Path(made.path)) == (3, 1, root(workspace))
    assert inodes(workspace) == before, "the parts are neither copied nor touched"
    assert [path.name for path in root(workspace).iterdir() if path.suffix != ".parquet"] == [LOG]
    for number, frame in enumerate(expected, start=1):
        delta = deltalake.DeltaTable(made.path, version=number)
        assert_frame_equal(pl.from_arrow(delta.to_pyarrow_table()).sort("id"), frame)
        assert_frame_equal(pl.scan_delta(made.path, version=number).collect().sort("id"), frame)
        found = duckdb.sql(f"select * from read_parquet({sorted(delta.file_uris())!r}) order by id").pl()
        found = found.with_columns(pl.col("at").dt.convert_time_zone("UTC"))
        assert_frame_equal(found, frame, check_dtypes=False)
    assert pl.scan_delta(made.path, version=0).collect().height == 0


def test_a_reader_that_prunes_by_statistics_loses_no_row(workspace: Workspace, clock: SimulatedClock) -> None:
    three_versions(workspace, clock)
    path = export(workspace).path
    both = pl.scan_delta(path, version=2)
    stored = read(workspace, "flights", versions.history(workspace, "flights")[1].version)
    for wanted in (
        pl.col("id") >= 50,
        pl.col("at") >= AT + timedelta(hours=59),
        pl.col("at") == AT + timedelta(hours=49),
        pl.col("delay").is_nan(),
        pl.col("delay") > 1e9,
        pl.col("name") == "passenger 59",
        pl.col("delay").is_null(),
    ):
        assert_frame_equal(both.filter(wanted).collect().sort("id"), stored.filter(wanted).collect().sort("id"))
    table = deltalake.DeltaTable(path, version=2)
    late = table.to_pyarrow_table(filters=[("at", ">=", AT + timedelta(hours=59))])
    assert late.num_rows == 1


def test_the_log_says_which_slipway_version_it_is_and_time_travels(workspace: Workspace, clock: SimulatedClock) -> None:
    three_versions(workspace, clock)
    made = export(workspace)
    known = versions.history(workspace, "flights")
    told = {one["version"]: one for one in deltalake.DeltaTable(made.path).history()}
    assert [told[v.number]["slipwayVersion"] for v in known] == [v.version for v in known]
    first_day = known[-1].created_at + timedelta(hours=1)
    assert deltalake.DeltaTable(made.path, version=2).version() == 2
    early = deltalake.DeltaTable(made.path)
    early.load_as_version(first_day)
    assert early.version() == 1
    with workspace.ledger.read() as tx:
        event = tx.events(subject=subject("flights", "flights"), after=0, limit=100)[-1]
    assert (event.verb, event.body["number"]) == ("delta.export", 3)


def test_exporting_again_adds_what_is_new_and_nothing_else(workspace: Workspace, clock: SimulatedClock) -> None:
    three_versions(workspace, clock)
    first = export(workspace)
    log = {path.name: path.read_bytes() for path in (root(workspace) / LOG).iterdir()}
    assert len(log) == 4
    assert export(workspace).written_bytes == 0
    append(workspace, "flights", rows(90, 91).with_columns(gate=pl.lit("A1")))
    again = export(workspace)
    assert (again.number, again.written_bytes > 0) == (4, True)
    now = {path.name: path.read_bytes() for path in (root(workspace) / LOG).iterdir()}
    assert {name: now[name] for name in log} == log
    assert again.log_bytes == first.log_bytes + again.written_bytes
    assert pl.scan_delta(again.path, version=4).collect().height == 3


def test_a_log_written_at_once_is_the_log_written_step_by_step(workspace: Workspace, clock: SimulatedClock) -> None:
    overwrite(workspace, "flights", rows(0, 50), key=("id",), time="at")
    export(workspace)
    append(workspace, "flights", rows(50, 60))
    export(workspace)
    overwrite(workspace, "flights", rows(1, 2), key=("id",), time="at")
    export(workspace)
    log = root(workspace) / LOG
    stepwise = {path.name: path.read_bytes() for path in log.iterdir()}
    for path in list(log.iterdir()):
        path.unlink()
    export(workspace)
    assert {path.name: path.read_bytes() for path in log.iterdir()} == stepwise


def test_the_log_of_one_version_with_many_parts_is_small(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 10)
    overwrite(workspace, "flights", rows(0, 1000), key=("id",), time="at")
    made = export(workspace)
    assert made.files == 100
    assert made.log_bytes < 100_000


def test_no_other_tool_may_write_to_it_or_vacuum_it(workspace: Workspace, clock: SimulatedClock) -> None:
    three_versions(workspace, clock)
    path = export(workspace).path
    stray = root(workspace) / "0000.parquet"
    rows(0, 1).write_parquet(stray)
    os.utime(stray, (1, 1))
    before = inodes(workspace)
    with pytest.raises(deltalake.exceptions.CommitFailedError, match="slipwayManaged"):
        deltalake.write_deltalake(path, rows(0, 1).to_arrow(), mode="append", schema_mode="merge")
    for full in (True, False):
        with pytest.raises(deltalake.exceptions.CommitFailedError, match="slipwayManaged"):
            deltalake.DeltaTable(path).vacuum(
                retention_hours=0, enforce_retention_duration=False, dry_run=False, full=full
            )
    assert inodes(workspace) == before


def test_every_type_that_delta_has_comes_back(workspace: Workspace) -> None:
    frame = pl.DataFrame(
        {
            "i8": pl.Series([1, -128], dtype=pl.Int8),
            "u32": pl.Series([1, 2**32 - 1], dtype=pl.UInt32),
            "f32": pl.Series([1.5, None], dtype=pl.Float32),
            "flag": [True, None],
            "day": [datetime(2020, 2, 29).date(), None],
            "here": pl.Series([AT, None]).dt.convert_time_zone("America/New_York"),
            "wall": [datetime(2020, 2, 29, 12), None],
            "carrier": pl.Series(["AA", "UA"], dtype=pl.Categorical),
            "codes": [[1, 2], None],
            "bytes": [b"\x00\xff", None],
            "fare": pl.Series([Decimal("12.50"), None], dtype=pl.Decimal(10, 2)),
            "nested": [{"a": 1, "b": [datetime(2020, 1, 1)]}, {"a": None, "b": None}],
            "ü ,;{}()=": ["odd", None],
        }
    )
    overwrite(workspace, "flights", frame)
    path = export(workspace).path
    plain = frame.with_columns(
        pl.col("i8", "f32"),
        pl.col("u32").cast(pl.Int64),
        pl.col("here").dt.convert_time_zone("UTC"),
        pl.col("carrier").cast(pl.String),
    )
    assert_frame_equal(pl.scan_delta(path, version=1).collect(), plain)
    assert_frame_equal(pl.from_arrow(deltalake.DeltaTable(path, version=1).to_pyarrow_table()), plain)


def test_enum_columns_say_how_polars_reads_them(workspace: Workspace) -> None:
    overwrite(workspace, "flights", pl.DataFrame({"carrier": pl.Series(["AA"], dtype=pl.Enum(["AA", "UA"]))}))
    made = export(workspace)
    assert any("use_pyarrow=True" in note and "carrier" in note for note in made.notes)
    assert pl.scan_delta(made.path, version=1, use_pyarrow=True).collect()["carrier"].to_list() == ["AA"]


@pytest.mark.parametrize("dtype", [pl.Duration("us"), pl.UInt64, pl.Time])
def test_a_type_that_delta_has_not_is_a_sentence_and_other_versions_are_still_told(
    workspace: Workspace, dtype: pl.DataType
) -> None:
    overwrite(workspace, "flights", pl.DataFrame({"x": pl.Series([1]).cast(pl.Int64).cast(dtype)}))
    overwrite(workspace, "flights", rows(0, 3))
    assert pl.scan_delta(export(workspace).path, version=2).collect().height == 3
    with pytest.raises(InvalidInput, match="Delta does not know"):
        export(workspace, "1")
    with pytest.raises(OSError, match="version-1-has-a-type-that-delta-has-not"):
        pl.scan_delta(str(root(workspace)), version=1).collect()


def test_a_version_with_renamed_columns_asks_for_compaction_and_never_gives_other_rows(workspace: Workspace) -> None:
    first = overwrite(workspace, "flights", rows(0, 5))
    manifest = manifest_of(workspace, first)
    part = manifest.parts[0]
    renamed = type(part)(digest=part.digest, rows=5, size_bytes=part.size_bytes, stats=part.stats, columns=((1, "id"),))
    fields = (type(manifest.fields[0])("number", "int", False), *manifest.fields[1:])
    other = type(manifest)(fields=fields, field_ids=manifest.field_ids, parts=(renamed,), blocks=manifest.blocks)
    draft = versions.Draft(manifest=other, change="alter", added_rows=0, fingerprint="0" * 64, data_until=None)
    commit(workspace, "flights", draft, former=first, origin=Origin())
    with pytest.raises(InvalidInput, match=r"needs compaction.*slipway data compact flights"):
        export(workspace)
    assert export(workspace, "1").number == 1
    with pytest.raises(OSError, match="version-2-needs-compaction"):
        pl.scan_delta(str(root(workspace)), version=2).collect()
    overwrite(workspace, "flights", rows(0, 2))
    assert pl.scan_delta(export(workspace).path, version=3).collect().height == 2


def test_rows_that_came_twice_are_not_lost(workspace: Workspace) -> None:
    overwrite(workspace, "flights", rows(0, 5))
    append(workspace, "flights", rows(0, 5))
    with pytest.raises(InvalidInput, match="the same file more than once"):
        export(workspace)


def test_personal_values_are_not_in_the_log(workspace: Workspace) -> None:
    about = AboutTable(personal=("name",))
    overwrite(workspace, "flights", rows(0, 5), origin=Origin(about=about))
    export(workspace)
    told = "".join(path.read_text() for path in (root(workspace) / LOG).iterdir())
    assert "passenger" not in told
    assert '\\"id\\":4' in told


def test_a_version_by_number_or_hash_and_an_unknown_one(workspace: Workspace, clock: SimulatedClock) -> None:
    three_versions(workspace, clock)
    hash_ = versions.history(workspace, "flights")[1].version
    assert export(workspace, hash_[:12]).number == export(workspace, "2").number == 2
    with pytest.raises(NotFound, match="has no version '9'"):
        export(workspace, "9")
    assert any("the newest in Delta is 3" in note for note in export(workspace, "2").notes)


def test_a_log_that_another_tool_wrote_stays_as_it_is(workspace: Workspace) -> None:
    overwrite(workspace, "flights", rows(0, 5))
    deltalake.write_deltalake(root(workspace), rows(0, 1).to_arrow())
    before = {path: path.read_bytes() for path in (root(workspace) / LOG).iterdir()}
    with pytest.raises(Conflict, match="not the one that Slipway wrote"):
        export(workspace)
    assert {path: path.read_bytes() for path in (root(workspace) / LOG).iterdir()} == before


def test_a_damaged_commit_is_a_sentence(workspace: Workspace) -> None:
    overwrite(workspace, "flights", rows(0, 5))
    export(workspace)
    (root(workspace) / LOG / f"{1:020d}.json").write_text('{"commitInfo": {"engi')
    with pytest.raises(Corrupt, match="commit 1"):
        export(workspace)


def test_every_line_of_the_log_is_one_action(workspace: Workspace, clock: SimulatedClock) -> None:
    three_versions(workspace, clock)
    export(workspace)
    for path in (root(workspace) / LOG).iterdir():
        for line in path.read_text().splitlines():
            assert len(json.loads(line)) == 1
