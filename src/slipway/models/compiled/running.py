"""A program made callable, with NumPy alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.errors import InvalidInput
from slipway.models.compiled import program as steps
from slipway.models.compiled.folding import folded
from slipway.models.compiled.forests import Trees
from slipway.models.compiled.fusing import Fused, fused
from slipway.models.compiled.lone import lone
from slipway.models.compiled.program import Program, Step
from slipway.models.compiled.reading import Declined, Given, Refused, Run, indexer, numbers, table

__all__ = ["UFUNCS", "Compiled", "array_before"]

UFUNCS: Mapping[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in (
        "absolute", "arcsinh", "arctan", "cbrt", "cos", "exp", "exp2", "expm1", "log", "log10", "log1p", "log2", "negative",
        "reciprocal", "sign", "sin", "sqrt", "square", "tanh",
    )
}  # fmt: skip
"""What a program may ask NumPy for by name."""

_Floats = NDArray[Any]
_Rows = Sequence[Sequence[Any]]
_NOTHING: _Floats = np.empty((0, 0))
_COLUMNS_FROM = 8
_SHOWN = 60


class Compiled:
    """Answers rows of plain values as the estimator does, or leaves them to it. Safe for threads.

    Args:
        program: What is computed.
        names: Of the inputs, in order.
    """

    def __init__(self, program: Program, names: Sequence[str]) -> None:
        self._inputs, self._score, self._names = program.inputs, program.score, tuple(names)
        together = fused(program)
        trees = None if together is None else Trees(together.forest, together.looked)
        self._runs = _runs_of(program, together, trees)
        self._alone = folded(program) if program.folded else None
        if together is not None and trees is not None:
            self._alone = lone(program, together, trees, lambda step: _RUNNERS[type(step)](step))
        self._room = [_NOTHING] * len(program.steps)

    def alone(self, row: Sequence[Any]) -> float | None:
        """The score of one row in the signature's order, where there is a shorter way to it than by arrays; else None."""
        if self._alone is None or len(row) != self._inputs:
            return None
        return self._alone(row)

    def rows(self, rows: _Rows) -> NDArray[np.float64] | None:
        """The scores of rows in the signature's order; None where the estimator must be asked for one of them.

        Args:
            rows: Each with one value an input: None, bool, int, float or str.

        Returns:
            float64 of shape `(len(rows),)`, all finite.

        Raises:
            InvalidInput: A value is one that an encoder of the estimator refuses; the input is named.
        """
        if set(map(len, rows)) != {self._inputs}:
            return None
        if len(rows) == 1:
            score = self.alone(rows[0])
            if score is not None:
                return np.array((score,))
        given = Given(rows, list(zip(*rows, strict=True)) if len(rows) >= _COLUMNS_FROM else ())
        arrays = self._room.copy()
        try:
            with np.errstate(all="ignore"):
                for number, run in self._runs:
                    arrays[number] = run(given, arrays)
        except Declined:
            return None
        except Refused as problem:
            raise self._refusal(problem) from None
        scores = arrays[self._score].reshape(len(rows)).astype(np.float64, copy=False)
        return scores if np.isfinite(scores).all() else None

    def _refusal(self, problem: Refused) -> InvalidInput:
        name, shown = self._names[problem.place], repr(problem.value)
        return InvalidInput(
            f"The model refuses {shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '...'} for {name!r}.",
            why="What it was fitted on held no such value.",
            fix="Give a value of training, or let the pipeline's encoder ignore what it does not know.",
            field=name,
        )


def array_before(program: Program, number: int) -> Callable[[Sequence[Any]], _Floats | None]:
    """A function from one row to a step's array, None where the row is left to the estimator or refused."""
    runs = [_RUNNERS[type(step)](step) for step in program.steps[: number + 1]]

    def run(row: Sequence[Any]) -> _Floats | None:
        given, arrays = Given([row], ()), list[_Floats]()
        try:
            with np.errstate(all="ignore"):
                for each in runs:
                    arrays.append(each(given, arrays))
        except (Declined, Refused):
            return None
        return arrays[number]

    return run


def _runs_of(program: Program, together: Fused | None, trees: Trees | None) -> list[tuple[int, Run]]:
    """What is done for each step, without those whose arrays nobody reads."""
    if together is None or trees is None:
        return [(number, _RUNNERS[type(step)](step)) for number, step in enumerate(program.steps)]
    return [
        (number, _fused_forest(together, trees, program) if number == together.number else _RUNNERS[type(step)](step))
        for number, step in enumerate(program.steps)
        if number not in together.needless
    ]


def _join(step: steps.Join) -> Run:
    return lambda given, arrays: np.concatenate([arrays[i] for i in step.of], axis=1)


def _pick(step: steps.Pick) -> Run:
    columns = np.array(step.columns, dtype=np.intp)
    return lambda given, arrays: arrays[step.of].take(columns, axis=1)


def _check(step: steps.Check) -> Run:
    def run(given: Given, arrays: list[_Floats]) -> _Floats:
        found = arrays[step.of]
        if not np.isfinite(found).all() and (not step.nan or np.isinf(found).any()):
            raise Declined
        return found

    return run


def _cast(step: steps.Cast) -> Run:
    def run(given: Given, arrays: list[_Floats]) -> _Floats:
        found = arrays[step.of].astype(np.float32)
        if np.isinf(found).any():
            raise Declined
        return found

    return run


def _is_missing(x: _Floats, missing: float | None) -> NDArray[np.bool_]:
    return np.isnan(x) if missing is None else x == missing


def _fill(step: steps.Fill) -> Run:
    values = step.values.numpy()

    def run(given: Given, arrays: list[_Floats]) -> _Floats:
        x = arrays[step.of]
        where = _is_missing(x, step.missing)
        return np.where(where, values.astype(x.dtype), x) if where.any() else x

    return run


def _missing(step: steps.Missing) -> Run:
    columns = np.array(step.columns, dtype=np.intp)

    def run(given: Given, arrays: list[_Floats]) -> _Floats:
        x = arrays[step.of].take(columns, axis=1)
        return _is_missing(x, step.missing).astype(x.dtype)

    return run


def _arithmetic(step: steps.Arithmetic) -> Run:
    operate, values = getattr(np, step.kind), step.values.numpy()

    def run(given: Given, arrays: list[_Floats]) -> _Floats:
        x = arrays[step.of]
        # As in place: computed in the wider of both types, rounded to the array's own.
        found: _Floats = operate(x, values, out=np.empty_like(x), casting="same_kind")
        return found

    return run


def _clip(step: steps.Clip) -> Run:
    return lambda given, arrays: np.clip(arrays[step.of], step.low, step.high)


def _ufunc(step: steps.Ufunc) -> Run:
    function = UFUNCS[step.name]
    return lambda given, arrays: function(arrays[step.of])


def _bins(step: steps.Bins) -> Run:
    edges = [array.numpy() for array in step.edges]

    def run(given: Given, arrays: list[_Floats]) -> _Floats:
        x = arrays[step.of]
        found = np.empty_like(x)
        for column, inner in enumerate(edges):
            found[:, column] = np.searchsorted(inner, x[:, column], side="right")
        return found

    return run


def _lookup(step: steps.Lookup) -> Run:
    columns = [
        (keys.numpy(), rows.numpy(), null, other)
        for keys, rows, null, other in zip(step.keys, step.rows, step.null, step.other, strict=True)
    ]

    def run(given: Given, arrays: list[_Floats]) -> _Floats:
        x = arrays[step.of]
        parts = []
        for column, (keys, found, null, other) in enumerate(columns):
            values = x[:, column]
            index = np.searchsorted(keys, values).clip(max=max(len(keys) - 1, 0))
            known = keys[index] == values if len(keys) else np.zeros(len(values), dtype=bool)
            missing = np.isnan(values)
            if (not null and missing.any()) or (not other and not (known | missing).all()):
                raise Declined
            parts.append(found[np.where(known, index, np.where(missing, len(keys), len(keys) + 1))])
        return np.concatenate(parts, axis=1)

    return run


def _products(step: steps.Products) -> Run:
    def run(given: Given, arrays: list[_Floats]) -> _Floats:
        x = arrays[step.of]
        found = np.ones((len(x), len(step.columns)), dtype=x.dtype)
        for index, columns in enumerate(step.columns):
            for column in columns:
                found[:, index] *= x[:, column]
        return found

    return run


def _matrix(step: steps.Matrix) -> Run:
    weights, offset = step.weights.numpy(), step.offset.numpy()

    def run(given: Given, arrays: list[_Floats]) -> _Floats:
        found: _Floats = arrays[step.of] @ weights + offset
        return found

    return run


def _forest(step: steps.Forest) -> Run:
    ask = Trees(step)
    return lambda given, arrays: ask(arrays[step.of])


def _fused_forest(together: Fused, ask: Trees, program: Program) -> Run:
    indexers = [indexer(program.steps[number]) for number in together.tables]  # type: ignore[arg-type]  # all are tables
    blocks, (first, *more) = together.blocks, together.blocks

    def run(given: Given, arrays: list[_Floats]) -> _Floats:
        x = np.concatenate([arrays[number] for number in blocks], axis=1) if more else arrays[first]
        return ask(x, *(index(given) for index in indexers))

    return run


def _gaussian(step: steps.Gaussian) -> Run:
    means, variances = step.means.numpy(), step.variances.numpy()

    def run(given: Given, arrays: list[_Floats]) -> _Floats:
        x = arrays[step.of][:, None, :]
        apart = ((x - means) ** 2 / variances).sum(axis=2)
        found: _Floats = step.offset - 0.5 * (apart[:, 1:] - apart[:, :1])
        return found

    return run


def _interpolated(step: steps.Interpolated) -> Run:
    x, y = step.x.numpy(), step.y.numpy()

    def run(given: Given, arrays: list[_Floats]) -> _Floats:
        found = arrays[step.of]
        if not step.clip and ((found < x[0]) | (found > x[-1])).any():
            raise Declined
        return np.asarray(np.interp(found, x, y))

    return run


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def _expit(x: _Floats) -> _Floats:
    # By the C library's exp, as in SciPy and LightGBM: NumPy's own differs in the last bit.
    values, exp = x.ravel().tolist(), math.exp
    try:
        found = [1.0 / (1.0 + exp(-value)) for value in values]
    except OverflowError:
        found = [1.0 / (1.0 + _exp(-value)) for value in values]
    return np.array(found).reshape(x.shape)


_LINKS: Mapping[str, Callable[[_Floats], _Floats]] = {
    "expit": _expit,
    "exp": np.exp,
    "softplus": lambda x: np.logaddexp(0.0, x),
    "relu": lambda x: np.maximum(x, 0),
    "signed_square": lambda x: np.sign(x) * x * x,
}


def _link(step: steps.Link) -> Run:
    link = _LINKS[step.kind]
    return lambda given, arrays: link(arrays[step.of])


def _blend(step: steps.Blend) -> Run:
    def run(given: Given, arrays: list[_Floats]) -> _Floats:
        total = arrays[step.of[0]] * step.weights[0]
        for place, weight in zip(step.of[1:], step.weights[1:], strict=True):
            total = total + arrays[place] * weight
        return total

    return run


_RUNNERS: Mapping[type[Step], Callable[[Any], Run]] = {
    steps.Numbers: numbers, steps.Table: table, steps.Join: _join, steps.Pick: _pick, steps.Check: _check,
    steps.Cast: _cast, steps.Fill: _fill, steps.Missing: _missing, steps.Arithmetic: _arithmetic, steps.Clip: _clip,
    steps.Ufunc: _ufunc, steps.Bins: _bins, steps.Lookup: _lookup, steps.Products: _products, steps.Matrix: _matrix,
    steps.Forest: _forest, steps.Gaussian: _gaussian, steps.Interpolated: _interpolated, steps.Link: _link,
    steps.Blend: _blend,
}  # fmt: skip
