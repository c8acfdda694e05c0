import os
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.backends.clocks import SimulatedClock
from slipway.errors import BackendError, Conflict, Corrupt, InvalidInput, NotFound
from slipway.ledger import lineage
from slipway.operations.tables import GetTable, ListTables
from slipway.ports.workspace import Workspace
from slipway.records.schema import Field
from slipway.records.tables import AboutTable
from slipway.schema import frame_digests
from slipway.schema.fingerprints import of_frame
from slipway.tables import browse, catalog, commits, part_folders, parts, staging, versions
from slipway.tables.catalog import manifest_of, node
from slipway.tables.staging import stage
from slipway.tables.versions import Origin, append, as_of, get, head, history, overwrite, read, reads, verify

AT = datetime(2013, 1, 1, 5, tzinfo=UTC)


def rows(start: int, stop: int) -> pl.DataFrame:
    numbers = range(start, stop)
    return pl.DataFrame(
        {
            "id": list(numbers),
            "at": [AT + timedelta(hours=n) for n in numbers],
            "delay": [None if n % 3 == 0 else n / 2 for n in numbers],
            "carrier": ["AA" if n % 2 else "UA" for n in numbers],
        },
        schema={
            "id": pl.Int64,
            "at": pl.Datetime("us", "UTC"),
            "delay": pl.Float64,
            "carrier": pl.Enum(["AA", "UA"]),
        },
    )


def files(workspace: Workspace, table: str = "flights") -> set[str]:
    return {path.name for path in part_folders.table_folder(workspace, table).glob("*")}


def test_a_version_says_what_it_is_and_reads_back(workspace: Workspace, clock: SimulatedClock) -> None:
    made = overwrite(workspace, "flights", rows(0, 5), key=("id",), time="at", origin=Origin(source="a test"))
    assert (made.number, made.rows, made.added_rows, made.change) == (1, 5, 5, "overwrite")
    assert made.id == f"flights/flights@{made.version}"
    assert made.fields[0] == Field("id", "int", False)
    assert made.fields[3].categories == ("AA", "UA")
    assert made.data_until == AT + timedelta(hours=4)
    assert made.created_at == clock.now()
    assert made.fingerprint == of_frame(read(workspace, "flights")) == of_frame(rows(0, 5))
    assert head(workspace, "flights") == get(workspace, "flights", made.version) == verify(workspace, "flights") == made


def test_a_manifest_prunes_and_names_every_part(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 2)
    made = overwrite(workspace, "flights", rows(0, 5), key=("id",), time="at")
    manifest = manifest_of(workspace, made)
    assert [part.rows for part in manifest.parts] == [2, 2, 1]
    assert files(workspace) == {f"{part.digest}.parquet" for part in manifest.parts}
    stats = manifest.parts[1].stats
    assert (stats["id"].nulls, stats["id"].low, stats["id"].high) == (0, 2, 3)
    assert (stats["delay"].nulls, stats["delay"].low) == (1, 1.0)
    assert stats["at"].low == int((AT + timedelta(hours=2)).timestamp()) * 1_000_000
    assert stats["carrier"].low is None
    assert (manifest.key, manifest.time, manifest.rows) == (("id",), "at", 5)


def test_the_same_content_makes_no_new_version(workspace: Workspace) -> None:
    first = overwrite(workspace, "flights", rows(0, 5), key=("id",))
    chunked = pl.concat([rows(0, 2), rows(2, 5)], rechunk=False)
    assert overwrite(workspace, "flights", chunked.lazy(), key=("id",)) == first
    assert overwrite(workspace, "flights", chunked, key=("id", "at")).number == 2
    assert len(files(workspace)) == 1


def test_chunks_leave_no_trace_in_the_bytes(workspace: Workspace) -> None:
    whole = pl.DataFrame({"n": range(300_000)})
    chunked = pl.concat([whole.head(1000), whole.slice(1000)], rechunk=False)
    assert stage(workspace, "t", chunked) == stage(workspace, "t", whole)


def test_an_append_leaves_old_parts_alone_and_equals_an_overwrite(workspace: Workspace) -> None:
    first = overwrite(workspace, "flights", rows(0, 5), key=("id",), time="at")
    second = append(workspace, "flights", rows(5, 9).select("carrier", "id", "delay", "at"))
    assert (second.number, second.parent, second.rows, second.added_rows) == (2, first.version, 9, 4)
    assert second.data_until == AT + timedelta(hours=8)
    old, new = manifest_of(workspace, first), manifest_of(workspace, second)
    assert new.parts[:1] == old.parts
    assert new.field_ids == old.field_ids
    assert read(workspace, "flights").collect().equals(rows(0, 9))
    assert read(workspace, "flights", first.version).collect().equals(rows(0, 5))
    assert overwrite(workspace, "flights", rows(0, 9), key=("id",), time="at") == second


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_the_fingerprint_does_not_tell_how_rows_came(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, sizes: list[int]
) -> None:
    for module in (frame_digests, staging):
        monkeypatch.setattr(module, "BLOCK_ROWS", 4)
        monkeypatch.setattr(module, "LEAF_ROWS", 2)
    overwrite(workspace, "grown", rows(0, 0), time="at")
    total = 0
    for size in sizes:
        grown = append(workspace, "grown", rows(total, total + size))
        total += size
    assert grown.fingerprint == of_frame(rows(0, total)) == of_frame(read(workspace, "grown"))
    assert grown.rows == total


def test_an_append_casts_what_fits_and_refuses_what_does_not(workspace: Workspace) -> None:
    overwrite(workspace, "flights", rows(0, 2))
    append(workspace, "flights", rows(2, 3).with_columns(pl.col("id").cast(pl.Int8)))
    assert read(workspace, "flights").collect_schema()["id"] == pl.Int64
    with pytest.raises(InvalidInput, match="'carier' is not one of them"):
        append(workspace, "flights", rows(0, 1).rename({"carrier": "carier"}))
    with pytest.raises(InvalidInput, match="'carrier' is missing"):
        append(workspace, "flights", rows(0, 1).drop("carrier"))
    with pytest.raises(InvalidInput, match="do not fit the types"):
        append(workspace, "flights", rows(0, 1).with_columns(carrier=pl.lit("ZZ")))
    assert head(workspace, "flights").number == 2
    assert append(workspace, "flights", rows(0, 0)).number == 2


def test_appended_categories_and_nulls_widen_the_fields(workspace: Workspace) -> None:
    def frame(*values: str | None) -> pl.DataFrame:
        return pl.DataFrame({"c": values}, schema={"c": pl.Categorical})

    overwrite(workspace, "codes", frame("m", "k"))
    made = append(workspace, "codes", frame("a", None))
    assert made.fields == (Field("c", "category", True, ("k", "m", "a")),)
    assert read(workspace, "codes").collect()["c"].cast(pl.String).to_list() == ["m", "k", "a", None]


def test_field_ids_are_never_used_twice(workspace: Workspace) -> None:
    def ids(frame: pl.DataFrame) -> tuple[int, ...]:
        return manifest_of(workspace, overwrite(workspace, "t", frame)).field_ids

    assert ids(pl.DataFrame({"a": [1], "b": [1]})) == (1, 2)
    assert ids(pl.DataFrame({"a": [1]})) == (1,)
    assert ids(pl.DataFrame({"c": [1], "a": [1]})) == (3, 1)


def test_content_that_goes_back_returns_to_its_version(workspace: Workspace, clock: SimulatedClock) -> None:
    first = overwrite(workspace, "flights", rows(0, 2))
    start = clock.now()
    clock.advance_to(start + timedelta(hours=1))
    second = overwrite(workspace, "flights", rows(0, 3))
    clock.advance_to(start + timedelta(hours=2))
    assert overwrite(workspace, "flights", rows(0, 2)) == first
    assert head(workspace, "flights") == first
    assert [v.number for v in history(workspace, "flights")] == [2, 1]
    assert as_of(workspace, "flights", start) == first
    assert as_of(workspace, "flights", start + timedelta(hours=1, minutes=30)) == second
    assert as_of(workspace, "flights", start + timedelta(hours=3)) == first
    with pytest.raises(NotFound, match="had no version on"):
        as_of(workspace, "flights", start - timedelta(seconds=1))
    with pytest.raises(InvalidInput, match="no time zone"):
        as_of(workspace, "flights", datetime(2013, 4, 1))


def test_numbers_count_when_the_clock_stands_still(workspace: Workspace) -> None:
    overwrite(workspace, "flights", rows(0, 1))
    for n in range(1, 8):
        append(workspace, "flights", rows(n, n + 1))
    assert [v.number for v in history(workspace, "flights")] == list(range(8, 0, -1))


def test_what_is_not_there_is_said(workspace: Workspace) -> None:
    with pytest.raises(NotFound, match=r"no table 'flights'\. There are no tables yet\."):
        read(workspace, "flights")
    made = overwrite(workspace, "flights", rows(0, 1))
    with pytest.raises(NotFound, match="Did you mean 'flights'"):
        head(workspace, "fligths")
    with pytest.raises(NotFound, match=f"Its current version is {made.version}"):
        read(workspace, "flights", "0" * 64)


@pytest.mark.parametrize(
    ("frame", "declared", "sentence"),
    [
        (pl.DataFrame(), {}, "has no columns"),
        (rows(0, 1), {"key": ("ident",)}, "The key column 'ident' is not in the table 'flights'"),
        (rows(0, 1), {"time": "id"}, "The time column 'id' of the table 'flights' has the type Int64"),
        (rows(0, 1).with_columns(pl.col("at").dt.replace_time_zone(None)), {"time": "at"}, "is an instant"),
        (pl.DataFrame({"o": pl.Series([Path("a")], dtype=pl.Object)}), {}, "cannot be written as Parquet"),
        (7, {}, r"What is to become flights is a builtins\.int"),
    ],
)
def test_what_cannot_become_a_version_is_refused(
    workspace: Workspace, frame: Any, declared: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        overwrite(workspace, "flights", frame, **declared)
    assert not files(workspace)


def test_a_table_name_cannot_leave_the_folder(workspace: Workspace) -> None:
    for name in ("../flights", "a/b", "", "."):
        with pytest.raises(InvalidInput, match="cannot be the name of a table"):
            overwrite(workspace, name, rows(0, 1))


def test_reading_is_recorded_once_where_somebody_asks(workspace: Workspace) -> None:
    made = overwrite(workspace, "flights", rows(0, 1))
    with reads.filled([]) as seen:
        read(workspace, "flights")
        read(workspace, "flights", made.version)
    assert seen == [f"table:flights/flights@{made.version}"]


def test_lineage_and_event_tell_of_a_version(workspace: Workspace) -> None:
    first = overwrite(workspace, "flights", rows(0, 1), origin=Origin(run_id="ab", inputs=("table:flights/raw@1",)))
    second = append(workspace, "flights", rows(1, 2))
    with workspace.ledger.read() as tx:
        links = lineage.trace(tx, node("flights", "flights", second.version))
        told = tx.events(subject="table:flights/flights")
    assert {(link.source, link.role) for link in links} == {
        (node("flights", "flights", first.version), "parent"),
        ("run:ab", "output"),
        ("table:flights/raw@1", "source"),
    }
    assert [(event.verb, event.body["number"]) for event in told] == [("tables.commit", 1), ("tables.commit", 2)]


def test_damage_is_found(workspace: Workspace) -> None:
    made = overwrite(workspace, "flights", rows(0, 5))
    (part,) = part_folders.table_folder(workspace, "flights").glob("*.parquet")
    content = part.read_bytes()
    part.chmod(0o644)
    part.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    with pytest.raises(Corrupt, match="has other bytes than its digest says"):
        verify(workspace, "flights")
    part.write_bytes(content[:-1])
    with pytest.raises(Corrupt, match="bytes where"):
        read(workspace, "flights")
    part.unlink()
    with pytest.raises(Corrupt, match=r"Version 1 of the table 'flights' .* is missing"):
        read(workspace, "flights", made.version)


def test_the_second_of_two_writers_is_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    overwrite(workspace, "flights", rows(0, 1))
    write = versions.stage_with

    def meanwhile(*given: Any, **named: Any) -> Any:
        monkeypatch.setattr(versions, "stage_with", write)
        append(workspace, "flights", rows(1, 2))
        return write(*given, **named)

    monkeypatch.setattr(versions, "stage_with", meanwhile)
    with pytest.raises(Conflict, match="was written by somebody else"):
        overwrite(workspace, "flights", rows(5, 6))
    monkeypatch.setattr(versions, "stage_with", meanwhile)
    made = append(workspace, "flights", rows(9, 10))
    assert read(workspace, "flights").collect()["id"].to_list() == [0, 1, 1, 9]
    assert made.number == 4


def test_a_full_or_closed_disk_is_a_sentence(workspace: Workspace) -> None:
    part_folders.table_folder(workspace, "flights").parent.mkdir(parents=True)
    part_folders.table_folder(workspace, "flights").write_text("in the way")
    with pytest.raises(BackendError, match="could not be written"):
        overwrite(workspace, "flights", rows(0, 1))


def test_the_operations_show_tables(workspace: Workspace) -> None:
    assert browse.list_tables(workspace, ListTables()).tables == ()
    overwrite(workspace, "weather", rows(0, 1))
    made = overwrite(workspace, "flights", rows(0, 1))
    assert [version.name for version in browse.list_tables(workspace, ListTables()).tables] == ["flights", "weather"]
    assert browse.get_table(workspace, GetTable(name="flights")).versions == (made,)


def test_tables_are_found_by_what_their_newest_version_says(workspace: Workspace) -> None:
    about = AboutTable(owner="ada", personal=("id",), tags=("raw",))
    overwrite(workspace, "weather", rows(0, 5), origin=Origin(about=about))
    overwrite(workspace, "weather", rows(0, 2), origin=Origin(about=AboutTable(owner="eve")))
    overwrite(workspace, "flights", rows(0, 3), origin=Origin(about=about))

    def found(where: str = "", order: str = "") -> list[str]:
        return [one.name for one in browse.list_tables(workspace, ListTables(where=where, order=order)).tables]

    assert found("personal = 'id' and owner = 'ada' and tags.raw is not null") == ["flights"]
    assert found("rows > 3") == []
    assert found("rows >= 2 and column = 'id'") == ["flights", "weather"]
    assert found("personal is null") == ["weather"]
    assert found(order="rows") == ["weather", "flights"]
    assert found("number = 2 or created < '2000-01-01'") == ["weather"]
    with pytest.raises(InvalidInput, match="has no attribute 'row'"):
        found("row > 3")


class Stopped(Exception):
    """The process ended here."""


def stop_at(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, last: int) -> list[int]:
    """Make the n-th write to the disk or the ledger raise; returns a list that counts them."""
    count = [0]

    def guarded(target: Any, name: str) -> None:
        real = getattr(target, name)

        def call(*given: Any, **named: Any) -> Any:
            count[0] += 1
            if count[0] == last:
                raise Stopped(name)
            return real(*given, **named)

        monkeypatch.setattr(target, name, call)

    for target, name in [
        (os, "fsync"),
        (Path, "replace"),
        (pl.DataFrame, "write_parquet"),
        (type(workspace.blobs), "put"),
        (commits.entries, "put"),
        (commits.lineage, "link"),
        (commits.events, "record"),
    ]:
        guarded(target, name)
    return count


@pytest.mark.parametrize("change", ["overwrite", "append"])
def test_a_crash_at_any_write_leaves_the_old_version_whole(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    first = overwrite(workspace, "flights", rows(0, 3))
    for last in range(1, 100):
        with monkeypatch.context() as patch:
            count = stop_at(workspace, patch, last)
            try:
                made = (
                    overwrite(workspace, "flights", rows(0, 5))
                    if change == "overwrite"
                    else append(workspace, "flights", rows(3, 5))
                )
            except Stopped:
                made = None
        if made is not None:
            break
        assert head(workspace, "flights") == verify(workspace, "flights") == first
        assert read(workspace, "flights").collect().equals(rows(0, 3))
        assert history(workspace, "flights") == (first,)
        with workspace.ledger.read() as tx:
            assert len(tx.events(subject="table:flights/flights")) == 1
    assert count[0] < last
    assert last >= 8
    assert read(workspace, "flights").collect().equals(rows(0, 5))


CHILD = """
import os, signal, sys
from dataclasses import fields
from pathlib import Path
import polars as pl
from slipway.backends.clocks import SystemClock
from slipway.backends.ed25519_signer import Ed25519Signer
from slipway.backends.local_blobs import LocalBlobs
from slipway.backends.sqlite_ledger import SqliteLedger
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.tables import commits, versions

root, place = Path(sys.argv[1]), sys.argv[2]
given = dict(project="flights", environment="dev", actor=Actor("ada", roles=("admin",)), root=root,
    ledger=SqliteLedger(root / "ledger.db"), blobs=LocalBlobs(root / "blobs"), clock=SystemClock(),
    signer=Ed25519Signer(root / "keys"), say=print)
workspace = Workspace(**{field.name: given.get(field.name) for field in fields(Workspace)})

def die(*given, **named):
    os.kill(os.getpid(), signal.SIGKILL)

module, name = place.split(":")
target = {"path": Path, "os": os, "events": commits.events, "entries": commits.entries}[module]
setattr(target, name, die)
versions.append(workspace, "flights", pl.DataFrame({"id": [3, 4]}))
"""


@pytest.mark.parametrize("place", ["path:replace", "os:fsync", "entries:put", "events:record"])
def test_kill_9_leaves_the_old_version_whole(workspace: Workspace, place: str) -> None:
    first = overwrite(workspace, "flights", rows(0, 3).select("id"))
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(CHILD), str(workspace.root), place], check=False)
    assert done.returncode == -signal.SIGKILL
    assert verify(workspace, "flights") == first
    made = append(workspace, "flights", rows(3, 5).select("id"))
    assert (made.number, read(workspace, "flights").collect()["id"].to_list()) == (2, [0, 1, 2, 3, 4])


def test_a_pinned_table_is_read_at_its_pin_and_written_from_its_head(workspace: Workspace) -> None:
    first = overwrite(workspace, "flights", rows(0, 3).select("id"))
    second = append(workspace, "flights", rows(3, 5).select("id"))
    with catalog.pins.filled({"flights/flights": first.version}):
        assert read(workspace, "flights").collect().height == 3
        assert read(workspace, "flights", second.version).collect().height == 5
        assert catalog.current(workspace, "flights") == first
        third = append(workspace, "flights", rows(5, 6).select("id"))
    assert (third.rows, third.parent) == (6, second.version)
    assert read(workspace, "flights").collect().height == 6
    with catalog.pins.filled({"flights/flights": "0" * 64}), pytest.raises(NotFound, match="has no version"):
        read(workspace, "flights")


def test_many_tiny_parts_are_gathered(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "_MANY", 4)
    overwrite(workspace, "flights", rows(0, 20_000))
    for n in range(20_000, 20_010):
        made = append(workspace, "flights", rows(n, n + 1))
    assert [part.rows for part in manifest_of(workspace, made).parts] == [20_000, 10]
    assert made.fingerprint == of_frame(read(workspace, "flights")) == of_frame(rows(0, 20_010))
    assert [version.added_rows for version in history(workspace, "flights")] == [1] * 10 + [20_000]
    assert read(workspace, "flights", 5).collect().equals(rows(0, 20_004))
