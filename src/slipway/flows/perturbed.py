"""Asking a model again with its rows changed: dirty input, another value of one input, one input from low to high."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slipway.errors import InvalidInput, NoAnswer, NotFound, SlipwayError, near
from slipway.flows.stored_rows import StoredRows
from slipway.records.gates import CheckSpec
from slipway.records.schema import Field
from slipway.stats.intervals import paired_difference, share_interval
from slipway.stats.metrics import estimate
from slipway.stats.metrics import metric as known_metric

__all__ = ["changed", "dirty", "moved"]

_NUMBERS = ("int", "float")
_STRANGE = 40
"""Rows that are asked with each value out of range."""
_OTHERS = 8
"""Values of one input that every row is asked with."""
_STEPS = 16
_ROUNDING = 1e-9
_HUGE = 10.0**15


class _Refused(NamedTuple):
    column: str
    what: str
    said: str


def dirty(rows: StoredRows, check: CheckSpec) -> dict[str, Any]:
    """What dirty input does to a model: for `robust`.

    Raises:
        InvalidInput: The metric has no paired form.
    """
    missing, noise = check.amounts
    metric = check.metric or ("auc" if rows.model.bundle.task == "classification" else "r2")
    if known_metric(metric).better == "zero":
        raise InvalidInput(f"{metric!r} does not fall.", fix="Name a metric of which higher or lower is better.")
    fields = rows.model.signature.inputs
    random = np.random.default_rng(0)
    refused = list(_strange_refused(rows))
    runs = []
    for what, spoilt in (
        (f"{missing:.3g} missing", _without(rows, missing, random)),
        (f"noise of {noise:.3g}", _noisy(rows, noise, random)),
    ):
        try:
            answers = rows.ask(spoilt)
        except NoAnswer:
            raise  # nobody can tell then, and why is said
        except Exception as problem:  # whatever a framework raises: that it does is what is looked for
            refused.append(_Refused("it", what, type(problem).__name__))
            continue
        runs.append({"what": what, "metric": metric, **_fall(rows, answers, metric)})
    return {
        "refused": [one._asdict() for one in refused],
        "runs": runs,
        "required": [field.name for field in fields if not field.nullable],
        "asked": sum(_strange_count(field) for field in fields) * min(_STRANGE, len(rows.values)),
    }


def _fall(rows: StoredRows, answers: NDArray[np.float64], metric: str) -> dict[str, Any]:
    """How much worse a figure is than with the rows as they are, whichever way is better."""
    found = paired_difference(rows.truth, answers, rows.scores, metric)
    sign = 1.0 if known_metric(metric).better == "lower" else -1.0
    ends = sorted((sign * found.low, sign * found.high))
    before = estimate(metric, rows.truth, rows.scores).value
    return {"fall": sign * found.value, "low": ends[0], "high": ends[1], "n": found.n, "before": before}


def _without(rows: StoredRows, share: float, random: np.random.Generator) -> list[list[Any]]:
    """The rows with values missing, of the inputs that may be missing."""
    fields = rows.model.signature.inputs
    gone = random.random((len(rows.values), len(fields))) < share
    return [
        [None if lost and field.nullable else value for value, lost, field in zip(row, out, fields, strict=True)]
        for row, out in zip(rows.values, gone.tolist(), strict=True)
    ]


def _noisy(rows: StoredRows, amount: float, random: np.random.Generator) -> list[list[Any]]:
    columns = list(zip(*rows.values, strict=True))
    noisy = [
        _noise(list(column), field, amount, random)
        for column, field in zip(columns, rows.model.signature.inputs, strict=True)
    ]
    return [list(row) for row in zip(*noisy, strict=True)]


def _noise(column: list[Any], field: Field, amount: float, random: np.random.Generator) -> list[Any]:
    """A column with noise: numbers move by so many standard deviations, of others that share is exchanged."""
    if field.type in _NUMBERS:
        known = [float(value) for value in column if _is_number(value)]
        spread = float(np.std(known)) if known else 0.0
        added = (amount * spread * random.standard_normal(len(column))).tolist()
        whole = field.type == "int"
        return [
            (round(value + more) if whole else value + more) if _is_number(value) else value
            for value, more in zip(column, added, strict=True)
        ]
    others = random.permutation(len(column)).tolist()
    exchanged = (random.random(len(column)) < amount).tolist()
    return [column[other] if taken else value for value, other, taken in zip(column, others, exchanged, strict=True)]


def _strange_refused(rows: StoredRows) -> Iterator[_Refused]:
    """Which values out of range, never seen or missing a model does not answer with numbers."""
    places = np.linspace(0, len(rows.values) - 1, min(_STRANGE, len(rows.values))).astype(int).tolist()
    for position, field in enumerate(rows.model.signature.inputs):
        for what, value in _strange(field, [row[position] for row in rows.values]):
            asked = [[*rows.values[i][:position], value, *rows.values[i][position + 1 :]] for i in places]
            said = _said(rows, asked)
            if said:
                yield _Refused(field.name, what, said)


def _said(rows: StoredRows, asked: list[list[Any]]) -> str:
    """What is wrong with the answers, "" for nothing."""
    try:
        answers = rows.ask(asked)
    except NoAnswer:
        raise  # nobody can tell then, and why is said
    except SlipwayError as problem:  # its sentence may hold the values of a row
        return f"refuses the row ({problem.code})"
    except Exception as problem:  # whatever a framework raises: that it does is what is looked for
        return f"raises {type(problem).__name__}"
    if not np.isfinite(answers).all():
        return "answers with no number"
    if rows.model.bundle.task == "classification" and (answers.min() < 0 or answers.max() > 1):
        return "answers with no probability"
    return ""


def _strange(field: Field, column: list[Any]) -> Iterator[tuple[str, Any]]:
    if field.type in _NUMBERS:
        known = [float(value) for value in column if _is_number(value)]
        low, high = (min(known), max(known)) if known else (0.0, 0.0)
        away = 10 * ((high - low) or abs(high) or 1.0)
        kind = int if field.type == "int" else float
        yield "far above what was seen", kind(high + away)
        yield "far below what was seen", kind(low - away)
        yield "immense", kind(_HUGE)
    elif field.type in ("category", "string"):
        yield "with a text never seen", "never seen before"
    if field.nullable:
        yield "missing", None


def _strange_count(field: Field) -> int:
    return sum(1 for _ in _strange(field, []))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def changed(rows: StoredRows, check: CheckSpec) -> dict[str, Any]:
    """How answers change with one input, in which other values of it are put: for `invariant`.

    Raises:
        NotFound: Nobody knows the column.
        InvalidInput: Inputs are made of it without being it, or it has one value only.
    """
    position = _position(rows, check.column)
    if position is None:
        return {"is_input": False}
    found, values = np.zeros(len(rows.values)), _values(rows, position, _OTHERS)
    to = np.zeros(len(rows.values), dtype=np.int64)
    for index, value in enumerate(values):
        change = np.abs(rows.ask(rows.with_value(position, value)) - rows.scores)
        to[change > found] = index
        found = np.maximum(found, change)
    worst = int(found.argmax())
    ends = (rows.values[worst][position], values[to[worst]])
    return _broken(rows, check, found, ends, "changes the answer by")


def moved(rows: StoredRows, check: CheckSpec) -> dict[str, Any]:
    """How far answers step back while one input grows: for `monotonic`.

    Raises:
        NotFound: Nobody knows the column.
        InvalidInput: It is no number, inputs are made of it without being it, or it has one value only.
    """
    position = _position(rows, check.column)
    if position is None:
        return {"is_input": False}
    field = rows.model.signature.inputs[position]
    if field.type not in _NUMBERS:
        raise InvalidInput(f"{check.column!r} is of type {field.type}, and has no order.", fix="Name a number.")
    values = _values(rows, position, _STEPS)
    sign = 1.0 if check.op == ">=" else -1.0
    highest = np.full(len(rows.values), -np.inf)
    since = np.zeros(len(rows.values), dtype=np.int64)
    found = np.zeros(len(rows.values))
    step = np.zeros((2, len(rows.values)), dtype=np.int64)
    for index, value in enumerate(values):
        answers = sign * rows.ask(rows.with_value(position, value))
        back = highest - answers
        further = back > found
        step[0][further], step[1][further] = since[further], index
        found = np.maximum(found, back)
        since[answers > highest] = index
        highest = np.maximum(highest, answers)
    worst = int(found.argmax())
    ends = (values[step[0][worst]], values[step[1][worst]])
    return _broken(rows, check, found, ends, "lowers the answer by" if sign > 0 else "raises the answer by")


def _broken(
    rows: StoredRows, check: CheckSpec, found: NDArray[np.float64], ends: tuple[Any, Any], verb: str
) -> dict[str, Any]:
    over = found > check.margin + _ROUNDING
    share = share_interval(int(over.sum()), over.size)
    worst = int(found.argmax())
    before, after = (rows.shown(check.column, value) for value in ends)
    told = f"{rows.row_named(worst)}, where {check.column} from {before} to {after} {verb} {found[worst]:.4g}"
    return {
        "is_input": True, "broken": int(over.sum()), "n": over.size, "low": share.low, "high": share.high,
        "worst": told if over.any() else "",
    }  # fmt: skip


def _position(rows: StoredRows, column: str) -> int | None:
    position = rows.position(column)
    if position is not None:
        return position
    made = rows.made_of(column)
    if made:
        raise InvalidInput(
            f"{', '.join(made)} {'are' if made[1:] else 'is'} made of {column!r}, and the stored rows hold the result only.",
            fix=f"Ask for these: {made[0]!r}.",
        )
    if column not in rows.frame.columns:
        known = [*rows.names, *rows.frame.columns]
        raise NotFound(
            f"Neither the inputs nor the evaluated rows have {column!r}.", fix=near(column, known, what="columns")
        )
    return None


def _values(rows: StoredRows, position: int, most: int) -> list[Any]:
    """Different values of an input, at most so many: of numbers those that lie evenly, of others the most frequent."""
    field = rows.model.signature.inputs[position]
    column = [row[position] for row in rows.values if row[position] is not None]
    if field.type in _NUMBERS:
        known = sorted({value for value in column if _is_number(value)})
        ranked = np.sort(np.asarray([value for value in column if _is_number(value)]))
        if len(known) > most:
            places = np.linspace(0, ranked.size - 1, most).round().astype(int)
            known = sorted({ranked[place].item() for place in places})
    else:
        known = [value for value, _ in Counter(column).most_common(most)]
    if len(known) < 2:
        raise InvalidInput(
            f"All evaluated rows have the same {field.name!r}.", fix="Evaluate on rows in which it differs."
        )
    return known
