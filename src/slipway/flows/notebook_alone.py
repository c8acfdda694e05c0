"""Proof that what is made of a row does not depend on the rows beside it, and the name of the place where it does."""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from slipway.code.cell_flow import Statement
from slipway.errors import InvalidInput
from slipway.flows.notebook_prepare import Preparing
from slipway.flows.notebook_run import kind_of
from slipway.flows.notebook_sites import crossing_in
from slipway.flows.notebook_windows import proposed_window
from slipway.models.known import Known
from slipway.models.prepared import row_tuples, rows_in, same_matrix

__all__ = ["ROWS", "needed_columns", "prove_alone", "sampled"]

ROWS = 1000
_COLUMN_ROWS = 300
Prepare = Callable[[Any, Known], Any]


def prove_alone(
    prepare: Prepare,
    made: Preparing,
    known: Known,
    statements: Sequence[Statement],
    pieces: Sequence[tuple[int, str]],
    space: dict[str, Any],
) -> int:
    """Compare each row prepared alone with the same row among all, and these with what the notebook's model was asked with.

    Args:
        prepare: The function.
        made: What it is made of.
        known: What it knows.
        statements: All statements, to name places.
        pieces: The function's lines, piece by piece.
        space: The names of the module, in which the pieces run.

    Returns:
        How many rows were tried alone.

    Raises:
        InvalidInput: A row comes out otherwise; cell, line and column are named, with what to do.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            whole = prepare(made.raw, known)
        except Exception as problem:
            raise InvalidInput(
                f"The cells between loading and fitting fail as one function: {type(problem).__name__}: {problem}",
                why="A request goes through them without the cells that split, fit and show.",
                fix="Let the model's input be made of the loaded rows in cells of their own.",
            ) from problem
        where = sampled(made.raw, ROWS)
        for position in where:
            row = _rows(made.raw, [position])
            try:
                alone = prepare(row, known)
            except Exception:
                if _kept(whole, made.raw, position) is False or _is_left_out(
                    made, known, statements, pieces, space, position
                ):
                    continue
                raise _named(made, known, statements, pieces, space, position) from None
            if not _is_same(whole, alone, made.raw, position):
                raise _named(made, known, statements, pieces, space, position)
        _check_given(whole, made, statements)
    made.whole = whole
    return len(where)


def sampled(raw: Any, most: int) -> list[int]:
    """Positions of rows: all of them, or evenly spread ones with those at the edges of each column."""
    n = rows_in(raw)
    if n <= most:
        return list(range(n))
    edges: set[int] = set()
    for name in getattr(raw, "columns", range(raw.shape[1])):
        values = np.asarray(raw[name] if hasattr(raw, "columns") else raw[:, name], dtype=object)
        missing = [i for i, value in enumerate(values) if value is None or value != value]
        edges.update(missing[:2])
        present = [
            (value, i)
            for i, value in enumerate(values)
            if isinstance(value, int | float | np.number) and value == value
        ]
        if present:
            edges.update((min(present)[1], max(present)[1]))
        else:
            counts = Counter(str(value) for value in values)
            rare = {text for text, _ in counts.most_common()[-2:]}
            edges.update([i for i, value in enumerate(values) if str(value) in rare][:2])
    spread = np.linspace(0, n - 1, max(most - len(edges), most // 2)).round().astype(int).tolist()
    return sorted(edges.union(spread))[: most + len(edges)]


def needed_columns(prepare: Prepare, raw: Any, known: Known) -> list[str]:
    """The columns of the loaded rows on which the model's input depends."""
    every = list(getattr(raw, "columns", [f"x{i}" for i in range(raw.shape[1])]))
    if not hasattr(raw, "columns"):
        return every
    sample = _rows(raw, sampled(raw, _COLUMN_ROWS)[: 2 * _COLUMN_ROWS])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = prepare(sample, known)
        if rows_in(base) != rows_in(sample):  # rows that are left out have no answer, and so need nothing
            sample = _rows(
                sample, [i for i in range(rows_in(sample)) if _is_answered(prepare, _rows(sample, [i]), known)]
            )
            base = prepare(sample, known)
        idle = [name for name in every if _is_idle(prepare, sample, known, base, name)]
        changed = sample
        for name in idle:
            changed = _with_column(changed, name, _others(sample[name])[-1])
        if idle and not same_matrix(_prepared(prepare, changed, known), base):
            idle = []  # each of several does without, but not without the others
    return [name for name in every if name not in idle]


def _is_answered(prepare: Prepare, row: Any, known: Known) -> bool:
    try:
        return rows_in(prepare(row, known)) == 1
    except Exception:  # what is left out may fail further on
        return False


def _is_idle(prepare: Prepare, sample: Any, known: Known, base: Any, name: str) -> bool:
    """Whether other values in a column change nothing: its least, its greatest, its most frequent one in every row."""
    tried = [_prepared(prepare, _with_column(sample, name, other), known) for other in _others(sample[name])]
    fitting = [found for found in tried if found is not None]
    return bool(fitting) and all(same_matrix(found, base) for found in fitting)


def _prepared(prepare: Prepare, rows: Any, known: Known) -> Any:
    """What comes of rows, None where a value does not fit there, which tells nothing."""
    try:
        return prepare(rows, known)
    except Exception:
        return None


def _others(series: Any) -> list[Any]:
    values = series.to_list()
    present = [value for value in values if value is not None and value == value] or values
    if all(isinstance(value, str | int | float | bool) for value in present):
        counts = Counter(present)
        return [min(present), max(present), counts.most_common(1)[0][0]]
    return [present[0], present[-1]]


def _with_column(sample: Any, name: str, value: Any) -> Any:
    if hasattr(sample, "iloc"):
        position = [i for i, known in enumerate(sample[name].to_list()) if known is value or known == value][:1] or [0]
        return sample.assign(**{name: sample[name].iloc[position * len(sample)].set_axis(sample.index)})
    return sample.with_columns(pl.Series(name, [value] * len(sample), dtype=sample.schema[name]))


def _check_given(whole: Any, made: Preparing, statements: Sequence[Statement]) -> None:
    """What the notebook's model was asked with must be among what the function makes of all rows."""
    place = statements[made.way.asked].place
    given = made.given
    if _names(given) != _names(whole):
        raise InvalidInput(
            f"The model is asked with {_shape(given)} at {place}; prepared from the loaded rows it would be {_shape(whole)}.",
            why="A request would reach the model in another shape than training rows did.",
            fix="Make the model's input of the loaded rows in cells of their own.",
        )
    have, want = Counter(row_tuples(whole)), Counter(row_tuples(given))
    if lacking := want - have:
        raise InvalidInput(
            f"{sum(lacking.values())} of {sum(want.values())} rows with which the model is asked at {place} do not come out "
            "of the loaded rows by the cells between.",
            why=f"The first of them is {next(iter(lacking))!r}."[:300],
            fix="Look at cells that change these rows on another way than the one to the model.",
        )


def _named(
    made: Preparing,
    known: Known,
    statements: Sequence[Statement],
    pieces: Sequence[tuple[int, str]],
    space: dict[str, Any],
    position: int,
) -> InvalidInput:
    """The sentence that names the first statement at which a row alone and among all comes out otherwise."""
    both = _both(made, known, space, position)
    for at, text in pieces:
        one = statements[at] if at >= 0 else None
        try:
            for names in both:
                exec(compile(text.replace("return ", "__result__ = ", 1) if at == made.way.asked else text, "<prepare>", "exec"), names)  # fmt: skip
        except Exception as problem:
            return _sentence(statements, made, one, "", f"{type(problem).__name__} for one row: {problem}")
        touched = set() if one is None else one.binds | one.changes
        for name in sorted(touched | ({"__result__"} if at == made.way.asked else set())):
            whole, alone = both[0].get(name), both[1].get(name)
            if kind_of(whole).family in ("frame", "series", "array") and not _is_same(whole, alone, made.raw, position):
                return _sentence(statements, made, one, _column_of(whole, alone, made.raw, position), "")
    return _sentence(statements, made, None, "", "")


def _is_left_out(
    made: Preparing,
    known: Known,
    statements: Sequence[Statement],
    pieces: Sequence[tuple[int, str]],
    space: dict[str, Any],
    position: int,
) -> bool:
    """Whether a statement drops the row, alone and among all: what comes after it may want one row at least."""
    alone = _both(made, known, space, position)[1]
    for number, (at, text) in enumerate(pieces):
        try:
            exec(compile(text, "<prepare>", "exec"), alone)
        except Exception:
            return False
        for name in statements[at].binds | statements[at].changes if at >= 0 else ():
            if kind_of(alone.get(name)).family in ("frame", "series", "array") and rows_in(alone[name]) == 0:
                whole = _whole_after(made, known, space, pieces, number)[name]
                return _kept(whole, made.raw, position) is not True and rows_in(whole) < rows_in(made.raw)
    return False


def _whole_after(
    made: Preparing, known: Known, space: dict[str, Any], pieces: Sequence[tuple[int, str]], number: int
) -> dict[str, Any]:
    """The names after a piece ran with all rows; it runs once for all rows that are asked about."""
    after: dict[int, dict[str, Any]] = space.setdefault("__after__", {})
    if number not in after:
        after[number] = _both(made, known, space, 0)[0]
        for _, text in pieces[: number + 1]:
            exec(compile(text, "<prepare>", "exec"), after[number])
    return after[number]


def _both(made: Preparing, known: Known, space: dict[str, Any], position: int) -> list[dict[str, Any]]:
    """The names in which the function's lines run, once with all rows and once with one."""
    rows, known_name = space["__rows__"], space["__known_name__"]
    return [{**space, rows: given, known_name: known.replayed()} for given in (made.raw, _rows(made.raw, [position]))]


def _sentence(
    statements: Sequence[Statement], made: Preparing, one: Statement | None, column: str, problem: str
) -> InvalidInput:
    if one is None:
        return InvalidInput(
            "One row by itself comes out otherwise than among all rows, and no single line does it.",
            why="A request holds one row; the model would be asked with other values than in training.",
            fix="Let each cell between loading and fitting look at one row, or at what training knows.",
        )
    crossing = crossing_in(one.node)
    line, name, does = crossing[0] if crossing else (one.first, "", "depends on the rows beside it")
    what = f"`{name}` {does}" if name else f"what it makes {does}"
    column = column or _column_written(one.node)
    shown = f", column {column!r}" if column else ""
    return InvalidInput(
        f"Cell {one.cell}, line {line}{shown}: {what}, so that one row of a request comes out otherwise than in training"
        f"{f' ({problem})' if problem else ''}.",
        why="What is known of other rows when a request comes is not what the notebook had before it: it held rows of "
        "later times, and those on which the model is judged.",
        fix=proposed_window(statements, made, one.node, name, column),
        field=f"cell {one.cell}: {column}" if column else f"cell {one.cell}",
    )


def _column_written(node: ast.AST) -> str:
    for part in ast.walk(node):
        if isinstance(part, ast.Subscript) and isinstance(part.ctx, ast.Store) and isinstance(part.slice, ast.Constant):
            return str(part.slice.value)
    return ""


def _rows(raw: Any, positions: Sequence[int]) -> Any:
    return raw.iloc[list(positions)].copy() if hasattr(raw, "iloc") else raw[list(positions)]


def _kept(whole: Any, raw: Any, position: int) -> bool | None:
    """Whether a row is among the prepared ones, None where that cannot be told."""
    if rows_in(whole) == rows_in(raw):
        return True
    if hasattr(whole, "index") and list(whole.index) == list(range(rows_in(whole))):
        return None  # the rows were numbered anew
    if hasattr(whole, "index") and hasattr(raw, "index") and raw.index.is_unique and whole.index.isin(raw.index).all():
        return bool(raw.index[position] in whole.index)
    return None


def _counterpart(whole: Any, raw: Any, position: int) -> Any:
    """The prepared row of a loaded row among all, None where only its content could tell."""
    if rows_in(whole) == rows_in(raw):
        if (
            hasattr(whole, "index")
            and hasattr(raw, "index")
            and raw.index.is_unique
            and set(whole.index) == set(raw.index)
        ):
            return whole.loc[[raw.index[position]]]
        return _rows(whole, [position])
    if _kept(whole, raw, position):
        return whole.loc[[raw.index[position]]]
    return None


def _is_same(whole: Any, alone: Any, raw: Any, position: int) -> bool:
    if type(whole) is not type(alone):
        return False
    kept = _kept(whole, raw, position)
    if rows_in(alone) == 0:
        return kept is not True
    if rows_in(alone) != 1 or kept is False:
        return False
    one = _counterpart(whole, raw, position)
    if one is not None:
        return _names(one) == _names(alone) and _near(row_tuples(one)[0], row_tuples(alone)[0])
    return _names(whole) == _names(alone) and row_tuples(alone)[0] in set(row_tuples(whole))


def _near(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Equal, but for the last bits of numbers, which linear algebra may sum in another order for many rows."""
    for a, b in zip(one, other, strict=True):
        if a == b:
            continue
        if not isinstance(a, float) or not isinstance(b, float) or abs(a - b) > 1e-12 * max(1.0, abs(a)):
            return False
    return True


def _column_of(whole: Any, alone: Any, raw: Any, position: int) -> str:
    names, others = _names(whole), _names(alone)
    if names != others:
        return next((name for name in (*names, *others) if (name in names) != (name in others)), "")
    one = _counterpart(whole, raw, position)
    if one is None or rows_in(alone) != 1:
        return ""
    for name, a, b in zip(names, row_tuples(one)[0], row_tuples(alone)[0], strict=True):
        if not _near((a,), (b,)):
            return name if hasattr(whole, "columns") else ""
    return ""


def _shape(matrix: Any) -> str:
    """A matrix in words, for a sentence."""
    names = _names(matrix)
    shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    return f"a {type(matrix).__name__} of {len(names)} columns ({shown})"


def _names(matrix: Any) -> list[str]:
    if hasattr(matrix, "columns"):
        return [str(name) for name in matrix.columns]
    shape: tuple[int, ...] = getattr(matrix, "shape", (0,))
    return [str(i) for i in range(shape[1])] if len(shape) > 1 else ["value"]
