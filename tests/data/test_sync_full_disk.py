"""A disk that fills up while a source is read: it is said so, nothing is stored, and the next sync brings all."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from slipway.data.declare import table
from slipway.data.sources import files
from slipway.data.sync import sync
from slipway.errors import BackendError
from slipway.ledger import entries
from slipway.ports.workspace import Workspace
from slipway.records.sources import Sync
from slipway.tables.versions import read


def syncs(workspace: Workspace) -> list[Sync]:
    with workspace.ledger.read() as tx:
        return list(entries.every(tx, Sync, project="flights"))


@pytest.mark.parametrize("place", ["cleaned.parquet", "probe.parquet"])
def test_a_full_disk_is_not_taken_for_a_damaged_source(workspace: Workspace, tmp_path: Path, place: str) -> None:
    pl.DataFrame({"id": range(1000)}).write_parquet(tmp_path / "rows.parquet")
    is_full = [True]

    @table(source=files("rows.parquet"))
    def rows(came: pl.LazyFrame) -> Any:
        (scratch,) = (workspace.root / "syncs" / "flights" / "rows").glob("scratch-*")
        if is_full:  # every byte that is written there finds no room
            (scratch / "cleaned.parquet").symlink_to("/dev/full")
            if place == "probe.parquet":
                (scratch / place).symlink_to("/dev/full")
        return came

    with pytest.raises(BackendError, match=r"^The rows for the table 'rows' could not be kept .*: no space is left"):
        sync(workspace, rows, tmp_path)
    (failed,) = syncs(workspace)
    assert failed.state == "failed"
    assert "no space is left" in failed.sentence
    assert not list((workspace.root / "syncs").rglob("scratch-*"))

    is_full.clear()
    assert sync(workspace, rows, tmp_path).state == "made"
    assert read(workspace, "rows").collect().height == 1000
