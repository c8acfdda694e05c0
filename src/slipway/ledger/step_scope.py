"""The scope of a pipeline run: how a call becomes a recorded, cached step without knowing the engine.

A pipeline's engine fills `step_scope` around the pipeline's body. Whatever is worth a step of its own (a user's step,
a training set, an evaluation) goes through `run_step`: inside a pipeline it is looked up, stored and recorded; anywhere
else it is just computed. Inside a step's own body the scope is empty again: what a step calls is part of that step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

from slipway.context import Slot

__all__ = [
    "NO_LIMITS",
    "Given",
    "MakeCall",
    "PlainCall",
    "StepCall",
    "StepLimits",
    "StepScope",
    "plain_call",
    "run_step",
    "step_scope",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLimits:
    """What a step needs, how long it may take, and how often it is tried.

    Args:
        retries: How many more attempts a step gets that fails.
        backoff_s: Seconds before the second attempt; they double with each further one.
        timeout_s: Seconds after which an attempt is ended, None for never.
        cpus: Cores that it keeps busy.
        memory_bytes: Memory that it needs at most, 0 where nothing is said.
        gpus: GPUs that it needs.
    """

    retries: int = 0
    backoff_s: float = 1.0
    timeout_s: float | None = None
    cpus: float = 1.0
    memory_bytes: int = 0
    gpus: float = 0.0


NO_LIMITS = StepLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCall:
    """One call of a step, ready to be computed or found.

    Args:
        name: What the step is called.
        compute: Computes the result; called at most once.
        inputs: Everything that the result depends on, by name: frames, arrays, plain values, objects with a method
            `slipway_fingerprint() -> str`. A value without a fingerprint makes the call uncached, and the record says so.
        code: Functions or classes whose code closure belongs to the key.
        cached: Whether a stored result may be used and kept for later calls.
        function: The user's own function, whose arguments are `inputs`; None for a step of Slipway's.
        returns: The names of a returned tuple's items, () for one result.
        limits: What it needs and how often it is tried; executors may place it by that.
        tolerance: How far apart numbers of its result may be that count as reproduced, None for the default.
        allow: What it may use although nothing records it: "clock", "network", "subprocess".
        part: Which call of a `map` it is, for whoever watches: "3/100 carrier=AA". It is shown, and nowhere kept.
    """

    name: str
    compute: Callable[[], object]
    inputs: Mapping[str, object] = field(default_factory=dict)
    code: tuple[Callable[..., Any], ...] = ()
    cached: bool = True
    function: Callable[..., Any] | None = None
    returns: tuple[str, ...] = ()
    tolerance: float | None = None
    limits: StepLimits = NO_LIMITS
    allow: tuple[str, ...] = ()
    part: str = ""

    @property
    def shown(self) -> str:
        """The name with the part: "score[3/100 carrier=AA]"."""
        return f"{self.name}[{self.part}]" if self.part else self.name


Given = tuple[tuple[Any, ...], dict[str, Any]]
"""The arguments of a call as they were given, by position and by name."""

MakeCall = Callable[[Given], StepCall]
"""Makes a call of arguments in which no future is left."""


class StepScope(Protocol):
    """Runs step calls within one pipeline run."""

    def __call__(self, call: StepCall) -> object:
        """The call's result, computed or found.

        Raises:
            StepFailed: The step's own code raised; the original is its cause.
        """
        ...

    def call(self, name: str, make: MakeCall, given: Given) -> object:
        """The same for a call whose arguments may still be futures: they are waited for here."""
        ...

    def submit(self, name: str, make: MakeCall, given: Given) -> Future[Any]:
        """The call's result as a future; the call runs beside others when its arguments are there."""
        ...


step_scope: Slot[StepScope | None] = Slot("slipway.step_scope")


@dataclass(slots=True)
class PlainCall:
    """A step that is called as the plain function that it is.

    Args:
        name: The step's name.
        log: What it logs to where no run is current, made when it is first asked for; nothing of it is kept.
    """

    name: str
    log: object = None


plain_call: Slot[PlainCall | None] = Slot("slipway.plain_call")


def run_step(
    name: str,
    compute: Callable[[], T],
    *,
    inputs: Mapping[str, object],
    code: tuple[Callable[..., Any], ...] = (),
) -> T:
    """Run a step of Slipway's own: plainly outside a pipeline, recorded and cached inside one.

    Side effects inside `compute` do not happen on a hit. Log metrics of the result after this call, on what it returns.
    Table versions read inside are recorded as inputs of the run on a hit too.

    Args:
        name: What the step is called in the run: "training_set".
        compute: Computes the result.
        inputs: Everything that the result depends on besides code, by the name that an explanation uses.
        code: User functions that `compute` reaches (features, metrics): their code closures belong to the key.

    Returns:
        What `compute` returns, or an equal value from an earlier run.

    Raises:
        StepFailed: `compute` raised inside a pipeline.
    """
    scope = step_scope.get()
    if scope is None:
        return compute()
    return cast("T", scope(StepCall(name=name, compute=compute, inputs=inputs, code=code)))
