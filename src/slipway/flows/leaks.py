"""Leaks: what told a model its answer that nobody will tell it in production."""

from __future__ import annotations

from typing import Any

import numpy as np

from slipway.flows.stored_rows import StoredRows
from slipway.records.features import TrainingSet, Windows
from slipway.records.gates import CheckSpec
from slipway.stats.alone import SURE, alone
from slipway.stats.metrics import MIN_SLICE_ROWS

__all__ = ["leaks"]

_BY_CHANCE = 0.01
"""Rows that have no key may be equal without being the same: more of them than this are told."""
_SPLIT = "Hold rows out by time or key, and evaluate on those: rows.filter(pl.col('at') >= cut), after sw.inputs on the others."


def leaks(rows: StoredRows, check: CheckSpec) -> dict[str, Any]:
    """Look for leaks; each finding names the column, what was found, and the next step."""
    findings = [*_label_among(rows), *_late(rows)]
    named = {one["column"] for one in findings}
    strongest, by = 0.0, ""
    for position, name in enumerate(rows.names):
        strength, low = alone([row[position] for row in rows.values], rows.truth, is_binary=_is_binary(rows))
        if strength > strongest:
            strongest, by = strength, name
        if strength >= check.limit and low > SURE and name not in named:
            what = f"it alone predicts the label with {_figure(rows)} of {strength:.4g}"
            fix = f"See when {name} becomes known: leave it out if that is with the label or after the decision."
            findings.append({"column": name, "found": what, "fix": fix})
    learnt, told, open_ = _learnt(rows)
    looked = [f"the most that one input alone predicts is {strongest:.4g} ({by})", *([told] if told else [])]
    return {
        "findings": [*findings, *learnt],
        "open": [open_] if open_ else [],
        "next": _SPLIT,
        "looked": looked,
    }


def _figure(rows: StoredRows) -> str:
    return "an AUC" if _is_binary(rows) else "a rank correlation"


def _is_binary(rows: StoredRows) -> bool:
    return rows.model.bundle.task == "classification"


def _label_among(rows: StoredRows) -> list[dict[str, str]]:
    """Inputs that are the label, by name or by every value."""
    label, found = rows.model.bundle.label, []
    for position, name in enumerate(rows.names):
        same = name == label
        if not same:
            column = [row[position] for row in rows.values]
            if all(isinstance(value, int | float) for value in column):
                values = np.asarray(column, dtype=np.float64)
                same = values.size >= MIN_SLICE_ROWS and np.unique(rows.truth).size > 1
                same = same and (np.array_equal(values, rows.truth) or np.array_equal(values, 1 - rows.truth))
        if same:
            what = f"it is the label {label!r}" + ("" if name == label else " under another name")
            found.append({"column": name, "found": what, "fix": f"Take {name} out of the inputs."})
    return found


def _late(rows: StoredRows) -> list[dict[str, str]]:
    """Inputs that are made of columns which become known after the decision, as the training set's windows say."""
    training = rows.training
    if training is None:
        return []
    after = _known_after(training)
    found = []
    for name in rows.names:
        made_of = {one.partition(".")[2] for one in training.reads.get(name, ()) if one.startswith("request.")}
        if name in {field.name for field in training.spec.request}:
            made_of.add(name)
        for column in sorted(made_of & after.keys()):
            by = "" if column == name else f"it is made of {column!r}, which "
            what = f"{by or 'it '}is known only at {after[column]}, after the decision at {training.at}"
            fix = f"Count {column} over past rows instead: sw.windows(..., time={after[column]!r})."
            found.append({"column": name, "found": what, "fix": fix})
    return [*found, *_early_labels(rows, training)]


def _known_after(training: TrainingSet) -> dict[str, str]:
    """Columns of the label table, and the column that says when they become known: not the decision's own time."""
    table = _table(training)
    after = {
        aggregate.column: part.time
        for part in training.spec.parts
        if isinstance(part, Windows) and part.source == table and part.time != training.at
        for aggregate in part.aggregates
        if aggregate.column
    }
    if training.known:
        after.setdefault(training.label, training.known)
    # What is a key, or the decision's time, is known when it is asked.
    return {column: time for column, time in after.items() if column not in (*training.key, training.at)}


def _early_labels(rows: StoredRows, training: TrainingSet) -> list[dict[str, str]]:
    """Windows that count the label of other rows before it was known."""
    if not training.known:
        return []
    found = []
    for part in training.spec.parts:
        if not isinstance(part, Windows) or part.source != _table(training) or part.time == training.known:
            continue
        for aggregate in part.aggregates:
            name = f"{part.name}_{aggregate.name}"
            if aggregate.column == training.label and name in rows.names:
                what = f"it counts the label of rows at {part.time}, before it is known at {training.known}"
                fix = f"Count it once it is known: sw.windows(..., time={training.known!r})."
                found.append({"column": name, "found": what, "fix": fix})
    return found


def _table(training: TrainingSet) -> str:
    return training.table.partition(":")[2].rpartition("@")[0].partition("/")[2]


def _learnt(rows: StoredRows) -> tuple[list[dict[str, str]], str, str]:
    """Whether evaluated rows had taught the model: findings, what shows that none did, and why nobody can tell."""
    bundle, training = rows.model.bundle, rows.training
    overlap = bundle.overlap
    key = training.key if training else ()
    if overlap is not None and overlap.rows and overlap.distinct:
        by_key = bool(key) and set(key) <= set(overlap.columns)
        told = f"{overlap.taught:,} of {overlap.rows:,} evaluated rows were among those of training"
        if overlap.taught > (0 if by_key else _BY_CHANCE * overlap.rows):
            return [{"column": ", ".join(key) if by_key else "rows", "found": told, "fix": _SPLIT}], "", ""
        return [], told, ""
    if bundle.held_out_from is not None:
        return [], f"all rows from {bundle.held_out_from:%Y-%m-%d} on were held out", ""
    return [], "", "nobody can tell whether evaluated rows had taught it"
