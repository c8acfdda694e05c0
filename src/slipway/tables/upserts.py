"""Upsert: rows that replace those of the same key, and come to the others.

Copy on write: only the parts that hold a row which really changes are written again, in place, so that every other row
keeps its position; statistics say which parts need not be opened. New keys go into a part at the end.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
import polars as pl

from slipway.errors import InvalidInput
from slipway.ports.workspace import Workspace
from slipway.records.tables import Manifest, Part, TableVersion
from slipway.schema.frame_digests import BLOCK_ROWS, LEAF_ROWS, FrameDigests, of_blocks
from slipway.schema.types import fields_of
from slipway.tables.catalog import head, manifest_of, words
from slipway.tables.commits import Also, Draft, Origin, again_on_conflict, alone, commit
from slipway.tables.conform import conformed
from slipway.tables.part_cache import part_folder
from slipway.tables.parts import PartWriter, plain_bound
from slipway.tables.scans import file_columns, greatest, rows_between, scan_parts, schema_of
from slipway.tables.staging import Rows, cut, frames_of, joined_field
from slipway.tables.versions import gathered

__all__ = ["upsert"]


def upsert(
    workspace: Workspace,
    table: str,
    rows: Rows,
    *,
    newest_wins: bool = False,
    origin: Origin | None = None,
    branch: str = "",
    also: Also = alone,
) -> TableVersion:
    """Replace the rows of the keys that are given, and add those whose key is new. Nothing changed: no version.

    Of two rows of a key the one that is written later stands. With `newest_wins` the table's time column decides: a row
    that is older than the one that is there changes nothing, so that rows may come out of order; of two rows with one
    time the one that is written later stands, and a row without a time is older than any other.

    Args:
        workspace: Whose store is written.
        table: A table with a key.
        rows: What `append` takes; held in memory.
        newest_wins: Whether an older row never replaces a newer one.
        origin: Where they came from.
        branch: The branch that is written, "" for the table itself.
        also: Writes what belongs to the version in its transaction; not called where there is no new version.

    Returns:
        The new version, with `added_rows` and `changed_rows`, or the current one when nothing changed.
        Where the rows went back to those of an earlier version, that one is current again, with the figures of its making.

    Raises:
        NotFound: The table has no version yet, or there is no such branch.
        InvalidInput: It has no key (or no time, with `newest_wins`), a given key is null or given twice, the table holds
            a given key twice, or the columns are not the table's.
        Conflict: Others wrote the table again and again meanwhile.
        BackendError: The file system failed.
    """
    came = list(frames_of(rows, f"What is to be upserted into {table}"))
    told = origin or Origin()
    with PartWriter(workspace, table) as writer:

        def attempt() -> TableVersion:
            former = head(workspace, table, branch=branch)
            before = manifest_of(workspace, former)
            given = _given(table, came, before, newest_wins)
            draft = _Work(workspace, former, before, given, newest_wins, writer).draft()
            if draft is None:
                return former
            if not branch:
                draft = replace(draft, manifest=gathered(workspace, writer, former, draft.manifest))
            return commit(
                workspace, table, draft, former=former, origin=told, branch=branch, settle=writer.finish, also=also
            )

        return again_on_conflict(table, attempt, once=told.onto is not None)


def _given(table: str, came: list[pl.DataFrame], before: Manifest, newest_wins: bool) -> pl.DataFrame:
    if not before.key:
        raise InvalidInput(
            f"The table {table!r} has no key, so no row can be told from another.",
            fix=f'Declare it: @sw.table(key="..."), and write the table once: `slipway data ingest {table}`.',
        )
    if newest_wins and not before.time:
        raise InvalidInput(
            f"The table {table!r} has no time column, so no row is newer than another.",
            fix='Declare it: @sw.table(time="..."), or leave newest_wins away.',
        )
    schema = schema_of(before)
    given = pl.concat([conformed(table, frame, schema) for frame in came]).rechunk()
    keys = given.select(before.key)
    nulls = keys.filter(pl.any_horizontal(pl.all().is_null()))
    if nulls.height:
        raise InvalidInput(
            f"{nulls.height:,} of the {given.height:,} rows for {table!r} have no key: {_said(before.key, nulls.row(0))}.",
            why="A row without a key cannot be found again.",
            fix="Fill or drop these rows.",
            field=before.key[0],
        )
    twice = keys.filter(keys.is_duplicated())
    if twice.height:
        raise InvalidInput(
            f"The rows for {table!r} hold the key {_said(before.key, twice.row(0))} more than once.",
            why="It is not said which of them shall stand.",
            fix="Keep one a key, for example the last: frame.unique(KEY, keep='last', maintain_order=True).",
            field=before.key[0],
        )
    return given


@dataclass(slots=True)
class _Work:
    """One attempt: what becomes of each part of one version."""

    workspace: Workspace
    former: TableVersion
    before: Manifest
    given: pl.DataFrame
    newest_wins: bool
    writer: PartWriter
    changed: int = 0
    blocks: set[int] = field(default_factory=set)

    def draft(self) -> Draft | None:
        """The version that these rows make, None when nothing changes."""
        seen = np.zeros(self.given.height, dtype=bool)
        bounds = [_sorted_bounds(self.given[name]) for name in self.before.key]
        parts: list[Part] = []
        start = 0
        for part in self.before.parts:
            parts.append(self._replaced(part, start, seen) if self._may_hold(part, bounds) else part)
            start += part.rows
        new = self.given.filter(pl.Series(~seen))
        if not self.changed and not new.height:
            return None
        added = [self.writer.write(frame) for frame in cut(self.former.name, iter([new]))] if new.height else []
        self.writer.finish()
        found = map(joined_field, self.before.fields, fields_of(self.given))
        manifest = msgspec.structs.replace(self.before, parts=tuple(parts), fields=tuple(found))
        digests = self._digests(manifest)
        digests.add(new)
        manifest = msgspec.structs.replace(
            manifest, parts=(*parts, *added), blocks=digests.blocks, leaves=digests.leaves
        )
        return Draft(
            manifest=manifest,
            change="upsert",
            added_rows=new.height,
            changed_rows=self.changed,
            fingerprint=of_blocks(schema_of(manifest), manifest.rows, manifest.blocks),
            data_until=greatest(manifest),
        )

    def _may_hold(self, part: Part, bounds: list[list[Any] | None]) -> bool:
        """Whether a given key may be in a part, by its statistics alone."""
        inside = dict(zip((f.name for f in self.before.fields), file_columns(self.before, part), strict=True))
        for name, values in zip(self.before.key, bounds, strict=True):
            stats = part.stats.get(inside[name])
            if values is None or stats is None or stats.low is None:
                continue
            place = bisect_left(values, stats.low)
            if place == len(values) or values[place] > stats.high:
                return False
        return True

    def _replaced(self, part: Part, start: int, seen: np.ndarray[Any, Any]) -> Part:
        """The part with the rows that change, or the same part when none does."""
        folder, what = part_folder(self.workspace, self.former.name), words(self.former)
        scan = scan_parts(folder, self.before, what, [part])
        key = self.before.key
        here = _keys(scan.select(key).collect(), key, "here")
        pairs = here.join(_keys(self.given, key, "given"), on=[f"k{n}" for n in range(len(key))], maintain_order="left")
        at, by = pairs["here"].to_numpy(), pairs["given"].to_numpy()
        if not len(at):
            return part
        if seen[by].any() or len(np.unique(by)) < len(by):
            number = next(int(n) for n in by if seen[n] or (by == n).sum() > 1)
            raise InvalidInput(
                f"The table {self.former.name!r} holds the key {_said(key, self.given.select(key).row(number))} twice.",
                why="It is not said which of the two rows is to be replaced.",
                fix="Overwrite the table with one row a key first.",
            )
        seen[by] = True
        rows = scan.collect()
        differs = self._differs(rows[at], self.given[by])
        at, by = at[differs], by[differs]
        if not len(at):
            return part
        self.changed += len(at)
        self.blocks |= {int(block) for block in np.unique((start + at) // BLOCK_ROWS)}
        order = np.arange(rows.height)
        order[at] = rows.height + by
        return self.writer.write(pl.concat([rows, self.given])[order])

    def _differs(self, old: pl.DataFrame, new: pl.DataFrame) -> np.ndarray[Any, Any]:
        differs = np.zeros(old.height, dtype=bool)
        for name in old.columns:
            if name not in self.before.key:
                differs |= old[name].ne_missing(new[name]).to_numpy()
        if self.newest_wins:
            earlier = (new[self.before.time] < old[self.before.time]).fill_null(False)
            lost = new[self.before.time].is_null() & old[self.before.time].is_not_null()
            differs &= ~(earlier | lost).to_numpy()
        return differs

    def _digests(self, manifest: Manifest) -> FrameDigests:
        """The digests of the old rows with what was replaced; only the blocks that hold a changed row are read."""
        folder, what = part_folder(self.workspace, self.former.name), words(self.former)
        blocks, leaves, total = list(manifest.blocks), list(manifest.leaves), manifest.rows
        full = total // BLOCK_ROWS
        rest: pl.DataFrame | None = None
        if full not in self.blocks and total % LEAF_ROWS:
            rest = rows_between(folder, manifest, what, total - total % LEAF_ROWS, total)
        for block in sorted(self.blocks):
            begin, stop = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, total)
            again = FrameDigests()
            again.add(rows_between(folder, manifest, what, begin, stop))
            if block < full:
                blocks[block] = again.blocks[0]
            else:
                leaves, rest = list(again.leaves), again.rest
        return FrameDigests(blocks[:full], leaves, rest)


def _keys(frame: pl.DataFrame, key: tuple[str, ...], row: str) -> pl.DataFrame:
    names = [pl.col(name).alias(f"k{number}") for number, name in enumerate(key)]
    return frame.select(names).with_row_index(row)


def _sorted_bounds(column: pl.Series) -> list[Any] | None:
    """The values of a key as statistics keep them, None where one of them has no such form."""
    values = [plain_bound(value) for value in column.unique().to_list()]
    return None if None in values else sorted(values)


def _said(key: tuple[str, ...], row: tuple[Any, ...]) -> str:
    return ", ".join(f"{name} = {value!r}" for name, value in zip(key, row, strict=True))
