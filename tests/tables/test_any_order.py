"""Whatever is done to a table, in any order, it holds what a plain frame would, and every older version what it held."""

import itertools

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.ports.workspace import Workspace
from slipway.schema import frame_digests
from slipway.schema.fingerprints import of_frame
from slipway.tables import parts, staging, upserts, versions
from slipway.tables.alters import alter
from slipway.tables.compaction import compact
from slipway.tables.diffs import diff
from slipway.tables.refs import branch, merge
from slipway.tables.upserts import upsert
from slipway.tables.versions import append, overwrite, read

NUMBERS = itertools.count()
NAMES = ["a", "b", "c"]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves, blocks and parts of a few rows, so that a few rows have many of them."""
    for module in (frame_digests, staging, upserts):
        monkeypatch.setattr(module, "BLOCK_ROWS", 6)
        monkeypatch.setattr(module, "LEAF_ROWS", 3)
    monkeypatch.setattr(parts, "PART_ROWS", 8)
    monkeypatch.setattr(versions, "_MANY", 3)


class Model:
    """What the table should hold."""

    def __init__(self, workspace: Workspace, table: str) -> None:
        self.workspace = workspace
        self.table = table
        self.frame = pl.DataFrame({"id": [], "a": []}, schema={"id": pl.Int64, "a": pl.Int32})
        self.next_id = 0
        overwrite(workspace, table, self.frame, key=("id",))

    def rows(self, ids: list[int], value: int) -> pl.DataFrame:
        made = pl.DataFrame({"id": ids}, schema={"id": pl.Int64})
        others = [(name, dtype) for name, dtype in self.frame.schema.items() if name != "id"]
        return made.with_columns(pl.lit(value).cast(dtype).alias(name) for name, dtype in others)

    def perform(self, verb: str, number: int) -> None:
        getattr(self, f"do_{verb}")(number)

    def do_append(self, number: int, on: str = "") -> None:
        new = self.rows(list(range(self.next_id, self.next_id + number % 7)), number)
        self.next_id += number % 7
        append(self.workspace, self.table, new.select(reversed(new.columns)), branch=on)
        self.frame = pl.concat([self.frame, new])

    def do_upsert(self, number: int) -> None:
        ids = sorted({number % 5, number % 11, self.next_id, self.next_id + 1})
        new = self.rows(ids, -number)
        self.next_id = max(self.next_id, *ids) + 1
        before = dict(zip(self.frame["id"], self.frame.rows(), strict=True))
        made = upsert(self.workspace, self.table, new)
        changed = {row[0]: row for row in new.rows()}
        kept = [changed.get(row[0], row) for row in self.frame.rows()]
        added = [row for row in new.rows() if row[0] not in before]
        self.frame = pl.DataFrame([*kept, *added], schema=self.frame.schema, orient="row")
        assert made.rows == self.frame.height

    def do_add(self, number: int) -> None:
        name = NAMES[number % 3]
        if name not in self.frame.columns:
            alter(self.workspace, self.table, add={name: ("int32", "float32")[number % 2]})
            dtype = (pl.Int32, pl.Float32)[number % 2]
            self.frame = self.frame.with_columns(pl.lit(None, dtype).alias(name))

    def do_drop(self, number: int) -> None:
        name = NAMES[number % 3]
        if name in self.frame.columns:
            alter(self.workspace, self.table, drop=[name])
            self.frame = self.frame.drop(name)

    def do_rename(self, number: int) -> None:
        old, new = NAMES[number % 3], NAMES[(number + 1 + number % 2) % 3]
        if old in self.frame.columns:
            names = {old: new, new: old} if new in self.frame.columns else {old: new}
            alter(self.workspace, self.table, rename=names)
            self.frame = self.frame.rename(names)

    def do_widen(self, number: int) -> None:
        name = NAMES[number % 3]
        wider = {pl.Int32: "int64", pl.Float32: "float64"}.get(type(self.frame.schema.get(name)))  # type: ignore[arg-type]
        if wider:
            alter(self.workspace, self.table, widen={name: wider})
            self.frame = self.frame.with_columns(pl.col(name).cast({"int64": pl.Int64, "float64": pl.Float64}[wider]))

    def do_compact(self, number: int) -> None:
        compact(self.workspace, self.table)

    def do_branch(self, number: int) -> None:
        name = f"fix{next(NUMBERS)}"
        branch(self.workspace, self.table, name)
        now = self.frame
        self.do_append(number, on=name)
        theirs = self.frame[now.height :]
        self.frame = now
        if number % 2:
            self.do_append(number // 2)
        merge(self.workspace, self.table, name)
        self.frame = pl.concat([self.frame, theirs])


VERBS = sorted(name[3:] for name in vars(Model) if name.startswith("do_"))


@pytest.mark.usefixtures("small")
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(VERBS), st.integers(0, 100)), max_size=9))
def test_a_table_holds_what_a_plain_frame_would(workspace: Workspace, steps: list[tuple[str, int]]) -> None:
    table = f"t{next(NUMBERS)}"
    model = Model(workspace, table)
    held: dict[str, pl.DataFrame] = {}
    for verb, number in steps:
        model.perform(verb, number)
        now = versions.head(workspace, table)
        assert read(workspace, table).collect().equals(model.frame)
        assert now.fingerprint == of_frame(model.frame)
        assert now.rows == model.frame.height
        held[now.version] = model.frame
    for version, frame in held.items():
        assert read(workspace, table, version).collect().equals(frame)
        found = diff(workspace, table, version, "main")
        assert found.added - found.removed == model.frame.height - frame.height
