"""Features over generated edge cases, and rows against what a table declares."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from slipway.data.declare import Table
from slipway.data.judge import judge_rows
from slipway.data.references import Known
from slipway.features.sets import FeatureSet
from slipway.features.skew import certify
from slipway.ports.online_store import OnlineStore
from slipway.ports.workspace import Workspace
from slipway.ports.workspace import workspace as open_workspace
from slipway.records.features import SkewCertificate
from slipway.records.schema import FieldType

__all__ = ["check_features", "check_table"]


def check_features(
    features: FeatureSet,
    request: Mapping[str, FieldType] | Table,
    *,
    rows: int = 500,
    seed: int = 0,
    may_raise: bool = False,
) -> SkewCertificate:
    """Compute features over generated rows, as training does and as serving does, and compare every value.

    The rows hold nulls, NaN, infinities, extreme numbers, texts of all kinds, unknown keys, events on the borders of windows
    and around changes of the clock. The same seed draws the same rows.

    Args:
        features: The set. Windows and views need an open project with versions of their tables.
        request: The types of the request's fields by name, or the table whose columns they are.
        rows: How many.
        seed: Of what is drawn.
        may_raise: Whether a feature may refuse rows by raising, as long as it does on every path.

    Returns:
        What was compared.

    Raises:
        AssertionError: A value differs between training and serving, or a feature raised.
        UserError: No project is open.
    """
    workspace = open_workspace()
    spec = features.spec(request)
    with TemporaryDirectory(prefix="slipway-features-") as root:
        found = certify(spec, features.functions, partial(_store, workspace, Path(root)), seed=seed, rows=rows)
    if found.mismatches:
        raise AssertionError(
            f"{found.mismatches:,} of {found.compared:,} values differ between training and serving: {'; '.join(found.first)}"
        )
    if found.raised and not may_raise:
        raise AssertionError(
            f"Features raised on {found.raised:,} of the generated rows: {'; '.join(found.raised_first)}. A live request that "
            "holds such a value is answered with an error: return a value or None instead."
        )
    return found


def check_table(table: Table, rows: pl.DataFrame) -> None:
    """Run the checks that a table declares for its rows, as ingesting them would, over a frame of a test.

    Args:
        table: The declaration.
        rows: The frame.

    Raises:
        AssertionError: A check fails that would refuse the rows or set some of them aside; the sentence names each.
        InvalidDeclaration: A check names a column that is not there.
        UserError: No project is open.
    """
    known = Known(open_workspace(), table.name, rows, keeps=False)
    results = judge_rows(table, rows, stays=None, known=known).results
    failed = [one for one in results if not one.passed and one.severity != "warn"]
    if failed:
        told = "; ".join(f"{one.check}: {one.failed_rows:,} of {rows.height:,} rows break it" for one in failed)
        raise AssertionError(f"{table.name}: {told}")


def _store(workspace: Workspace, root: Path, name: str) -> OnlineStore:
    return workspace.open_online(root / name)
