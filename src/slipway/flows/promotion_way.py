"""What a stage of a promotion may use, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slipway.errors import SlipwayError
from slipway.features.sets import FeatureSet
from slipway.flows.replay_rows import Serve
from slipway.models.received import is_there
from slipway.ports.workspace import Workspace
from slipway.records.load import Replay
from slipway.records.models import ModelVersion
from slipway.records.promotions import Promotion, StageState

__all__ = ["Ask", "Came", "Way", "arrived"]

Ask = Callable[[str, str, Sequence[Mapping[str, Any]]], Sequence[float]]
"""Asks an endpoint over HTTP: where it answers, its name, rows; returns the scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What a stage may use.

    Args:
        source: The environment that the version comes from.
        target: The environment that it goes into.
        version: At the source.
        promotion: As it stands.
        former: The state in which the stage was found, before this attempt at it.
        features: The feature set of the endpoint, as the project's code declares it now; None without one.
        port: The port that the endpoint is to listen on, 0 for any.
        ask: Asks an endpoint over HTTP.
        serve: Asks stored rows of the bundle, as it serves from the tables of a workspace.
    """

    source: Workspace
    target: Workspace
    version: ModelVersion
    promotion: Promotion
    former: StageState
    features: FeatureSet | None
    port: int
    ask: Ask
    serve: Serve

    @property
    def is_one_store(self) -> bool:
        """Whether both environments keep their things in one place."""
        return self.source.root == self.target.root

    @property
    def env(self) -> str:
        """The end of a command that is meant for the target."""
        return f" --env {self.target.environment}"

    @property
    def here(self) -> ModelVersion:
        """The version at the target."""
        found = arrived(self)
        assert found is not None  # the stage "copy" is before every other
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of a stage: see `PromotionStage`; a stage that failed with something to be kept has the problem, too."""

    sentence: str
    state: StageState = "done"
    asked: tuple[str, ...] = ()
    consulted: tuple[str, ...] = ()
    informed: tuple[str, ...] = ()
    command: str = ""
    replay: Replay | None = None
    problem: SlipwayError | None = None


def arrived(way: Way) -> ModelVersion | None:
    """The version at the target, None before it is there."""
    return way.version if way.is_one_store else is_there(way.target, way.version)
