"""`@step` and `@pipeline`: plain functions that stay callable as such.

Nothing is registered anywhere: what a project declares is found in its module.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import MethodType
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from slipway.context import Slot
from slipway.errors import InvalidDeclaration
from slipway.ledger.step_scope import NO_LIMITS, Given, PlainCall, StepCall, StepLimits, plain_call, step_scope
from slipway.pipelines import futures
from slipway.pipelines.hidden.allowed import allowed
from slipway.pipelines.limits import step_limits
from slipway.pipelines.mapping import parts, zipped

__all__ = ["Pipeline", "Step", "pipeline", "pipelines_running", "step"]

P = ParamSpec("P")
R = TypeVar("R")


class _Declared(Generic[P, R]):
    """A function with a name of its own, its signature and its documentation."""

    __wrapped__: Callable[P, R]

    def __init__(self, function: Callable[P, R], what: str) -> None:
        if not inspect.isfunction(function):
            raise InvalidDeclaration(
                f"@{what} was put on {function!r}, a {type(function).__name__}.",
                why=f"A {what} is a plain function.",
                fix=f"Define it with `def`, and put `@{what}` directly above it.",
            )
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise InvalidDeclaration(
                f"@{what} was put on {function.__qualname__!r}, which is asynchronous or yields.",
                why=f"A {what} returns one value when it is done.",
                fix="Return a list or a frame.",
            )
        functools.update_wrapper(cast("Any", self), function)
        self.name: str = function.__name__

    @property
    def function(self) -> Callable[P, R]:
        """The plain function."""
        return self.__wrapped__

    @functools.cached_property
    def signature(self) -> inspect.Signature:
        """The function's parameters."""
        return inspect.signature(self.__wrapped__)

    def arguments(self, *args: Any, **kwargs: Any) -> inspect.BoundArguments:
        """The call's arguments by name, defaults included.

        Raises:
            TypeError: They do not fit, as Python says it of a plain call.
        """
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound


class Step(_Declared[P, R]):
    """A function whose calls inside a pipeline's run are recorded, and whose results are stored and found again.

    Args:
        function: The plain function. Its result must depend on its arguments and its code only.
        cache: Whether a stored result may stand in for a call.
        returns: The names of a returned tuple's items, as they are shown; () for one result.
        limits: What it needs and how often it is tried.
        tolerance: How far apart fractions in its result may be that count as reproduced; None for the pipeline's.
        allow: What it may use although nothing records it: "clock", "network", "subprocess".
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        cache: bool = True,
        returns: Sequence[str] = (),
        limits: StepLimits = NO_LIMITS,
        tolerance: float | None = None,
        allow: Sequence[str] = (),
    ) -> None:
        super().__init__(function, "step")
        self.cache = cache
        self.tolerance = _checked(f"@step({self.name})", tolerance)
        self.returns = tuple(returns)
        self.limits = limits
        self.allow = allowed(self.name, allow)
        if isinstance(returns, str) or any(not name.isidentifier() for name in self.returns):
            raise InvalidDeclaration(
                f"@step({self.name}) was given returns={returns!r}.",
                why="It names each item of the returned tuple.",
                fix='For example returns=["fit", "test"].',
            )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it: plainly outside a pipeline's run, recorded and cached inside. Futures among arguments are waited for."""
        scope = step_scope.get()
        if scope is None:
            return self._plainly((args, kwargs))
        result: Any = scope.call(self.name, self._made, (args, kwargs))
        found: R = result
        return found

    @overload
    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Future[R]: ...
    @overload
    def submit(self, *args: Any, **kwargs: Any) -> Future[R]: ...
    def submit(self, *args: Any, **kwargs: Any) -> Future[R]:
        """Let it run beside other steps; `.result()` waits for what it returns.

        It begins when futures among its arguments (an argument, or an item of a list, tuple or dictionary) are there.
        Outside a pipeline's run, and inside a step, it is called at once.
        """
        scope = step_scope.get()
        if scope is None:
            return futures.done(self.name, lambda: self._plainly((args, kwargs)))
        return scope.submit(self.name, self._made, (args, kwargs))

    def map(self, *args: P.args, **kwargs: P.kwargs) -> list[R]:
        """Call it once a value of the arguments that are given by `each`, beside each other; the results in order.

        Raises:
            InvalidInput: No argument is given by `each`, or they have different lengths.

        Example:
            models = train.map(rows, kind=slipway.each(["linear", "trees", "boosting"]))
        """
        calls = zipped(self.name, (args, kwargs))
        scope = step_scope.get()
        if scope is None:
            return [self._plainly(given) for given in calls]
        told = parts(self.signature, (args, kwargs), calls)
        makers = [functools.partial(self._made, part=part) for part in told]
        submitted = [scope.submit(self.name, make, given) for make, given in zip(makers, calls, strict=True)]
        return [one.result() for one in submitted]

    def _plainly(self, given: Given) -> R:
        if futures.pending(given):
            given = futures.values(given)
        with plain_call.filled(PlainCall(self.name)):
            return self.__wrapped__(*given[0], **given[1])

    def _made(self, given: Given, part: str = "") -> StepCall:
        args, kwargs = given
        function: Callable[..., R] = self.__wrapped__
        return StepCall(
            name=self.name,
            compute=lambda: function(*args, **kwargs),
            inputs=self.arguments(*args, **kwargs).arguments,
            code=(function,),
            cached=self.cache,
            function=function,
            returns=self.returns,
            limits=self.limits,
            tolerance=self.tolerance,
            allow=self.allow,
            part=part,
        )

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """A step in a class is a method: the instance is its first argument."""
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<step {self.name}>"


pipelines_running: Slot[tuple[str, ...]] = Slot("slipway.pipelines")
"""The pipelines whose bodies run here, the outermost first; empty outside a run."""


class Pipeline(_Declared[P, R]):
    """A function that calls steps. Calling it just runs it; `slipway run` records it.

    Args:
        function: The plain function.
        tolerance: How far apart fractions may be that count as reproduced, in its result, its metrics and the results of
            steps that say nothing else; None for 1e-9.
    """

    def __init__(self, function: Callable[P, R], *, tolerance: float | None = None) -> None:
        super().__init__(function, "pipeline")
        self.tolerance = _checked(f"@pipeline({self.name})", tolerance)
        for name, parameter in self.signature.parameters.items():
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise InvalidDeclaration(
                    f"The pipeline {self.name!r} takes {str(parameter)!r}.",
                    why="A run is started with parameters by name.",
                    fix=f"Make {name!r} a plain parameter.",
                )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it: plainly outside a run, where nothing is recorded; inside another pipeline's run as a part of that.

        Raises:
            InvalidDeclaration: A pipeline under way calls itself, by whatever way.
        """
        running = pipelines_running.get()
        if running is None:
            return self.__wrapped__(*args, **kwargs)
        key = f"{self.__module__}:{self.name}"
        if key in running:
            names = [one.partition(":")[2] for one in (*running[running.index(key) :], key)]
            raise InvalidDeclaration(
                f"The pipeline {self.name!r} calls itself: {' -> '.join(names)}.",
                why="It would never come to its end.",
                fix="Write what is repeated as a loop in the pipeline, or as a plain function.",
            )
        with pipelines_running.filled((*running, key)):
            return self.__wrapped__(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<pipeline {self.name}>"


def _checked(what: str, tolerance: float | None) -> float | None:
    if tolerance is None:
        return None
    is_number = isinstance(tolerance, int | float) and not isinstance(tolerance, bool)
    if not is_number or not 0 <= tolerance < math.inf:
        raise InvalidDeclaration(
            f"{what} was given tolerance={tolerance!r}.",
            why="It says how far apart numbers may be that count as reproduced, as a share of the number.",
            fix="For example tolerance=1e-6, or 0 where they must be equal.",
        )
    return float(tolerance)


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *,
    cache: bool = ...,
    returns: Sequence[str] = ...,
    retries: int = ...,
    backoff_s: float = ...,
    timeout_s: float | None = ...,
    cpus: float = ...,
    memory: str | int | None = ...,
    gpus: float = ...,
    tolerance: float | None = ...,
    allow: Sequence[str] = ...,
) -> Callable[[Callable[P, R]], Step[P, R]]: ...
def step(
    function: Callable[P, R] | None = None,
    /,
    *,
    cache: bool = True,
    returns: Sequence[str] = (),
    retries: int = 0,
    backoff_s: float = 1.0,
    timeout_s: float | None = None,
    cpus: float = 1,
    memory: str | int | None = None,
    gpus: float = 0,
    tolerance: float | None = None,
    allow: Sequence[str] = (),
) -> Any:
    """Make a function a step of pipelines.

    Inside a pipeline's run each call is recorded, its result is stored by content, and a later call with equal
    arguments, code, libraries, and files and environment variables that it read, takes the stored result. Anywhere else
    it is just the function.

    Args:
        function: The plain function.
        cache: False for a step that shall run each time.
        returns: The names of a returned tuple's items, as they are shown.
        retries: How many more attempts it gets when it fails.
        backoff_s: The seconds before the second attempt; they double with each further one.
        timeout_s: The seconds after which an attempt is ended; such a step runs in a process of its own.
        cpus: Cores that it keeps busy. Steps run beside each other as far as the machine has what they need, and
            executors place them by that.
        memory: Memory that it needs, as "4GB"; kept as a limit where the step runs in a process of its own.
        gpus: GPUs that it needs.
        tolerance: How far apart fractions in its result may be that count as reproduced, as a share of the number (of 1
            where it is less); 0 where they must be equal, None for what the pipeline says.
        allow: What it may use and still be cached, because its result does not depend on what it answers: "clock",
            "network", "subprocess". What is used and not named here makes the call uncached.

    Raises:
        InvalidDeclaration: It is no plain function, or an option does not fit.

    Example:
        @slipway.step(retries=3, timeout_s=600)
        def fetch(day: date) -> pl.DataFrame: ...
    """
    if function is None:

        def decorate(given: Callable[P, R]) -> Step[P, R]:
            limits = step_limits(
                getattr(given, "__name__", repr(given)),
                retries=retries,
                backoff_s=backoff_s,
                timeout_s=timeout_s,
                cpus=cpus,
                memory=memory,
                gpus=gpus,
            )
            return Step(given, cache=cache, returns=returns, limits=limits, tolerance=tolerance, allow=allow)

        return decorate
    return Step(function)


@overload
def pipeline(function: Callable[P, R], /) -> Pipeline[P, R]: ...
@overload
def pipeline(*, tolerance: float | None = ...) -> Callable[[Callable[P, R]], Pipeline[P, R]]: ...
def pipeline(function: Callable[P, R] | None = None, /, *, tolerance: float | None = None) -> Any:
    """Make a function a pipeline: its parameters are the run's, the steps that it calls are recorded and cached.

    Args:
        function: The plain function.
        tolerance: How far apart fractions may be that count as reproduced, in its result, its metrics and the results of
            steps that say nothing else; None for 1e-9.

    Raises:
        InvalidDeclaration: It is no plain function, or the tolerance is none.

    Example:
        @slipway.pipeline
        def release(until: date) -> slipway.Model: ...
    """
    if function is None:
        return lambda given: Pipeline(given, tolerance=tolerance)
    return Pipeline(function)
