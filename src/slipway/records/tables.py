"""Versions of tables: manifests of immutable parts, and what their checks found."""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from slipway.records.record import Record
from slipway.records.schema import Field
from slipway.records.sources import Synced

__all__ = [
    "SIMULATED",
    "AboutTable",
    "CheckResult",
    "ColumnStats",
    "Erased",
    "Manifest",
    "Part",
    "Severity",
    "TableChange",
    "TableRefusal",
    "TableVersion",
]

SIMULATED = "simulated"
"""The origin of rows that a program made up; "" is that of all others."""

Severity = Literal["block", "quarantine", "warn"]
TableChange = Literal["append", "overwrite", "upsert", "alter", "compact", "erase"]


class AboutTable(Struct, frozen=True, kw_only=True):
    """What a table's declaration says about it besides its rows.

    Args:
        owner: Who answers for it.
        description: What it holds, in a sentence.
        tags: Words to find it by.
        personal: The columns that tell something of a person.
        readers: The roles and people that may read it besides admins, () for all who may read tables.
        origin: "simulated" where a program made the rows up.
    """

    owner: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    personal: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    origin: Literal["", "simulated"] = ""


class ColumnStats(Struct, frozen=True):
    """Statistics of one column in one part, for pruning. `low` and `high` are plain values or None."""

    nulls: int
    low: Any = None
    high: Any = None


class Part(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One immutable Parquet file under the table's own folder.

    Args:
        digest: Of its bytes; also its file name.
        rows: How many.
        size_bytes: Of the file.
        stats: By the column's name in the file.
        columns: For columns that have another name now than in the file: (field id, name in the file), "" for one that
            is not in the file although its name is. A field that is in neither the file nor here is null in all rows.
        casts: For columns that have a wider type now than in the file: (field id, its type there as plain values).
    """

    digest: str
    rows: int
    size_bytes: int
    stats: dict[str, ColumnStats] = {}
    columns: tuple[tuple[int, str], ...] = ()
    casts: tuple[tuple[int, tuple[Any, ...]], ...] = ()


class Manifest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a version consists of. The digest of its bytes *is* the version.

    Args:
        fields: The columns in order, with field ids counted from 1 in `field_ids`.
        field_ids: Parallel to `fields`; a rename keeps the id, a new column gets a new one.
        parts: In order.
        key: The columns that identify a row, () when none was declared.
        time: The column of event time, "" when none was declared.
        blocks: Digests of the content in blocks of a fixed number of rows, from which the fingerprint is made; an
            append extends them without reading what was there.
        leaves: Digests of the full leaves in the block that is not full: where an append goes on.
        types: The exact types of the columns as plain values, parallel to `fields`: ("datetime", "us", "UTC").
        last_field_id: The greatest field id that any version so far has used; no id is used twice.
    """

    fields: tuple[Field, ...]
    field_ids: tuple[int, ...]
    parts: tuple[Part, ...]
    key: tuple[str, ...] = ()
    time: str = ""
    blocks: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    types: tuple[tuple[Any, ...], ...] = ()
    last_field_id: int = 0

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts)


class CheckResult(Struct, frozen=True, kw_only=True):
    """What one check of a table found.

    Args:
        check: The check in words: "flight_id is unique".
        passed: Whether it held.
        severity: What a failure means: "block" refuses the version, "quarantine" sets the failing rows aside, "warn"
            reports.
        failed_rows: How many rows broke it.
        rows: How many were looked at.
        note: A sentence with the detail.
        sample: A few of the failing rows' keys, as text.
        failing: The digest of a blob with failing rows as Parquet, "" where none are kept.
        set_aside: How many rows that came were set aside because of it; they are not among `rows`.
        undecided: Whether there was too little to tell; it then counts as passed.
        definition: A short hash of what the check says, "" where it is not known: counts of two versions add up only
            where it is the same.
    """

    check: str
    passed: bool
    severity: Severity
    failed_rows: int
    rows: int
    note: str = ""
    sample: tuple[str, ...] = ()
    failing: str = ""
    set_aside: int = 0
    undecided: bool = False
    definition: str = ""


class Erased(Struct, frozen=True, kw_only=True):
    """That rows of a version were erased: a request of the person whom they told of.

    Args:
        erasure: The id of the erasure's record.
        at: When.
        by: Who did it.
        reason: Why, in the words of whoever did it.
        rows: How many rows of this version.
        manifest: The digest of what the version consists of since then.
    """

    erasure: str
    at: datetime
    by: str
    reason: str
    rows: int
    manifest: str


class TableVersion(Record, frozen=True, kw_only=True, tag="table"):
    """One version of a table. Id: `<project>/<table>@<version>`; name: the table's.

    Args:
        number: Counts the table's versions from 1.
        version: The digest of its manifest, which is the blob of that digest.
        parent: The version before it, "" for the first.
        change: What made it of its parent; "alter" is a change of the columns, "compact" one of the files only.
        rows: How many in all.
        added_rows: How many came with it.
        changed_rows: How many of its parent's rows it replaced (upsert).
        removed_rows: How many of its parent's rows are not in it.
        quarantined_rows: How many of the rows that came were set aside by its checks.
        fingerprint: The logical fingerprint of the content.
        fields: The columns.
        checks: What the checks found.
        source: Where it came from, in words.
        run_id: The run that wrote it, or "".
        data_until: The greatest event time in it, None without a time column.
        about: Owner, description, tags, personal columns and readers, as its declaration said.
        profile: The digest of the blob with its profile (counts, nulls, histograms of the columns), "" for none.
        cleaned_at: When its rows were cleaned away, None while they are there.
        erased: Which rows were erased from it, oldest first. It keeps its hash; what it consists of is then said here.
        synced: How far its source was read, None where it was written otherwise. It may advance while the version
            stays: then what was read brought nothing new.
    """

    number: int
    version: str
    parent: str = ""
    change: TableChange
    rows: int
    added_rows: int
    changed_rows: int = 0
    removed_rows: int = 0
    quarantined_rows: int = 0
    fingerprint: str
    fields: tuple[Field, ...]
    checks: tuple[CheckResult, ...] = ()
    source: str = ""
    run_id: str = ""
    data_until: datetime | None = None
    about: AboutTable = AboutTable()
    profile: str = ""
    cleaned_at: datetime | None = None
    erased: tuple[Erased, ...] = ()
    synced: Synced | None = None


class TableRefusal(Record, frozen=True, kw_only=True, tag="table_refusal"):
    """Rows that were refused: nothing of them was stored but what shows why. Name: the table's.

    Args:
        rows: How many came.
        mode: What was to become of them: "overwrite", "append" or "upsert".
        checks: What the checks found.
        source: Where they came from, in words.
        run_id: The run that brought them, or "".
        parent: The version that was current and still is, "" for none.
        personal: The columns that tell something of a person.
    """

    rows: int
    mode: str
    checks: tuple[CheckResult, ...]
    source: str = ""
    run_id: str = ""
    parent: str = ""
    personal: tuple[str, ...] = ()
