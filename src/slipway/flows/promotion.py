"""`sw.Promotion`: the declaration of the way on which a project's versions go from one environment into the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from slipway.errors import InvalidDeclaration, near
from slipway.ids import check_name
from slipway.records.models import Bundle

__all__ = ["BUILT_IN", "Promoted", "Promotion", "Stage", "default_for", "name_of"]

BUILT_IN = ("evidence", "copy", "gate", "approval", "deploy", "experiment", "registry", "monitors")
"""The stages that Slipway has; the order is the project's, but for what each needs before it."""

_NEEDS = {
    "gate": ("copy",),
    "approval": ("copy",),
    "deploy": ("copy", "gate"),
    "experiment": ("deploy",),
    "registry": ("deploy",),
    "monitors": ("deploy",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """What a project's own stage is told of the version that is promoted.

    Args:
        model: The model's name.
        version: The version's number in the environment that it goes into.
        bundle: The bundle's digest.
        manifest: What the bundle says of itself: figures, signature, data, code.
        environment: Where it goes.
        endpoint: Where it serves, or is to serve.
        url: Where that endpoint answers, "" before it does.
    """

    model: str
    version: int
    bundle: str
    manifest: Bundle
    environment: str
    endpoint: str
    url: str


Stage: TypeAlias = str | Callable[[Promoted], str]
"""A built-in stage by its name, or a function that returns a sentence on what it found, and raises where it objects."""


@dataclass(frozen=True, eq=False)
class Promotion:
    """The way of a version into an environment: built-in stages by name, and plain functions beside them.

    A function is called when the stages before it are done. What it raises ends the promotion there; the same command goes
    on with that function. One that was killed is called again, so let it do no harm twice.

    Args:
        name: What people call the way.
        to: The environment that it leads into.
        stages: In order: "evidence", "copy", "gate", "approval", "deploy", "experiment", "registry", "monitors", and functions.

    Raises:
        InvalidDeclaration: A stage is none, stands twice or before what it needs; or nothing is deployed.
        InvalidInput: The name does not fit.

    Example:
        def seen_by_the_desk(version: sw.Promoted) -> str: ...

        careful = sw.Promotion(
            "careful", to="prod", stages=["evidence", "copy", "gate", seen_by_the_desk, "approval", "deploy", "registry"]
        )
    """

    name: str
    to: str
    stages: Sequence[Stage]

    def __post_init__(self) -> None:
        check_name(self.name, "promotion")
        names = []
        for stage in self.stages:
            if isinstance(stage, str):
                if stage not in BUILT_IN:
                    raise InvalidDeclaration(
                        f"The promotion {self.name!r} has a stage {stage!r}.", fix=near(stage, BUILT_IN, what="stages")
                    )
                for needed in _NEEDS.get(stage, ()):
                    if needed not in names:
                        raise InvalidDeclaration(
                            f"The promotion {self.name!r} has {stage!r} without {needed!r} before it.",
                            fix=f"Put {needed!r} before {stage!r}.",
                        )
            elif not callable(stage):
                raise InvalidDeclaration(
                    f"The promotion {self.name!r} was given {stage!r} as a stage.",
                    fix='Give a built-in stage by its name, such as "gate", or a function.',
                )
            names.append(name_of(stage))
        if twice := {name for name in names if names.count(name) > 1}:
            raise InvalidDeclaration(
                f"The promotion {self.name!r} has two stages called {sorted(twice)[0]!r}.", fix="Remove or rename one."
            )
        if "deploy" not in names:
            raise InvalidDeclaration(
                f"The promotion {self.name!r} deploys nothing.", fix='Add the stage "deploy" after "copy" and "gate".'
            )


def name_of(stage: Stage) -> str:
    """What a stage is called: its name, or its function's."""
    return stage if isinstance(stage, str) else getattr(stage, "__name__", type(stage).__name__)


def default_for(environment: str, *, is_first: bool) -> Promotion:
    """The way where a project declares none.

    Args:
        environment: Where it leads.
        is_first: Whether it comes from where models are made: then there is no earlier promotion to show.
    """
    first: tuple[Stage, ...] = ("copy", "gate", "approval", "deploy", "experiment", "registry")
    later: tuple[Stage, ...] = ("evidence", "copy", "gate", "approval", "deploy", "registry", "monitors")
    return Promotion("default", environment, first if is_first else later)
