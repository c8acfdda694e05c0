"""Batches of a table whose parts an object store keeps, in a process that has the reference and nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import objects_here
from slipway.hosts.project import open_workspace
from slipway.ports.workspace import current_workspace
from slipway.tables import versions
from slipway.tables.row_batches import batches_of

READ = """
import sys
from pathlib import Path
from slipway.tables.row_batches import Batches
rows = Batches.slipway_load(Path(sys.argv[1]))
print(sum(int(frame["n"].sum()) for frame in rows), rows.rows)
"""


@pytest.mark.full
def test_another_machine_fetches_the_parts_that_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with objects_here.s3() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        workspace = open_workspace(tmp_path / "here", project="flights", blobs="s3://store/a")
        with current_workspace.filled(workspace):
            frame = pl.DataFrame({"n": range(1000)})
            rows = batches_of(workspace, versions.overwrite(workspace, "rows", frame), batch_rows=300)
            (tmp_path / "kept").mkdir()
            rows.filter(pl.col("n") >= 500).slipway_save(tmp_path / "kept")
        workspace.ledger.close()
        shutil.rmtree(tmp_path / "here")  # another machine has none of it
        command = [sys.executable, "-c", READ, str(tmp_path / "kept")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(sum(range(500, 1000))), "500"]
    assert objects_here.SECRET not in (tmp_path / "kept" / "batches.json").read_text()
