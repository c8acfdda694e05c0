import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.errors import InvalidInput, NotFound
from slipway.ports.workspace import Workspace
from slipway.schema.fingerprints import of_frame
from slipway.tables import parts
from slipway.tables.catalog import heads, manifest_of
from slipway.tables.staging import stage
from slipway.tables.versions import append, overwrite, read


def rows(start: int, stop: int) -> pl.DataFrame:
    columns = {"id": range(start, stop), "text": [f"row {n}" for n in range(start, stop)]}
    return pl.DataFrame(columns, schema={"id": pl.Int64, "text": pl.String})


def test_staged_rows_are_on_disk_and_nobody_knows_of_them(workspace: Workspace) -> None:
    staged = stage(workspace, "flights", rows(0, 10))
    assert staged.scan().collect().equals(rows(0, 10))
    assert (staged.rows, staged.schema, staged.fingerprint) == (10, rows(0, 1).schema, of_frame(rows(0, 10)))
    assert heads(workspace) == ()
    made = overwrite(workspace, "flights", staged, key=("id",))
    assert manifest_of(workspace, made).parts == staged.parts
    assert overwrite(workspace, "flights", rows(0, 10), key=("id",)) == made


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 3000), max_size=6), st.sampled_from(["frames", "lazy", "frame"]))
def test_parts_do_not_tell_how_rows_came(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, sizes: list[int], kind: str
) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 100_000)
    pieces = [rows(sum(sizes[:n]), sum(sizes[: n + 1])) for n in range(len(sizes))] + [rows(0, 0)]
    whole = pl.concat(pieces)
    given_rows = {"frames": iter(pieces), "lazy": pl.concat([p.lazy() for p in pieces]), "frame": whole}[kind]
    staged = stage(workspace, "t", given_rows)
    assert staged == stage(workspace, "t", whole.rechunk())
    assert (staged.fingerprint, staged.rows) == (of_frame(whole), whole.height)
    assert staged.scan().collect().equals(whole)


def test_rows_are_staged_onto_a_version(workspace: Workspace) -> None:
    first = overwrite(workspace, "flights", rows(0, 5000))
    staged = stage(
        workspace, "flights", iter([rows(5000, 5001).lazy(), pd.DataFrame({"text": ["x"], "id": [1]})]), onto=first
    )
    expected = pl.concat([rows(5000, 5001), pl.DataFrame({"id": [1], "text": ["x"]})])
    assert staged.scan().collect().equals(expected)
    made = append(workspace, "flights", staged)
    assert (made.rows, manifest_of(workspace, made).parts[1:]) == (5002, staged.parts)
    assert made.fingerprint == of_frame(read(workspace, "flights"))
    again = append(workspace, "flights", staged)
    assert (again.rows, again.fingerprint) == (5004, of_frame(read(workspace, "flights")))


def test_what_is_no_rows_is_refused(workspace: Workspace) -> None:
    with pytest.raises(InvalidInput, match="No frame came for the table 'flights'"):
        stage(workspace, "flights", iter([]))
    with pytest.raises(InvalidInput, match="'text' is missing"):
        stage(workspace, "flights", iter([rows(0, 1), rows(0, 1).drop("text")]))
    with pytest.raises(NotFound, match="no table 'flights'"):
        append(workspace, "flights", stage(workspace, "flights", rows(0, 1)))


def test_an_error_of_the_source_comes_through(workspace: Workspace) -> None:
    def source() -> Iterator[pl.DataFrame]:
        yield rows(0, 1)
        raise KeyError("the source ended")

    with pytest.raises(KeyError, match="the source ended"):
        stage(workspace, "flights", source())
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        stage(workspace, "flights", rows(0, 1).lazy().select("nothing"))


CHILD = """
import resource, sys
from pathlib import Path
from dataclasses import fields
import polars as pl
from slipway.backends.clocks import SystemClock
from slipway.backends.ed25519_signer import Ed25519Signer
from slipway.backends.local_blobs import LocalBlobs
from slipway.backends.sqlite_ledger import SqliteLedger
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.tables import parts, versions

root, batches = Path(sys.argv[1]), int(sys.argv[2])
given = dict(project="flights", environment="dev", actor=Actor("ada", roles=("admin",)), root=root,
    ledger=SqliteLedger(root / "ledger.db"), blobs=LocalBlobs(root / "blobs"), clock=SystemClock(),
    signer=Ed25519Signer(root / "keys"), say=print)
workspace = Workspace(**{field.name: given.get(field.name) for field in fields(Workspace)})
parts.PART_BYTES = 4 << 20

def frames():
    for n in range(batches):
        yield pl.DataFrame({"id": range(n * 50_000, (n + 1) * 50_000)}).with_columns(
            pl.lit("a text that takes some room ").add(pl.col("id").cast(pl.String)).alias("text"))

versions.overwrite(workspace, f"big{batches}", frames())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.full
def test_memory_does_not_grow_with_the_rows(workspace: Workspace) -> None:
    def peak_bytes(batches: int) -> int:
        command = [sys.executable, "-c", textwrap.dedent(CHILD), str(workspace.root), str(batches)]
        kilobytes = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        return kilobytes * 1024

    few, many = peak_bytes(8), peak_bytes(80)
    bytes_in_memory = 72 * 50_000 * (8 + 34 + 16)
    assert bytes_in_memory > 200_000_000
    assert many - few < 60_000_000
    assert read(workspace, "big80").select(pl.len()).collect().item() == 4_000_000
