"""Trials chosen and ended by Optuna's samplers and pruners, through ask and tell; Optuna stores nothing.

The ledger is the record of a search. A study lives in memory for one search, so nothing here waits for a database.
"""

from __future__ import annotations

import itertools
import math
import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from slipway.errors import InvalidInput, near
from slipway.ports.sampler import Asked
from slipway.records.searches import Choice, Dimension, Integers, Uniform

__all__ = ["OptunaSampler"]

optuna.logging.disable_default_handler()

_LARGEST_GRID = 100_000
_PRUNERS: dict[str, Callable[[], BasePruner]] = {"median": optuna.pruners.MedianPruner}


class OptunaSampler:
    """See `Samplers.__call__`.

    Args:
        space: The dimensions by name.
        maximize: Whether a greater value is better.
        seed: Of its random numbers.
        method: "tpe", "random" or "grid", or a sampler of Optuna's.
        pruner: "median", a pruner of Optuna's, or None.
    """

    def __init__(
        self, space: Mapping[str, Dimension], *, maximize: bool, seed: int, method: object, pruner: object
    ) -> None:
        self._direction = "maximize" if maximize else "minimize"
        self._space = {name: _distribution(one) for name, one in space.items()}
        self._points = _points(space, seed) if method == "grid" else None
        self._study = optuna.create_study(direction=self._direction, sampler=_sampler(method, seed))
        self._pruner = _pruner(pruner)
        self._asked: dict[int, Trial] = {}
        self._known: dict[int, tuple[FrozenTrial, ...]] = {}
        self._told: tuple[FrozenTrial, ...] = ()

    def ask(self) -> Asked | None:
        """See `Sampler.ask`."""
        if self._points is not None:
            if not self._points:
                return None
            self._study.enqueue_trial(self._points.pop())
        trial = self._study.ask(self._space)
        self._asked[trial.number] = trial
        self._known[trial.number] = self._told
        return Asked(trial.number, dict(trial.params))

    def tell(self, number: int, value: float | None, curve: Mapping[int, float], *, pruned: bool = False) -> None:
        """See `Sampler.tell`."""
        trial = self._asked.pop(number)
        self._known.pop(number)
        for step, point in sorted(curve.items()):
            if step >= 0:
                trial.report(point, step)
        state = TrialState.FAIL if value is None else TrialState.PRUNED if pruned else TrialState.COMPLETE
        told = self._study.tell(trial, value if state is TrialState.COMPLETE else None, state=state)
        if self._pruner is not None:
            self._told = (*self._told, told)

    def is_hopeless(self, number: int, curve: Mapping[int, float]) -> bool:
        """See `Sampler.is_hopeless`."""
        if self._pruner is None or min(curve) < 0:
            return False
        seen = optuna.create_study(direction=self._direction)
        seen.add_trials([one for one in self._known[number] if one.state is not TrialState.FAIL])
        running = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=dict(self._asked[number].params),
            distributions=dict(self._space),
            intermediate_values=dict(curve),
        )
        running.number = number
        return bool(self._pruner.prune(seen, running))


def _distribution(one: Dimension) -> BaseDistribution:
    match one:
        case Uniform(low, high, log):
            return FloatDistribution(low, high, log=log)
        case Integers(low, high, step, log):
            return IntDistribution(low, high, step=step, log=log)
        case Choice(options):
            return CategoricalDistribution(options)


def _sampler(method: object, seed: int) -> BaseSampler:
    if isinstance(method, BaseSampler):
        return method
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        makers: dict[str, Callable[[], BaseSampler]] = {
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed, constant_liar=True),
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
            "grid": lambda: optuna.samplers.RandomSampler(seed=seed),  # chooses nothing: the points are given
        }
        if method not in makers:
            raise InvalidInput(
                f"There is no sampler {method!r}.",
                fix=f"{near(str(method), makers, what='samplers')} An object of optuna.samplers is taken too.",
                field="sampler",
            )
        return makers[str(method)]()


def _points(space: Mapping[str, Dimension], seed: int) -> list[dict[str, Any]]:
    """All points of a grid in an order of chance; Optuna's own grid sampler cannot be asked and told."""
    axes: list[Sequence[Any]] = []
    for name, one in space.items():
        if isinstance(one, Uniform) or (isinstance(one, Integers) and one.log):
            raise InvalidInput(
                f"The space's {name!r} is {one.told}, which has no grid.",
                fix=f"Name the values to try: {name!r}: [...].",
                field="sampler",
            )
        axes.append(one.options if isinstance(one, Choice) else range(one.low, one.high + 1, one.step))
    if (size := math.prod(map(len, axes))) > _LARGEST_GRID:
        raise InvalidInput(
            f"The grid has {size:,} points.",
            fix=f"Name at most {_LARGEST_GRID:,}, or take another sampler.",
            field="sampler",
        )
    points = [dict(zip(space, point, strict=True)) for point in itertools.product(*axes)]
    random.Random(seed).shuffle(points)
    return points


def _pruner(pruner: object) -> BasePruner | None:
    if pruner is None or isinstance(pruner, BasePruner):
        return pruner
    if pruner not in _PRUNERS:
        raise InvalidInput(
            f"There is no pruner {pruner!r}.",
            fix=f"{near(str(pruner), _PRUNERS, what='pruners')} An object of optuna.pruners is taken too.",
            field="pruner",
        )
    return _PRUNERS[str(pruner)]()
