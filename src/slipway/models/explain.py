"""Explaining one answer: what trees or the framework itself can tell where it adds up to the answer, else sampling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from slipway.errors import InvalidInput
from slipway.hashing import digest
from slipway.models.compiled.tree_shares import Shares
from slipway.models.scoring import Scorer
from slipway.models.state import Case
from slipway.ports.model_format import Task
from slipway.records.explanations import Contribution, Explanation
from slipway.stats.shapley import sampled

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CALLS", "TREES", "Explainer"]

CALLS = 1024
"""Rows that a model is asked at most to explain one answer by sampling; two orders of its inputs at least."""
TREES = ("lightgbm", "xgboost")
"""The formats whose frameworks tell the Shapley values of their trees."""
_BELIEVED = 1e-5
"""How far the framework's sum may be from the answer: XGBoost adds in float32."""
_EXACT = 1e-9
"""How far the sum of a compiled model's trees may be from the answer: both are of float64."""
_EPSILON = 2.0**-52
_SUM = 1e-8
"""How far differences may be from adding up where a model is a sum."""
_LOST = 1e-6

_SCALES: dict[Task, tuple[str, ...]] = {
    "classification": ("log-odds", "probability"),
    "regression": ("value", "log of the value"),
}


class Explainer:
    """Explains the answers of one model.

    Args:
        scorer: Asks it.
        task: What it predicts.
        cases: The reference rows with their answers, read anew each time (they may be erased meanwhile); None where they
            are gone.
        has_trees: Whether the format is one of `TREES`: then the framework is asked, and loaded for it, though the model be
            compiled and its trees tell nothing.
        trees: Reads what tells a compiled model's trees' shares (see `tree_shares`); called once, with the first answer
            that is explained.
    """

    def __init__(
        self,
        scorer: Scorer,
        task: Task,
        cases: Callable[[], Sequence[Case] | None],
        *,
        has_trees: bool = False,
        trees: Callable[[], Shares | None] = lambda: None,
    ) -> None:
        self._scorer = scorer
        self._task: Task = task
        self._cases = cases
        self._has_trees = has_trees
        self._read_trees = cache(trees)
        self._groups: _Groups | None = None

    def __call__(self, row: Sequence[Any], score: float, top: int) -> Explanation:
        """Explain the answer to one row. The same row gives the same explanation.

        Args:
            row: Its inputs as plain values, in the signature's order.
            score: The model's answer to it.
            top: How many contributions are told one by one.

        Raises:
            InvalidInput: It cannot be explained: the reference rows were erased, or the model refuses rows between them
                and this one.
        """
        found = self._by_trees(row, score) or self._told(row, score) or self._sampled(row, score)
        order = sorted(range(len(row)), key=lambda i: (-abs(found.values[i]), i))
        names = self._scorer.names
        return Explanation(
            scale=found.scale,
            how=found.how,
            score=found.score,
            base=found.base,
            contributions=tuple(
                Contribution(input=names[i], value=row[i], contribution=float(found.values[i])) for i in order[:top]
            ),
            rest=float(sum(found.values[i] for i in order[top:])),
            residual=found.score - found.base - float(found.values.sum()),
        )

    def _by_trees(self, row: Sequence[Any], score: float) -> _Found | None:
        """What a compiled model's trees tell, None where it rests on none, or on more than their sum."""
        trees = self._read_trees()
        told = trees and trees(row)
        if not told:
            return None
        plain = "probability" if self._task == "classification" else "value"
        scale = {None: plain, "expit": "log-odds", "exp": "log of the value"}.get(told.link)
        total = told.base + float(told.values.sum())
        if scale is None or not _adds_up(scale, total, score):
            return None
        # Of an answer near its end the logarithm would show nothing but the last bit, which the sum does not lack.
        return _Found(told.values, told.base, total if told.link else score, scale, "exact, by the trees")

    def _told(self, row: Sequence[Any], score: float) -> _Found | None:
        """What the framework itself tells, None where it does not or where that is not this answer."""
        if self._scorer.is_compiled and not self._has_trees:  # its process has no framework, and gets none for this
            return self._as_sum(row, score)
        told = self._scorer.attributed([row])
        if told is None:
            return None
        parts, base = told.parts[0], float(told.base[0])
        scale = _scale_of(base + float(parts.sum()), score, self._task)
        if scale is None:
            return None
        if not told.is_sum and not self._scorer.is_prepared:
            if len(parts) != len(row):
                return None
            values, how = parts, "exact, by the trees"
        else:
            groups = self._groups = self._groups or self._grouped(is_sum=told.is_sum)
            owners = groups and self._owners(groups, row, parts, is_sum=told.is_sum)
            if groups is None or owners is None:
                return None
            values, base = groups.summed(owners, parts, len(row)), base + float(groups.means.sum())
            how = "exact, as a sum" if told.is_sum else "exact, by the trees"
        return _Found(values, base, _on(scale, score, base + float(values.sum())), scale, how)

    def _as_sum(self, row: Sequence[Any], score: float) -> _Found | None:
        """Each input's own difference, which is all there is to a sum; None where the model is none, or the rows are gone.

        On a scale on which the differences add up to the answer's distance from the base, the model is a sum.
        """
        background = self._background()
        most = max(1, CALLS // len(row))
        chosen = background[:: -(-len(background) // most)]
        asked = [[*row[:i], case.row[i], *row[i + 1 :]] for i in range(len(row)) for case in chosen]
        found = self._ask(asked).reshape(len(row), len(chosen))
        for scale in _SCALES[self._task]:
            with np.errstate(divide="ignore", invalid="ignore"):
                here, others = _scaled(scale, np.full(1, score))[0], _scaled(scale, found)
                base = float(_scaled(scale, np.asarray([case.answer for case in chosen], dtype=np.float64)).mean())
                values = (here - others).mean(axis=1)
            if np.isfinite(values).all() and abs(here - base - values.sum()) <= _SUM * max(1.0, abs(here)):
                return _Found(values, base, float(here), scale, "exact, as a sum")
        return None

    def _sampled(self, row: Sequence[Any], score: float) -> _Found:
        background = self._background()
        answers = np.asarray([case.answer for case in background], dtype=np.float64)
        found = sampled(
            self._ask, row, score, [case.row for case in background], answers,
            calls=CALLS, seed=int(digest(msgspec.json.encode(list(row)))[:15], 16),
        )  # fmt: skip
        scale = _SCALES[self._task][1 if self._task == "classification" else 0]
        return _Found(found.values, float(answers.mean()), score, scale, f"sampled, {found.calls:,} model calls")

    def _ask(self, rows: list[list[Any]]) -> NDArray[np.float64]:
        """Answers to rows that are made of a row and the reference rows, whose values no sentence may tell."""
        try:
            return self._scorer.rows(rows)
        except InvalidInput as problem:
            raise _refused() from problem

    def _background(self) -> list[Case]:
        cases = self._cases()
        rows = [case for case in cases or () if not case.column and case.answer is not None]
        if not rows:
            raise InvalidInput(
                "The answer cannot be explained: there are no reference rows to compare it with.",
                why="They were erased with a person's rows.",
                fix="Train the model again, and deploy that version.",
            )
        return rows

    def _grouped(self, *, is_sum: bool) -> _Groups | None:
        """Which input each column comes from, found by exchanging the values of one input after the other."""
        rows = [case.row for case in self._background()]
        known = self._columns(rows, is_sum)
        if known is None:
            return None
        owners = np.full(known.shape[1], _NOBODY)
        for place in range(len(rows[0])):
            moved = [[*row[:place], rows[i - 1][place], *row[place + 1 :]] for i, row in enumerate(rows)]
            found = self._columns(moved, is_sum)
            if found is None or found.shape != known.shape:
                return None
            depends = (found != known) & ~(np.isnan(found) & np.isnan(known))
            touched = depends.any(axis=0)
            owners[touched & (owners != _NOBODY)] = _SEVERAL
            owners[touched & (owners == _NOBODY)] = place
        if (owners == _SEVERAL).any():
            return None
        means = known.mean(axis=0) if is_sum else np.zeros(known.shape[1])
        return _Groups(owners, means)

    def _owners(
        self, groups: _Groups, row: Sequence[Any], parts: NDArray[np.float64], *, is_sum: bool
    ) -> NDArray[np.int64] | None:
        """Whose each column is, also of those that no reference row has: a rare category's.

        None where a column cannot be said to be of one input.
        """
        if len(parts) != len(groups.owners):
            return None
        unknown = (groups.owners == _NOBODY) & (parts != groups.means)
        if not unknown.any():
            return groups.owners
        other = self._background()[0].row
        found = self._columns([list(row), *([*row[:i], other[i], *row[i + 1 :]] for i in range(len(row)))], is_sum)
        if found is None:
            return None
        depends = found[1:] != found[0]
        if (depends[:, unknown].sum(axis=0) != 1).any():
            return None
        return np.where(unknown, depends.argmax(axis=0), groups.owners)

    def _columns(self, rows: list[list[Any]], is_sum: bool) -> NDArray[np.float64] | None:
        try:
            if not is_sum:
                return self._scorer.columns(rows)
            told = self._scorer.attributed(rows)
        except InvalidInput:  # rows that nobody ever had: what cannot be tried is not known
            return None
        return None if told is None else told.parts


def _refused() -> InvalidInput:
    return InvalidInput(
        "The answer cannot be explained: the model refuses rows that lie between this one and the reference rows.",
        why="It is explained by asking for such rows.",
        fix="Let the model answer whatever its inputs allow one by one.",
    )


class _Found(NamedTuple):
    values: NDArray[np.float64]
    base: float
    score: float
    scale: str
    how: str


_NOBODY, _SEVERAL = -1, -2


class _Groups(NamedTuple):
    """From columns back to inputs; no row is kept.

    Args:
        owners: The input that each column comes from; `_NOBODY` where the reference rows never changed it.
        means: What each column adds on average over the reference rows; zeros where parts are relative already.
    """

    owners: NDArray[np.int64]
    means: NDArray[np.float64]

    def summed(self, owners: NDArray[np.int64], parts: NDArray[np.float64], width: int) -> NDArray[np.float64]:
        """What each input adds."""
        found = np.zeros(width)
        owned = owners >= 0
        np.add.at(found, owners[owned], (parts - self.means)[owned])
        return found


def _scale_of(total: float, score: float, task: Task) -> str | None:
    """On which scale a sum is the answer, None where it is on none."""
    for scale in _SCALES[task]:
        if abs(_answer(scale, total) - score) <= _BELIEVED * max(1.0, abs(score)):
            return scale
    return None


def _adds_up(scale: str, total: float, score: float) -> bool:
    """Whether a sum is the answer, on its scale as near as the answer's own last bit can tell."""
    room = score * (1 - score) if scale == "log-odds" else 1.0
    slack = 4 * _EPSILON / room if room > 0 else 0.0
    is_near = abs(_on(scale, score, total) - total) <= _EXACT * max(1.0, abs(total)) + slack
    return is_near and abs(_answer(scale, total) - score) <= _EXACT * max(1.0, abs(score))


def _scaled(scale: str, answers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Answers on a scale; infinite or NaN at its ends."""
    if scale == "log-odds":
        return np.asarray(np.log(answers) - np.log1p(-answers), dtype=np.float64)
    return np.asarray(np.log(answers), dtype=np.float64) if scale == "log of the value" else answers


def _answer(scale: str, total: float) -> float:
    if scale == "log-odds":
        return 0.5 * (1.0 + math.tanh(total / 2))
    if scale == "log of the value":
        return math.exp(min(total, 700.0))
    return total


def _on(scale: str, score: float, total: float) -> float:
    """An answer on a scale; the sum itself where the answer is too near to its end to tell."""
    if scale == "log-odds":
        room = score * (1 - score)
        return total if room <= 0 or _EPSILON / room > _LOST else math.log(score / (1 - score))
    if scale == "log of the value":
        return math.log(score) if score > 0 else total
    return score
