"""`sw.Schedule`: the declaration of a pipeline that runs by itself."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

import msgspec

from slipway.errors import InvalidDeclaration, InvalidInput
from slipway.flows.triggers import Trigger
from slipway.ids import check_name
from slipway.pipelines.declare import Pipeline
from slipway.pipelines.params import converted, parameters_of
from slipway.records.loop import TriggerSpec
from slipway.records.schedules import CatchUp, Overlap, ScheduleSpec, ScheduleTrigger
from slipway.schema.durations import microseconds

__all__ = ["Schedule", "today"]

_MOST_RETRIES = 100


class _Given(Enum):
    """The day of a schedule's firing: that of the time it was due at, in the schedule's zone; otherwise the day in UTC."""

    TODAY = "today"


today = _Given.TODAY


@dataclass(frozen=True, eq=False)
class Schedule:
    """A pipeline that runs by itself, from a snapshot of the project, without anybody's checkout.

    Args:
        pipeline: What runs. It reads tables as they are stored.
        when: What makes it run: `[sw.cron("0 3 * * *", timezone="Europe/Berlin"), sw.on_table("flights")]`. An empty
            list leaves it to people: `slipway schedules fire NAME`.
        name: What people call it; the variable's name in the project's module when missing.
        params: Parameters of the pipeline; `sw.today` stands for the day of the firing.
        catch_up: What becomes of occasions that nobody looked at in time: "latest" runs once, for the newest of them;
            "all" runs once for each, at most the newest 100; "none" runs for none of them.
        overlap: What becomes of a firing while an earlier one still runs: "queue", where of each trigger the newest waits,
            and whatever somebody asked for; "skip"; "allow".
        retries: How often a run that failed is run again.
        retry_delay: How long after the failure: "5m".

    Raises:
        InvalidDeclaration: Something given is no declaration of its kind, or a parameter does not fit the pipeline.
        InvalidInput: The name does not fit.
    """

    pipeline: Pipeline[..., Any]
    when: Sequence[Trigger] = ()
    name: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    catch_up: CatchUp = "latest"
    overlap: Overlap = "queue"
    retries: int = 0
    retry_delay: str = "5m"

    def __post_init__(self) -> None:
        if not isinstance(self.pipeline, Pipeline):
            raise InvalidDeclaration(
                f"A schedule was given {self.pipeline!r} as its pipeline.", fix="Give a function under @sw.pipeline."
            )
        if self.name:
            check_name(self.name, "schedule")
        self._check_choice("catch_up", self.catch_up, typing.get_args(CatchUp))
        self._check_choice("overlap", self.overlap, typing.get_args(Overlap))
        is_number = isinstance(self.retries, int) and not isinstance(self.retries, bool)
        if not is_number or not 0 <= self.retries <= _MOST_RETRIES:
            raise self._unfit("retries", self.retries, f"Give a number from 0 to {_MOST_RETRIES}.")
        microseconds(self.retry_delay)
        self._check_params(self._triggers())

    def spec(self, endpoint: str = "") -> ScheduleSpec:
        """The declaration as data.

        Args:
            endpoint: The endpoint that the pipeline feeds, "" for none.
        """
        fixed = {name: value for name, value in self.params.items() if value is not today}
        return ScheduleSpec(
            pipeline=self.pipeline.name,
            endpoint=endpoint,
            when=self._triggers(),
            params=msgspec.to_builtins(fixed),
            today=tuple(sorted(self.params.keys() - fixed.keys())),
            parameters=parameters_of(self.pipeline),
            catch_up=self.catch_up,
            overlap=self.overlap,
            retries=self.retries,
            retry_delay_us=microseconds(self.retry_delay),
        )

    def _triggers(self) -> tuple[ScheduleTrigger, ...]:
        is_list = isinstance(self.when, list | tuple) and all(isinstance(trigger, Trigger) for trigger in self.when)
        fix = 'Give a list: when=[sw.cron("0 3 * * *"), sw.on_table("flights")].'
        if not is_list:
            raise self._unfit("when", self.when, fix)
        found = []
        for trigger in self.when:
            spec = trigger.spec
            if isinstance(spec, TriggerSpec) and spec.kind not in ("schedule", "custom"):
                raise self._unfit(
                    "when", "sw.degraded", "That is for sw.Retrain; give sw.on_incident('flight-delays')."
                )
            if isinstance(spec, TriggerSpec):
                kind: Literal["cron", "custom"] = "custom" if spec.kind == "custom" else "cron"
                spec = ScheduleTrigger(kind=kind, cron=spec.cron, timezone=spec.timezone, custom=spec.custom)
            found.append(spec)
        if len(set(found)) < len(found) or sum(spec.kind == "hook" for spec in found) > 1:
            raise self._unfit("when", self.when, "Give each of them once.")
        return tuple(found)

    def _check_params(self, triggers: Sequence[ScheduleTrigger]) -> None:
        """Refuse parameters that the pipeline does not have, do not fit it, or are missing."""
        given = self.params
        if not isinstance(given, Mapping):
            raise self._unfit("params", given, "Give a mapping: params={'until': sw.today}.")
        by_hook = [name for spec in triggers for name in spec.params]
        trial = {name: "2000-01-01" if value is today else value for name, value in given.items()}
        try:
            converted(self.pipeline, trial)
            msgspec.to_builtins({name: value for name, value in given.items() if value is not today})
        except (InvalidInput, TypeError, NotImplementedError) as problem:
            raise InvalidDeclaration(
                f"The parameters of the schedule of {self.pipeline.name!r} do not fit: {problem}",
                fix="Give plain values that the pipeline's annotations allow.",
            ) from problem
        known = {one.name: one for one in parameters_of(self.pipeline)}
        if unknown := [name for name in by_hook if name not in known]:
            raise self._unfit("on_hook", unknown[0], f"The pipeline has the parameters: {', '.join(known) or 'none'}.")
        needed = [one.name for one in known.values() if one.is_needed and one.name not in given]
        if needed:
            raise InvalidDeclaration(
                f"The pipeline {self.pipeline.name!r} needs {needed[0]!r}, which its schedule does not give.",
                fix=f"Add it: params={{{needed[0]!r}: ...}}, with sw.today for the day of the firing.",
            )

    def _check_choice(self, what: str, given: object, choices: Sequence[str]) -> None:
        if given not in choices:
            raise self._unfit(what, given, f"Give one of: {', '.join(repr(one) for one in choices)}.")

    def _unfit(self, what: str, given: object, fix: str) -> InvalidDeclaration:
        return InvalidDeclaration(f"The schedule of {self.pipeline.name!r} was given {given!r} as its {what}.", fix=fix)
