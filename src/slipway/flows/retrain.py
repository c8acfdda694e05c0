"""`sw.Retrain`: the declaration of what makes a model be trained again."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slipway.code import closure
from slipway.data.declare import Table
from slipway.errors import InvalidDeclaration, UserError
from slipway.flows.triggers import Trigger
from slipway.pipelines.declare import Pipeline
from slipway.records.loop import RetrainSpec, TriggerSpec
from slipway.schema.durations import microseconds

__all__ = ["Retrain"]

_DAY_US = 86_400_000_000
_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
_BUDGET = re.compile(r"([1-9]\d{0,3}) an? (day|week|month|year)")


@dataclass(frozen=True, eq=False)
class Retrain:
    """How an endpoint's model is trained again without anybody's hand.

    What comes of it goes through the endpoint's gate and roll-out like any other model, and needs a standing approval
    where the gate asks for an approval: see `slipway approve --standing`.

    Args:
        pipeline: What to run; a parameter `until` is given the business day.
        when: What asks for it, at least one.
        cooldown: A degraded model is not trained again within this time: "14d".
        at_most: A budget: "2 a month" holds whatever asks for a third within 30 days; "" for none.
        min_labels: How many labels have to be new to the model that serves; 0 for any number.
        window: Only so much data before the business day counts: "90d". The pipeline is given the day from which, as its
            parameter `since`. "" for all that there is: what it learns from grows.
        recent: The same after a concept change, when older rows teach what no longer holds; "" for `window`.
        tables: Tables of the project that are read from their functions or sources before the pipeline runs.

    Raises:
        InvalidDeclaration: Something given is no declaration of its kind.
    """

    pipeline: Pipeline[..., Any]
    when: Sequence[Trigger] = ()
    cooldown: str = "14d"
    at_most: str = ""
    min_labels: int = 0
    window: str = ""
    recent: str = ""
    tables: Sequence[Table] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.pipeline, Pipeline):
            raise InvalidDeclaration(
                f"A retraining was given {self.pipeline!r} as its pipeline.", fix="Give a function under @sw.pipeline."
            )
        is_list = isinstance(self.when, list | tuple)
        if not is_list or not self.when or not all(_asks(trigger) for trigger in self.when):
            raise InvalidDeclaration(
                f"A retraining of {self.pipeline.name!r} was given {self.when!r} as what asks for it.",
                fix="Give a list of sw.cron('0 3 1 * *'), sw.new_labels(1000), sw.degraded and sw.custom_trigger(...).",
            )
        if not isinstance(self.tables, list | tuple) or not all(isinstance(one, Table) for one in self.tables):
            raise InvalidDeclaration(
                f"A retraining of {self.pipeline.name!r} was given {self.tables!r} as its tables.",
                fix="Give a list of functions under @sw.table.",
            )
        microseconds(self.cooldown)
        _budget(self.at_most)
        if isinstance(self.min_labels, bool) or not isinstance(self.min_labels, int) or self.min_labels < 0:
            raise InvalidDeclaration(f"{self.min_labels!r} is no number of labels.", fix="Write min_labels=1000.")
        self._until()
        self._since()

    def spec(self) -> RetrainSpec:
        """The declaration as data."""
        try:
            definition = closure(self.pipeline.function).hash
        except UserError:  # code that cannot be followed: any change of the project's snapshot then counts as another
            definition = ""
        return RetrainSpec(
            pipeline=self.pipeline.name,
            definition=definition,
            when=tuple(trigger.spec for trigger in self.when if isinstance(trigger.spec, TriggerSpec)),
            cooldown_us=microseconds(self.cooldown),
            until=self._until(),
            since=self._since(),
            window_us=microseconds(self.window) if self.window else 0,
            recent_us=microseconds(self.recent) if self.recent else 0,
            at_most=_budget(self.at_most)[0],
            per_us=_budget(self.at_most)[1],
            min_labels=self.min_labels,
        )

    def _since(self) -> str:
        has = "since" in self.pipeline.signature.parameters
        if (self.window or self.recent) and not has:
            raise InvalidDeclaration(
                f"The pipeline {self.pipeline.name!r} takes no 'since', and the retraining has a window.",
                why="The first day that counts is given to it under this name.",
                fix="Add a parameter with a default: since: date | None = None",
            )
        for given in (self.window, self.recent):
            if given and microseconds(given) < _DAY_US:
                raise InvalidDeclaration(f"{given!r} is too short a window; the least is a day.", fix="Write '90d'.")
        return "since" if self.window or self.recent else ""

    def _until(self) -> str:
        parameters = self.pipeline.signature.parameters.values()
        needed = [p.name for p in parameters if p.default is inspect.Parameter.empty and p.name != "until"]
        if needed:
            raise InvalidDeclaration(
                f"The pipeline {self.pipeline.name!r} needs {needed[0]!r}, which a retraining cannot give.",
                fix=f"Give {needed[0]!r} a default value.",
            )
        return "until" if any(p.name == "until" for p in parameters) else ""


def _budget(words: object) -> tuple[int, int]:
    """How many, within how many microseconds; (0, 0) for no budget."""
    if words == "":
        return 0, 0
    found = _BUDGET.fullmatch(words) if isinstance(words, str) else None
    if found is None:
        raise InvalidDeclaration(
            f"{words!r} is no budget of retrainings.", fix="Write '2 a month'; a day, week, month or year."
        )
    return int(found[1]), _DAYS[found[2]] * _DAY_US


def _asks(trigger: object) -> bool:
    """Whether it is a trigger of retrainings; others are those of a `sw.Schedule`."""
    return isinstance(trigger, Trigger) and isinstance(trigger.spec, TriggerSpec)
