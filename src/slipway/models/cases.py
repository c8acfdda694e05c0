"""The rows on which a packaged model must give the trained one's answers: training rows, and rows at the edges."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slipway.errors import InvalidInput
from slipway.models.scoring import TOLERANCE, Scorer
from slipway.models.state import Case
from slipway.records.schema import Field

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["check_alone", "check_served", "edge_cases", "positions", "training_cases"]

_ROWS = 100
_NULLS_A_COLUMN = 2
_UNKNOWN = "slipway: never seen"


def positions(rows: int, missing: Sequence[Sequence[int]]) -> list[int]:
    """Which training rows to keep: evenly spread, and for every column a few in which it is missing.

    Args:
        rows: How many there are.
        missing: For each column the positions at which it is missing.
    """
    even = {round(i * (rows - 1) / max(1, min(_ROWS, rows) - 1)) for i in range(min(_ROWS, rows))}
    return sorted(even.union(*(set(found[:_NULLS_A_COLUMN]) for found in missing)))


def training_cases(where: Sequence[int], rows: Sequence[list[Any]], answers: NDArray[np.float64]) -> tuple[Case, ...]:
    """Training rows as cases.

    Args:
        where: Their positions.
        rows: Plain values in the signature's order.
        answers: What the trained estimator says, asked in its own way.

    Raises:
        InvalidInput: An answer is not a finite number.
    """
    for position, answer in zip(where, answers, strict=True):
        if not np.isfinite(answer):
            raise InvalidInput(
                f"The model answers {answer} for training row {position}.",
                why="Every row it was trained on needs a finite answer.",
                fix="Look at that row, and at how the pipeline treats missing values.",
            )
    return tuple(
        Case(name=f"training row {position}", row=row, answer=float(answer))
        for position, row, answer in zip(where, rows, answers, strict=True)
    )


def check_served(known: Sequence[Case], scorer: Scorer, native: Any) -> None:
    """Refuse an estimator that answers otherwise once a training row has been through a request.

    Args:
        known: Training rows with the estimator's own answers.
        scorer: Asks it as an endpoint will.
        native: The same rows as the estimator was fitted on them, None where they were prepared from others.

    Raises:
        InvalidInput: An answer differs; the row, and the input that looks different, are named.
    """
    served = scorer.rows([case.row for case in known])
    for index, (case, answer) in enumerate(zip(known, served, strict=True)):
        if case.answer is None or abs(answer - case.answer) <= TOLERANCE * max(1.0, abs(case.answer)):
            continue
        changed = _changed(scorer.names, _native_row(native, index, scorer), scorer.as_seen(case.row))
        raise InvalidInput(
            f"The estimator answers {case.answer!r} for {case.name}, and {answer!r} for the same row out of a request.",
            why=changed or "It looks the same to the estimator both times: its answers are not repeatable.",
            fix="Use one kind of missing value in each training column, and an estimator without randomness in predict.",
            field=changed.split("'")[1] if changed else "",
        )


def check_alone(known: Sequence[Case], scorer: Scorer) -> None:
    """Refuse a model whose rows are prepared otherwise alone than together, or otherwise out of a request.

    Args:
        known: Training rows with the estimator's answers, prepared together.
        scorer: Asks it as an endpoint will.

    Raises:
        InvalidInput: An answer differs; the row is named.
    """
    together = scorer.rows([case.row for case in known])
    for case, answer in zip(known, together, strict=True):
        for how, found in (("out of a request", answer), ("when it stands alone", float(scorer.rows([case.row])[0]))):
            if case.answer is not None and abs(found - case.answer) > TOLERANCE * max(1.0, abs(case.answer)):
                raise InvalidInput(
                    f"The model answers {case.answer!r} for {case.name} among the others, and {found!r} {how}.",
                    why="prepare looks at other rows, or at how a column is typed: a request would get another answer.",
                    fix="Take what it needs of other rows from known; `slipway new --from-notebook` says where it looks.",
                )


def _native_row(native: Any, index: int, scorer: Scorer) -> Sequence[Any] | None:
    if native is None:
        return None
    if isinstance(native, np.ndarray):
        return list(native[index])
    if not scorer.takes_frames:
        return None  # a booster encodes the frame by itself; its cells cannot be compared with codes
    return list(native.iloc[index]) if hasattr(native, "iloc") else list(native.row(index))


def _changed(names: Sequence[str], trained: Sequence[Any] | None, seen: Sequence[Any]) -> str:
    for name, before, after in zip(names, trained or seen, seen, strict=True):
        if not _same(before, after):
            return f"The input {name!r} was {before!r} in training and is {after!r} in a request."
    return ""


def _same(before: Any, after: Any) -> bool:
    if before is after:
        return True
    if type(before) is not type(after):
        return False
    return bool(before == after) or bool(before != before and after != after)  # NaN is itself


def edge_cases(fields: Sequence[Field], known: Sequence[Case], scorer: Scorer) -> tuple[Case, ...]:
    """One training row altered in one input at a time, with what the trained estimator says; None where it refuses.

    Null, an unknown category, an int where a float is due, and numbers beyond those of training.
    """
    if not known:
        return ()
    base = min(known, key=lambda case: sum(value is None for value in case.row)).row
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what an estimator warns of here, it was asked on purpose
        for index, field in enumerate(fields):
            held = [case.row[index] for case in known if case.row[index] is not None]
            for name, value in _edges(field, held):
                row = [*base[:index], value, *base[index + 1 :]]
                found.append(Case(name=f"{field.name} is {name}", row=row, answer=_ask(scorer, row), column=field.name))
    return tuple(found)


def _edges(field: Field, held: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    yield "null", None
    if field.type in ("category", "string"):
        yield "an unknown text", _UNKNOWN
    elif field.type == "bool":
        yield "true", True
        yield "false", False
    elif held:
        low, high = min(held), max(held)
        beyond = 10 * (high - low) + 1
        if field.type == "float":
            yield "an int", round((low + high) / 2)
        yield "far below", low - beyond
        yield "far above", high + beyond


def _ask(scorer: Scorer, row: list[Any]) -> float | None:
    try:
        return float(scorer.rows([row])[0])
    except InvalidInput:
        return None
