"""What moved since the champion: its metrics and slices on the same rows, and the tables that it learnt from."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.data.browse import profile_table
from slipway.errors import InvalidInput, NotFound, SlipwayError
from slipway.flows.asking import AskedModel, loaded_within
from slipway.flows.ci_trained import Trained
from slipway.flows.evidence import champion_of
from slipway.models import bundle as bundles
from slipway.models import registry
from slipway.models.evaluation import COST, evaluated_rows
from slipway.operations.table_checks import ColumnSummary, GetProfile
from slipway.ports.workspace import Workspace
from slipway.records.ci import CiColumn, CiFigure, CiModel, CiTable, Verdict
from slipway.records.models import Bundle, ModelVersion
from slipway.stats import metrics as known_metrics
from slipway.stats.estimate import Estimate
from slipway.stats.intervals import paired_difference
from slipway.stats.metrics import METRICS, MIN_SLICE_ROWS, CostMatrix
from slipway.tables import catalog

__all__ = ["moved_of"]

_NAN = float("nan")
_CERTAIN = 0.95


def moved_of(own: Workspace, away: Workspace, one: Trained, folder: Path, *, is_whole: bool) -> CiModel:
    """A trained model beside its champion.

    Args:
        own: The project's own store, in which the champion is.
        away: The store in which the model was trained.
        one: What was trained.
        folder: Where both are unpacked.
        is_whole: Whether it was trained on all rows.
    """
    told = CiModel(model=one.name)
    try:
        champion = champion_of(own, one.name)
    except NotFound as problem:
        return msgspec.structs.replace(told, sentence=f"Its champion cannot be told: {problem.what}")
    if champion is None or not champion.bundle:
        said = "There is no champion yet: nothing serves, and no version bears the alias champion."
        return msgspec.structs.replace(told, sentence=said)
    theirs = registry.bundle_of(own, champion)
    told = msgspec.structs.replace(
        told,
        champion=f"{champion.name} {champion.number}",
        commit=theirs.code.commit,
        tables=tuple(_tables(own, theirs)),
    )
    if one.version is None or one.bundle is None:
        return msgspec.structs.replace(told, sentence="There is no new model to compare with it.")
    if one.version.bundle == champion.bundle:
        return msgspec.structs.replace(told, sentence="The new model is the champion, byte for byte.")
    try:
        figures, said = _figures(own, away, one.version, one.bundle, champion, theirs, folder)
    except SlipwayError as problem:
        return msgspec.structs.replace(told, sentence=f"They cannot be compared: {problem.what}")
    except Exception as problem:  # a framework's own, of a champion that does not load here: no check hangs on it
        said = f"They cannot be compared: {type(problem).__name__}: {problem}"
        return msgspec.structs.replace(told, sentence=said)
    notes = tuple(_notes(one.bundle, theirs, is_whole)) if figures else ()
    return msgspec.structs.replace(told, figures=figures, sentence=said, notes=notes)


def _notes(ours: Bundle, theirs: Bundle, is_whole: bool) -> list[str]:
    notes = []
    if not is_whole:
        notes.append(
            "The new model learnt from a sample, and the champion from all of its rows: where it is worse, the sample may "
            "be why. With all rows: slipway ci check --rows 0"
        )
    untaught = theirs.held_out_from or theirs.trained_until
    if ours.held_out_from is None or untaught is None:
        notes.append("Whether the champion had learnt from some of these rows is not known.")
    elif ours.held_out_from < untaught:
        notes.append("The champion may have learnt from some of these rows, which flatters it.")
    return notes


def _figures(
    own: Workspace,
    away: Workspace,
    version: ModelVersion,
    ours: Bundle,
    champion: ModelVersion,
    theirs: Bundle,
    folder: Path,
) -> tuple[tuple[CiFigure, ...], str]:
    if not ours.evaluated:
        return (), "The new model was never evaluated: there are no rows on which both can be asked."
    rows = evaluated_rows(away.blobs.get(ours.evaluated))
    missing = [field.name for field in theirs.signature.inputs if field.name not in rows.columns]
    if missing:
        return (), f"The champion takes {', '.join(missing)}, which the new model's rows do not have."
    pair = _Pair(
        rows=rows,
        truth=rows[ours.label].cast(pl.Float64).to_numpy(),
        ours=_scores(_loaded(away, version, folder / "candidate"), rows),
        theirs=_scores(_loaded(own, champion, folder / "champion"), rows),
        bundle=ours,
    )
    named = {(one.metric, one.slice) for one in ours.metrics}
    metrics = list(dict.fromkeys(one.metric for one in ours.metrics if _better(one.metric)))
    slices = sorted({slice for _, slice in named if slice})
    found = [_figure(pair, metric, "", None, _CERTAIN) for metric in metrics]
    # Among many slices some would be called worse by chance: all of them together are as certain as one figure is.
    asked = sum(bool(slice) and metric in metrics for metric, slice in named)
    certain = 1 - (1 - _CERTAIN) / max(asked, 1)
    for slice in slices:
        column, _, value = slice.partition("=")
        among = (rows[column].cast(pl.String).fill_null("null") == value).to_numpy() if column in rows.columns else None
        if among is not None and among.any():
            found += [_figure(pair, metric, slice, among, certain) for metric in metrics if (metric, slice) in named]
    said = f"Both were asked the same {rows.height:,} rows, on which the new model was evaluated."
    return tuple(figure for figure in found if figure is not None), said


class _Pair(NamedTuple):
    """Two models' scores of the same rows."""

    rows: pl.DataFrame
    truth: NDArray[np.float64]
    ours: NDArray[np.float64]
    theirs: NDArray[np.float64]
    bundle: Bundle


def _loaded(workspace: Workspace, version: ModelVersion, folder: Path) -> AskedModel:
    bundles.unpack(workspace, version.manifest, folder, signature=version.signature, expect=version.bundle)
    return loaded_within(folder, expect=version.bundle, signer=workspace.signer)


def _scores(model: AskedModel, rows: pl.DataFrame) -> NDArray[np.float64]:
    wanted = [field.name for field in model.signature.inputs]
    return np.asarray(model.predict_rows([list(row) for row in rows.select(wanted).rows()]), dtype=np.float64)


def _better(metric: str) -> str:
    """Which way of a metric is better, "" where both models cannot be compared by it row by row."""
    if metric == COST:
        return "lower"
    plain = metric.partition("@")[0]
    better = METRICS[plain].better if plain in METRICS else ""
    return better if better in ("higher", "lower") else ""


def _figure(
    pair: _Pair, metric: str, slice: str, among: NDArray[np.bool_] | None, confidence: float
) -> CiFigure | None:
    every = np.ones(pair.truth.size, dtype=bool) if among is None else among
    truth, ours, theirs = pair.truth[every], pair.ours[every], pair.theirs[every]
    if slice and truth.size < MIN_SLICE_ROWS:
        return _untold(metric, slice, truth.size, f"{truth.size} rows are too few to tell")
    try:
        if metric == COST:
            losses = _cost(pair.bundle)
            if losses is None:
                return None
            own, other = (float(losses(truth, scores).mean()) for scores in (ours, theirs))
            difference = paired_difference(truth, ours, theirs, COST, losses=losses, confidence=confidence)
        else:
            difference = paired_difference(truth, ours, theirs, metric, confidence=confidence)
            own, other = (known_metrics.estimate(metric, truth, scores).value for scores in (ours, theirs))
    except InvalidInput:  # it has no paired form
        return None
    if not math.isfinite(difference.value):
        return _untold(metric, slice, truth.size, difference.note)
    return CiFigure(
        metric=metric,
        slice=slice,
        n=truth.size,
        candidate=own,
        champion=other,
        difference=difference.value,
        low=difference.low,
        high=difference.high,
        verdict=_verdict(metric, difference),
        note=difference.note,
    )


def _untold(metric: str, slice: str, n: int, note: str) -> CiFigure:
    return CiFigure(
        metric=metric, slice=slice, n=n, candidate=_NAN, champion=_NAN, difference=_NAN, low=_NAN, high=_NAN,
        verdict="not to be told", note=note,
    )  # fmt: skip


def _cost(bundle: Bundle) -> Callable[..., NDArray[np.float64]] | None:
    """What a row's decision costs, by the new model's threshold and matrix; None where it has none."""
    threshold, matrix = bundle.decision.threshold, bundle.decision.costs
    if threshold is None or not matrix:
        return None
    return lambda labels, scores: known_metrics.costs(labels, scores, threshold, CostMatrix(**matrix))


def _verdict(metric: str, difference: Estimate) -> Verdict:
    sign = 1.0 if _better(metric) == "higher" else -1.0
    low, high = sorted((sign * difference.low, sign * difference.high))
    return "better" if low > 0 else "worse" if high < 0 else "not to be told"


def _tables(own: Workspace, theirs: Bundle) -> list[CiTable]:
    """The champion's tables whose current version is another one."""
    found = []
    for node in theirs.data:
        name, _, version = node.rpartition("@")
        project, _, table = name.removeprefix("table:").partition("/")
        if not node.startswith("table:") or project != own.project or table.startswith("view."):
            continue
        with own.ledger.read() as tx:
            head = catalog.find_head(tx, own.project, table)
        if head is not None and head.version != version:
            found.append(_table(own, table, version, head.number, head.rows))
    return sorted(found, key=lambda one: one.name)


def _table(own: Workspace, table: str, version: str, number: int, rows: int) -> CiTable:
    told = CiTable(name=table, before=0, after=number, rows_after=rows)
    try:
        before = catalog.get(own, table, version)
        now = profile_table(own, GetProfile(name=table, against=str(before.number)))
        was = profile_table(own, GetProfile(name=table, version=str(before.number)))
    except SlipwayError:  # cleaned away, or not for these eyes: what is known of it is told
        return told
    former = {column.name: column for column in was.columns}
    moved = [column for column in now.columns if column.change in ("moved", "new")]
    gone = [column for column in was.columns if column.name not in {one.name for one in now.columns}]
    columns = [_column(former.get(one.name), one, one.told.removeprefix(f"{one.name}: ")) for one in moved]
    columns += [_column(one, None, "It is gone.") for one in gone]
    return msgspec.structs.replace(
        told,
        before=before.number,
        rows_before=before.rows,
        columns=tuple(columns),
        steady=len(now.columns) - len(moved),
    )


def _column(before: ColumnSummary | None, after: ColumnSummary | None, told: str) -> CiColumn:
    """A column then and now; of one that tells something of a person no values."""
    named = after or before
    assert named is not None
    is_shown = not any(one is not None and one.personal for one in (before, after))
    was, is_now = (one if is_shown else None for one in (before, after))
    return CiColumn(
        name=named.name,
        told=told,
        before=was.bars if was else (),
        after=is_now.bars if is_now else (),
        range_before=_range(was),
        range_after=_range(is_now),
    )


def _range(column: ColumnSummary | None) -> str:
    if column is None or column.bars_from is None or column.bars_to is None:
        return ""
    ends = [f"{end:.4g}" if isinstance(end, int | float) else str(end) for end in (column.bars_from, column.bars_to)]
    return f"{ends[0]} to {ends[1]}"
