import polars as pl
import pytest

from slipway.ports.workspace import Workspace
from slipway.records.table_changes import RowChange
from slipway.records.tables import AboutTable
from slipway.tables import parts
from slipway.tables.alters import alter
from slipway.tables.diffs import diff
from slipway.tables.part_folders import table_folder
from slipway.tables.upserts import upsert
from slipway.tables.versions import Origin, append, overwrite


def rows(**columns: object) -> pl.DataFrame:
    return pl.DataFrame(columns)


def test_rows_are_compared_by_key(workspace: Workspace) -> None:
    about = AboutTable(personal=("name",))
    first = rows(id=[1, 2, 3, 4], n=[1, None, 3, 4], name=["a", "b", "c", "d"])
    overwrite(workspace, "t", first, key=("id",), origin=Origin(about=about))
    overwrite(workspace, "t", rows(id=[5, 4, 3, 2], n=[5, 4, 7, 2], name=["e", "d", "x", "b"]), key=("id",))
    found = diff(workspace, "t", 1, 2)
    assert (found.added, found.removed, found.changed, found.by_column) == (1, 1, 2, {"n": 2, "name": 1})
    assert found.sample == (
        RowChange(key="id = 2", columns=(("n", "null", "2"),)),
        RowChange(key="id = 3", columns=(("n", "3", "7"), ("name", "(personal)", "(personal)"))),
    )
    assert found.words == ("1 rows were added, 1 removed, 2 changed (n in 2, name in 1).",)
    assert diff(workspace, "t", 1, 1).words == ("Both are the same version.",)


def test_parts_that_both_have_are_not_read(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 10)
    overwrite(workspace, "t", rows(id=range(100), n=range(100)), key=("id",))
    upsert(workspace, "t", rows(id=[55, 200], n=[0, 0]))
    found = diff(workspace, "t", 1, 2)
    assert (found.added, found.removed, found.changed, found.parts) == (1, 0, 1, 3)
    shared = sorted(table_folder(workspace, "t").glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)[0]
    shared.chmod(0o644)
    shared.write_bytes(bytes(shared.stat().st_size))
    assert diff(workspace, "t", 1, 2) == found


def test_columns_are_compared_by_their_ids(workspace: Workspace) -> None:
    overwrite(
        workspace,
        "t",
        pl.DataFrame({"id": [1, 2], "a": [1, 2], "b": [0.5, 1.5]}, {"id": pl.Int64, "a": pl.Int32, "b": pl.Float64}),
        key=("id",),
    )
    alter(workspace, "t", rename={"a": "b", "id": "code"}, drop=["b"], add={"note": "string"}, widen={"a": "int64"})
    found = diff(workspace, "t", 1, "main")
    assert found.words == (
        "The column b was dropped.",
        "The column id was renamed to code.",
        "The column a was renamed to b.",
        "The column b was widened from Int32 to Int64.",
        "The column note (String) was added.",
        "The rows are the same; their order may not be.",
    )
    assert (found.added, found.removed, found.changed, found.parts) == (0, 0, 0, 0)
    upsert(workspace, "t", rows(code=[2], b=[7], note=["x"]))
    assert diff(workspace, "t", 1, 3).by_column == {"b": 1}


def test_without_a_key_rows_are_compared_as_a_whole(workspace: Workspace) -> None:
    overwrite(workspace, "t", rows(n=[1, 1, 2, None]))
    overwrite(workspace, "t", rows(n=[1, None, None, 3]))
    found = diff(workspace, "t", 1, 2)
    assert (found.added, found.removed, found.changed, found.key) == (2, 2, 0, ())
    overwrite(workspace, "t", rows(n=[3, None, None, 1]))
    assert diff(workspace, "t", 2, 3).words == ("The rows are the same; their order may not be.",)
    overwrite(workspace, "t", rows(id=[1, 1], n=[1, 2]), key=("id",))
    append(workspace, "t", rows(id=[1], n=[3]))
    assert (diff(workspace, "t", 4, 5).added, diff(workspace, "t", 4, 5).key) == (1, ("id",))
    overwrite(workspace, "t", rows(id=[1, 1], n=[2, 3]), key=("id",))
    assert (diff(workspace, "t", 5, 6).added, diff(workspace, "t", 5, 6).removed, diff(workspace, "t", 5, 6).key) == (
        0,
        1,
        (),
    )
    assert (diff(workspace, "t", 1, 6).added, diff(workspace, "t", 1, 6).removed) == (1, 3)
