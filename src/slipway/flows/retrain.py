"""`sw.Retrain`: the declaration of what makes a model be trained again."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slipway.code import closure
from slipway.errors import InvalidDeclaration, UserError
from slipway.flows.triggers import Trigger
from slipway.pipelines.declare import Pipeline
from slipway.records.loop import RetrainSpec, TriggerSpec
from slipway.schema.durations import microseconds

__all__ = ["Retrain"]


@dataclass(frozen=True, eq=False)
class Retrain:
    """How an endpoint's model is trained again without anybody's hand.

    What comes of it goes through the endpoint's gate and roll-out like any other model, and needs a standing approval
    where the gate asks for an approval: see `slipway approve --standing`.

    Args:
        pipeline: What to run; a parameter `until` is given the business day.
        when: What asks for it, at least one.
        cooldown: A degraded model is not trained again within this time: "14d".

    Raises:
        InvalidDeclaration: Something given is no declaration of its kind.
    """

    pipeline: Pipeline[..., Any]
    when: Sequence[Trigger] = ()
    cooldown: str = "14d"

    def __post_init__(self) -> None:
        if not isinstance(self.pipeline, Pipeline):
            raise InvalidDeclaration(
                f"A retraining was given {self.pipeline!r} as its pipeline.", fix="Give a function under @sw.pipeline."
            )
        is_list = isinstance(self.when, list | tuple)
        if not is_list or not self.when or not all(_asks(trigger) for trigger in self.when):
            raise InvalidDeclaration(
                f"A retraining of {self.pipeline.name!r} was given {self.when!r} as what asks for it.",
                fix="Give a list of sw.cron('0 3 1 * *') and sw.degraded.",
            )
        microseconds(self.cooldown)
        self._until()

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
        )

    def _until(self) -> str:
        parameters = self.pipeline.signature.parameters.values()
        needed = [p.name for p in parameters if p.default is inspect.Parameter.empty and p.name != "until"]
        if needed:
            raise InvalidDeclaration(
                f"The pipeline {self.pipeline.name!r} needs {needed[0]!r}, which a retraining cannot give.",
                fix=f"Give {needed[0]!r} a default value.",
            )
        return "until" if any(p.name == "until" for p in parameters) else ""


def _asks(trigger: object) -> bool:
    """Whether it is a trigger of retrainings; others are those of a `sw.Schedule`."""
    return isinstance(trigger, Trigger) and isinstance(trigger.spec, TriggerSpec)
