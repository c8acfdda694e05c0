"""`@step` and `@pipeline`: plain functions that stay callable as such.

Nothing is registered anywhere: what a project declares is found in its module.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from slipway.errors import InvalidDeclaration
from slipway.ledger.step_scope import PlainCall, StepCall, plain_call, step_scope

__all__ = ["Pipeline", "Step", "pipeline", "step"]

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
        tolerance: How far apart fractions in its result may be that count as reproduced; None for the pipeline's.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        cache: bool = True,
        returns: Sequence[str] = (),
        tolerance: float | None = None,
    ) -> None:
        super().__init__(function, "step")
        self.cache = cache
        self.tolerance = _checked(f"@step({self.name})", tolerance)
        self.returns = tuple(returns)
        if isinstance(returns, str) or any(not name.isidentifier() for name in self.returns):
            raise InvalidDeclaration(
                f"@step({self.name}) was given returns={returns!r}.",
                why="It names each item of the returned tuple.",
                fix='For example returns=["fit", "test"].',
            )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it: plainly outside a pipeline's run, recorded and cached inside."""
        scope = step_scope.get()
        if scope is None:
            with plain_call.filled(PlainCall(self.name)):
                return self.__wrapped__(*args, **kwargs)
        bound = self.arguments(*args, **kwargs)
        function = self.__wrapped__
        result: Any = scope(
            StepCall(
                name=self.name,
                compute=lambda: function(*args, **kwargs),
                inputs=bound.arguments,
                code=(function,),
                cached=self.cache,
                function=function,
                returns=self.returns,
                tolerance=self.tolerance,
            )
        )
        found: R = result
        return found

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """A step in a class is a method: the instance is its first argument."""
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<step {self.name}>"


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
        """Call it plainly: nothing is recorded."""
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
    *, cache: bool = ..., returns: Sequence[str] = ..., tolerance: float | None = ...
) -> Callable[[Callable[P, R]], Step[P, R]]: ...
def step(
    function: Callable[P, R] | None = None,
    /,
    *,
    cache: bool = True,
    returns: Sequence[str] = (),
    tolerance: float | None = None,
) -> Any:
    """Make a function a step of pipelines.

    Inside a pipeline's run each call is recorded, its result is stored by content, and a later call with equal
    arguments, code and libraries takes the stored result. Anywhere else it is just the function.

    Args:
        function: The plain function.
        cache: False for a step whose result depends on more than its arguments and code (the network, the clock).
        returns: The names of a returned tuple's items, as they are shown.
        tolerance: How far apart fractions in its result may be that count as reproduced, as a share of the number (of 1
            where it is less); 0 where they must be equal, None for what the pipeline says.

    Raises:
        InvalidDeclaration: It is no plain function, or the tolerance is none.

    Example:
        @slipway.step
        def split(rows: pl.DataFrame, share: float = 0.8) -> tuple[pl.DataFrame, pl.DataFrame]: ...
    """
    if function is None:
        return lambda given: Step(given, cache=cache, returns=returns, tolerance=tolerance)
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
