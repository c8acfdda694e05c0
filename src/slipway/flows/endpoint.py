"""`sw.Endpoint`: the declaration that ties pipeline, features, gate and monitors to one address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from slipway.errors import InvalidDeclaration
from slipway.ids import check_name
from slipway.monitoring.declare import KPI, Drift, Quality
from slipway.records.declarations import DeclaredEndpoint

if TYPE_CHECKING:
    from slipway.features.sets import FeatureSet
    from slipway.gates.declare import Gate
    from slipway.pipelines.declare import Pipeline

__all__ = ["Endpoint"]


@dataclass(frozen=True, eq=False)
class Endpoint:
    """Where a model answers, what it is fed, what it must pass, what watches it.

    Args:
        name: Lower-case, becomes part of the URL; also the name under which the pipeline's models are registered.
        pipeline: The pipeline whose result serves here.
        features: The feature set from which a request becomes the model's inputs; None when the request carries them.
        gate: What a model must pass, on top of the environment's floor.
        key: The request's fields that name a row, so that late labels find their prediction.
        strict: Whether unknown request fields are refused; otherwise they are counted and shown.
        workers: Processes that answer.
        monitors: What watches it.

    Raises:
        InvalidInput: The name does not fit.
        InvalidDeclaration: Two monitors share a name.
    """

    name: str
    pipeline: Pipeline[..., Any] | None = None
    features: FeatureSet | None = None
    gate: Gate | None = None
    key: Sequence[str] = ()
    strict: bool = False
    workers: int = 1
    monitors: Sequence[Drift | Quality | KPI] = ()

    def __post_init__(self) -> None:
        check_name(self.name, "endpoint")
        names = [monitor.spec().name for monitor in self.monitors]
        if twice := {name for name in names if names.count(name) > 1}:
            raise InvalidDeclaration(
                f"The endpoint {self.name!r} has two monitors called {sorted(twice)[0]!r}.", fix="Remove one of them."
            )

    def declared(self, project: str, at: datetime, *, simulation: bool = False) -> DeclaredEndpoint:
        """The declaration as the ledger keeps it."""
        return DeclaredEndpoint(
            id=f"{project}/{self.name}",
            project=project,
            name=self.name,
            created_at=at,
            model=self.name,
            gate=None if self.gate is None else self.gate.spec,
            key=tuple(self.key),
            strict=self.strict,
            workers=self.workers,
            monitors=tuple(monitor.spec() for monitor in self.monitors),
            simulation=simulation,
        )
