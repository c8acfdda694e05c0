"""What a model's answers rest on: importances two ways, partial dependence, interactions, and inputs that tell the label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from slipway.errors import InvalidInput
from slipway.ledger.step_scope import run_step
from slipway.models.frames import column_names, plain_rows
from slipway.models.inputs import label_values
from slipway.models.model import Model
from slipway.records.explanations import Dependence, Explained, Importance, Interaction
from slipway.records.gates import LEAKS_FROM
from slipway.schema.types import frame_of
from slipway.stats.alone import SURE, alone
from slipway.stats.classification import log_losses
from slipway.stats.importance import interaction, partial, permuted

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["explain"]

_ROWS = 1000
_LEAST_ROWS = 50
_TIMES = 3
_ASKED = 200_000
"""Rows that exchanging inputs may ask a model for; with many inputs fewer rows are looked at."""
_EXACT, _SAMPLED = 200, 20
"""Rows whose answers are explained one by one."""
_TOP = 5
_GRID = 11
_OVER = 200
_PAIRED = 4
_PAIR_ROWS = 50
_FEWEST = 5
"""A text that fewer rows have is not told: it might be somebody's."""


def explain(model: Model, rows: pl.DataFrame | pd.DataFrame, *, label: str = "") -> Model:
    """Find out what a model's answers rest on, and keep it with the model: for its page and its card.

    Inside a pipeline it is a step of its own, recorded and cached. It is asked for rather than done by every `evaluate`,
    because it asks the model some hundred thousand times: for most models seconds, and never more than is said here.

    Args:
        model: The trained model.
        rows: Rows that it was not trained on, with the label: at most 1,000 of them are looked at.
        label: The column of the truth; left out, the one that it was trained or evaluated on.

    Returns:
        The same model, carrying its `Explained`.

    Raises:
        InvalidInput: A column is missing, there are fewer than 50 rows, or the model refuses a row.
    """
    frame = frame_of(rows, "The rows to explain with")
    truth = label or model.state.label or (model.evaluation.label if model.evaluation else "")
    if not truth:
        raise InvalidInput(
            "Nobody said which column is the truth.", fix="sw.explain(model, rows, label='late')", field="label"
        )
    column_names(frame, [*(field.name for field in model.signature.inputs), truth])
    if frame.height < _LEAST_ROWS:
        raise InvalidInput(
            f"There are {frame.height} rows to explain the model with.",
            why=f"Fewer than {_LEAST_ROWS} say nothing of what its answers rest on.",
            fix="Give the rows that it was evaluated on.",
        )
    return run_step(
        "explain",
        lambda: model.with_explained(_Asked(model, frame, truth).explained()),
        inputs={"model": model, "rows": frame, "label": truth},
    )


class _Asked:
    """A model and the rows that it is asked, with a count of how often."""

    def __init__(self, model: Model, frame: pl.DataFrame, label: str) -> None:
        self.model, self.label = model, label
        self.names = [field.name for field in model.signature.inputs]
        most = max(_LEAST_ROWS, min(_ROWS, _ASKED // (_TIMES * len(self.names))))
        chosen = frame[_evenly(frame.height, most)]
        self.rows = plain_rows(chosen, self.names)
        self.truth = label_values(chosen, label)
        self.is_binary = model.task == "classification"
        self.count = 0

    def explained(self) -> Explained:
        """Everything, in order."""
        contributions, how, scale = self._contributions()
        importances = self._importances(contributions)
        top = [self.names.index(one.input) for one in importances[:_TOP]]
        return Explained(
            rows=len(self.rows),
            label=self.label,
            how=how,
            scale=scale,
            importances=tuple(importances),
            dependences=tuple(found for place in top if (found := self._dependence(place)) is not None),
            interactions=tuple(self._interactions(top[:_PAIRED])),
            leaks=tuple(self._leaks()),
            asked=self.count,
        )

    def ask(self, rows: list[list[Any]]) -> NDArray[np.float64]:
        """The model's answers."""
        self.count += len(rows)
        return np.asarray(self.model.predict_rows(rows), dtype=np.float64)

    def _contributions(self) -> tuple[NDArray[np.float64], str, str]:
        """Mean absolute contributions; of a model that must be sampled over fewer rows."""
        width = len(self.names)
        first = self.model.explain(self.rows[0], width)
        is_exact = first.how.startswith("exact")
        total = np.zeros(width)
        chosen = _evenly(len(self.rows), _EXACT if is_exact else _SAMPLED)
        for place in chosen:
            for one in self.model.explain(self.rows[place], width).contributions:
                total[self.names.index(one.input)] += abs(one.contribution)
        return total / len(chosen), first.how, first.scale

    def _importances(self, contributions: NDArray[np.float64]) -> list[Importance]:
        grown = [
            permuted(self.ask, self.rows, self._losses(), place, times=_TIMES, seed=place)
            for place in range(len(self.names))
        ]
        whole = sum(max(0.0, one.value) for one in grown) or 1.0
        parts = contributions / (contributions.sum() or 1.0)
        found = [
            Importance(
                input=name,
                permuted=max(0.0, one.value) / whole,
                low=one.low / whole,
                high=one.high / whole,
                contribution=float(part),
            )
            for name, one, part in zip(self.names, grown, parts, strict=True)
        ]
        return sorted(found, key=lambda one: (-one.permuted, -one.contribution, one.input))

    def _losses(self) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
        truth = self.truth
        return (lambda scores: log_losses(truth, scores)) if self.is_binary else (lambda scores: (scores - truth) ** 2)

    def _dependence(self, place: int) -> Dependence | None:
        values = self._grid(place)
        if len(values) < 2:
            return None
        over = [self.rows[i] for i in _evenly(len(self.rows), _OVER)]
        answers = partial(self.ask, over, (place,), [(value,) for value in values])
        return Dependence(input=self.names[place], values=tuple(values), answers=tuple(answers.tolist()))

    def _grid(self, place: int) -> list[Any]:
        """Numbers at their deciles, but for the ends; texts that several rows have."""
        column = [row[place] for row in self.rows if row[place] is not None]
        if column and all(isinstance(value, int | float) and not isinstance(value, bool) for value in column):
            ranked = sorted(column)
            return sorted({ranked[round(share * (len(ranked) - 1))] for share in np.linspace(0.05, 0.95, _GRID)})
        return [value for value, rows in Counter(column).most_common(_GRID) if rows >= _FEWEST]

    def _interactions(self, places: Sequence[int]) -> list[Interaction]:
        rows = [self.rows[i] for i in _evenly(len(self.rows), _PAIR_ROWS)]

        def ask(asked: list[list[Any]]) -> NDArray[np.float64]:
            scores = self.ask(asked)
            if not self.is_binary:
                return scores
            kept = np.clip(scores, 1e-9, 1 - 1e-9)  # effects add up on the scale of log-odds, if on any
            return np.asarray(np.log(kept / (1 - kept)), dtype=np.float64)

        own = {place: partial(ask, rows, (place,), [(row[place],) for row in rows]) for place in places}
        found = [
            Interaction(
                first=self.names[one],
                second=self.names[other],
                strength=interaction(ask, rows, one, other, own.__getitem__),
            )
            for index, one in enumerate(places)
            for other in places[index + 1 :]
        ]
        return sorted(found, key=lambda one: -one.strength)

    def _leaks(self) -> list[str]:
        figure = "an AUC" if self.is_binary else "a rank correlation"
        found = []
        for place, name in enumerate(self.names):
            if name == self.label:
                found.append(f"{name} is the label: take it out of the inputs.")
                continue
            strength, low = alone([row[place] for row in self.rows], self.truth, is_binary=self.is_binary)
            if strength >= LEAKS_FROM and low > SURE:
                found.append(
                    f"{name} alone predicts {self.label} with {figure} of {strength:.4g}: see when it becomes known, and "
                    "leave it out if that is with the label or after the decision."
                )
        return found


def _evenly(rows: int, most: int) -> list[int]:
    """At most so many positions that lie evenly among the rows."""
    return list(range(rows)) if rows <= most else np.linspace(0, rows - 1, most).astype(int).tolist()
