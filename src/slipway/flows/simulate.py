"""Simulate: a past period replayed through a real endpoint while a real control plane looks after it.

The time machine goes from instant to instant. At each, first what is known by then is delivered (the barrier), then,
where a tick is due, the control plane looks, then the rows decided at it are asked. What concerns the store happens at
ticks: the clock moves, labels come, faults strike or end, the control plane reconciles; nothing reads them in between.
Machine time is measured and decides nothing; whatever is random is drawn from the plan's seed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge
from itertools import groupby
from operator import itemgetter
from random import Random
from typing import Any, Protocol

from slipway.errors import InvalidInput, SlipwayError
from slipway.features.materialise import Arrival
from slipway.flows.faults import ControlPlane, Fault, Injected, World
from slipway.flows.replay import Caller, Delivery, batched
from slipway.flows.replay_sources import Source
from slipway.records.loop import Action

__all__ = ["Clock", "Plan", "Simulated", "Teller", "simulate"]

_ROWS_A_REQUEST = 100
_FAILURES_IN_A_ROW = 20


class Clock(Protocol):
    """Business time that can be moved."""

    def advance_to(self, instant: datetime) -> None:
        """Move forward to an instant."""
        ...


class Teller(Protocol):
    """Hears what a simulation does, as it does it."""

    def asked(self, at: datetime, rows: int) -> None:
        """So many rows were asked at an instant."""
        ...

    def acted(self, at: datetime, action: Action) -> None:
        """The loop did something, or decided not to."""
        ...

    def said(self, at: datetime, line: str) -> None:
        """A fault was injected or is over."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a simulation replays, and what happens meanwhile.

    Args:
        since: Business time at which it begins.
        until: Rows decided before this are asked, and the control plane looks for the last time at this.
        done_at: Business time at which it ends: what becomes known by then is still delivered.
        tick: How much business time lies between two looks of the control plane.
        seed: From which everything random is drawn.
        faults: What is injected.

    Raises:
        InvalidInput: It ends before it begins, or the tick is no length of time.
    """

    since: datetime
    until: datetime
    done_at: datetime
    tick: timedelta = timedelta(hours=6)
    seed: int = 0
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        if not self.since < self.until <= self.done_at:
            raise InvalidInput(
                f"The simulation would go from {self.since.isoformat()} to {self.until.isoformat()}.",
                why="It must end after it begins.",
                fix="Give a later --until, or an earlier --since.",
                field="until",
            )
        if self.tick <= timedelta():
            raise InvalidInput(
                f"A tick every {self.tick} cannot be.", fix="Give a length of time: --tick 6h", field="tick"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What a simulation did.

    Args:
        scores: The served score by key.
        requests: Predict requests that were answered.
        failures: Predict requests that were not.
        events: Rows of events and views delivered.
        labels: Labels delivered.
        ticks: How often the control plane looked.
        latencies_ms: Of the single-row requests, one a simulated hour: machine time as the caller sees it.
        actions: Everything that the loop did, in order.
        injected: Each fault with its facts.
    """

    scores: dict[Any, float]
    requests: int
    failures: int
    events: int
    labels: int
    ticks: int
    latencies_ms: tuple[float, ...]
    actions: tuple[Action, ...]
    injected: tuple[Injected, ...]


def simulate(
    clock: Clock, caller: Caller, control: ControlPlane, source: Source, plan: Plan, tell: Teller, *, world: World
) -> Simulated:
    """Replay a source through an endpoint, with a tick of the control plane every so often.

    While the control plane is down there is no tick, and the traffic goes on. A request that fails is counted, and its
    rows have no score; many in a row end the simulation.

    Args:
        clock: The business time of all processes of the store.
        caller: The endpoint.
        control: The control plane.
        source: What is replayed.
        plan: The period and what happens in it.
        tell: Hears what is done.
        world: What faults may touch.

    Raises:
        SlipwayError: The endpoint fails again and again, refuses what is delivered, or the control plane fails.
    """
    machine = _Machine(caller, control, source, plan, tell, world)
    for at, is_tick, rows in _instants(source, plan):
        machine.delivery.events_up_to(at)
        if is_tick:
            clock.advance_to(at)
            machine.delivery.labels_up_to(at)
            machine.tick(at)
        if rows:
            machine.ask(at, rows)
    clock.advance_to(plan.done_at)
    machine.finish(plan.done_at)
    return machine.result()


def _instants(source: Source, plan: Plan) -> Iterator[tuple[datetime, bool, list[dict[str, Any]]]]:
    """Every instant at which something happens, in order: whether a tick is due, and the rows to ask."""
    ordered = source.questions.sort(source.at, maintain_order=True)
    asked = zip(ordered[source.at].to_list(), ordered.drop(source.at).iter_rows(named=True), strict=True)
    questions = ((at, False, [row for _, row in group]) for at, group in groupby(asked, key=itemgetter(0)))
    for at, group in groupby(merge(_ticks(plan), questions, key=itemgetter(0)), key=itemgetter(0)):
        is_tick, rows = False, []
        for _, due, more in group:
            is_tick = is_tick or due
            rows += more
        yield at, is_tick, rows


def _ticks(plan: Plan) -> Iterator[tuple[datetime, bool, list[dict[str, Any]]]]:
    at = plan.since + plan.tick
    while at < plan.until:
        yield at, True, []
        at += plan.tick
    yield plan.until, True, []


class _Machine:
    """The state of one simulation."""

    def __init__(
        self,
        caller: Caller,
        control: ControlPlane,
        source: Source,
        plan: Plan,
        tell: Teller,
        world: World,
    ) -> None:
        self._caller = caller
        self._control = control
        self._tell = tell
        self._world = world
        self._key = source.key
        self._injected = tuple(Injected(fault=fault) for fault in plan.faults)
        self._random = Random(plan.seed)
        self.delivery = Delivery(caller, map(self._changed, source.arrivals), source.views, source.labels)
        self._hour: datetime | None = None
        self._scores: dict[Any, float] = {}
        self._latencies_ms: list[float] = []
        self._actions: list[Action] = []
        self._requests = self._failures = self._in_a_row = self._ticks = 0

    def _changed(self, arrival: Arrival) -> Arrival:
        for injected in self._injected:
            arrival = injected.fault.deliver(arrival, injected)
        return arrival

    def tick(self, at: datetime) -> None:
        """Let faults end, let the control plane look unless it is down, and let faults strike."""
        self._let_end(at)
        if not self._control.is_up:
            return
        self._caller.settle()
        done = self._control.reconcile(settle=True)
        self._ticks += 1
        for action in done.actions:
            self._actions.append(action)
            self._tell.acted(at, action)
        for injected in self._injected:
            if self._control.is_up:
                self._say(at, injected.fault.ticked(at, done, self._control, self._world, injected))

    def ask(self, at: datetime, rows: list[dict[str, Any]]) -> None:
        """Ask the rows decided at an instant; the first time in an hour, one of them by itself."""
        hour = at.replace(minute=0, second=0, microsecond=0)
        if hour != self._hour:
            self._hour = hour
            alone = rows.pop(self._random.randrange(len(rows)))
            began = time.perf_counter_ns()
            if self._send(at, [alone]):
                self._latencies_ms.append((time.perf_counter_ns() - began) / 1e6)
        for batch in batched(rows, _ROWS_A_REQUEST):
            self._send(at, batch)

    def finish(self, at: datetime) -> None:
        """Deliver what is still to come; what a fault has taken down is up again afterwards."""
        self.delivery.events_up_to(at)
        self.delivery.labels_up_to(at)
        self._let_end(at)
        self._caller.settle()

    def _let_end(self, at: datetime) -> None:
        for injected in self._injected:
            self._say(at, injected.fault.passed(at, self._control, injected))

    def result(self) -> Simulated:
        """What was done."""
        return Simulated(
            scores=self._scores,
            requests=self._requests,
            failures=self._failures,
            events=self.delivery.events,
            labels=self.delivery.labels,
            ticks=self._ticks,
            latencies_ms=tuple(self._latencies_ms),
            actions=tuple(self._actions),
            injected=self._injected,
        )

    def _send(self, at: datetime, rows: Sequence[Mapping[str, Any]]) -> bool:
        try:
            answers = self._caller.predict(rows, at)["predictions"]
        except SlipwayError:
            self._failures += 1
            self._in_a_row += 1
            if self._in_a_row >= _FAILURES_IN_A_ROW:
                raise
            answers = None
        else:
            self._requests += 1
            self._in_a_row = 0
            key, scores = self._key, self._scores
            for row, answer in zip(rows, answers, strict=True):
                scores[row[key]] = answer["score"]
        for injected in self._injected:
            injected.fault.asked(len(rows), answers is not None, injected)
        self._tell.asked(at, len(rows))
        return answers is not None

    def _say(self, at: datetime, line: str) -> None:
        if line:
            self._tell.said(at, line)
