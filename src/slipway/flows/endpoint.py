"""`sw.Endpoint`: the declaration that ties pipeline, features, gate and monitors to one address."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from slipway.errors import InvalidDeclaration
from slipway.features.sets import FeatureSet
from slipway.flows.retrain import Retrain
from slipway.gates.declare import Gate
from slipway.ids import check_name
from slipway.monitoring.declare import KPI, Consistency, Drift, Freshness, Quality
from slipway.pipelines.declare import Pipeline
from slipway.records.declarations import DeclaredEndpoint, declared_id
from slipway.records.endpoints import StreamSpec
from slipway.records.rollouts import RolloutSpec
from slipway.rollout.declare import Canary, Shadow

__all__ = ["Endpoint", "fed_by"]

_MAX_WORKERS = 64


@dataclass(frozen=True, eq=False)
class Endpoint:
    """Where a model answers, what it is fed, what it must pass, what watches it.

    Args:
        name: Lower-case, becomes part of the URL; also the name under which the pipeline's models are registered.
        pipeline: The pipeline whose result serves here.
        features: The feature set from which a request becomes the model's inputs; None when the request carries them.
        gate: What a model must pass, on top of the environment's floor.
        key: The request's field or fields that name a row, so that late labels find their prediction.
        strict: Whether unknown request fields are refused; otherwise they are counted and shown.
        workers: Processes that answer, at most 64.
        monitors: What watches it.
        rollout: How a challenger gets to all traffic: `[sw.Shadow(), sw.Canary()]`; none lets what passes the gate serve
            at once.
        retrain: When its model is trained again, None for never by itself.
        streams: Where it takes in events by itself, besides what is pushed: `[sw.redis_stream(url, name, source=...)]`.

    Raises:
        InvalidInput: The name does not fit.
        InvalidDeclaration: Something given is no declaration of its kind, or two monitors share a name.
    """

    name: str
    pipeline: Pipeline[..., Any] | None = None
    features: FeatureSet | None = None
    gate: Gate | None = None
    key: str | Sequence[str] = ()
    strict: bool = False
    workers: int = 1
    monitors: Sequence[Drift | Quality | KPI | Consistency | Freshness] = ()
    rollout: Sequence[Shadow | Canary] = ()
    retrain: Retrain | None = None
    streams: Sequence[StreamSpec] = ()

    def __post_init__(self) -> None:
        check_name(self.name, "endpoint")
        for what, given, kind, example in (
            ("pipeline", self.pipeline, Pipeline, "a function under @sw.pipeline"),
            ("features", self.features, FeatureSet, "sw.FeatureSet(...)"),
            ("gate", self.gate, Gate, "sw.Gate(sw.metric('auc') >= 0.7)"),
            ("retrain", self.retrain, Retrain, "sw.Retrain(pipeline, when=[sw.cron('0 3 1 * *')])"),
        ):
            if given is not None and not isinstance(given, kind):
                raise self._unfit(what, given, f"Give {example}, or leave it out.")
        if isinstance(self.workers, bool) or not isinstance(self.workers, int) or not 1 <= self.workers <= _MAX_WORKERS:
            raise self._unfit("workers", self.workers, f"Give a number from 1 to {_MAX_WORKERS}.")
        key = self.key_fields
        if not all(isinstance(field, str) and field for field in key) or len(set(key)) < len(key):
            raise self._unfit("key", self.key, "Give the names of request fields, each once: key=['flight_id'].")
        if not all(isinstance(one, Drift | Quality | KPI | Consistency | Freshness) for one in self.monitors):
            raise self._unfit(
                "monitors",
                self.monitors,
                "Give a list of sw.Drift(), sw.Quality(...), sw.KPI(...), sw.Consistency() and sw.Freshness(...).",
            )
        names = [monitor.spec().name for monitor in self.monitors]
        if twice := {name for name in names if names.count(name) > 1}:
            raise InvalidDeclaration(
                f"The endpoint {self.name!r} has two monitors called {sorted(twice)[0]!r}.", fix="Remove one of them."
            )

        if not all(isinstance(stream, StreamSpec) for stream in self.streams):
            raise self._unfit("streams", self.streams, "Give [sw.redis_stream(url, name, source=TABLE)].")
        places = [(stream.url, stream.name) for stream in self.streams]
        if shared := {name for url, name in places if places.count((url, name)) > 1}:
            raise InvalidDeclaration(
                f"The endpoint {self.name!r} takes in the stream {sorted(shared)[0]!r} twice.",
                why="Each entry is given to an endpoint once, so the two would take entries from each other.",
                fix="Write the rows of each table and view to a stream of their own.",
            )
        kinds = [type(phase) for phase in self.rollout]
        if kinds not in ([], [Shadow], [Canary], [Shadow, Canary]):
            raise self._unfit("rollout", self.rollout, "Give [sw.Shadow(), sw.Canary()], or one of them.")

    @property
    def key_fields(self) -> tuple[str, ...]:
        """The request's fields that name a row."""
        return (self.key,) if isinstance(self.key, str) else tuple(self.key)

    def _unfit(self, what: str, given: object, fix: str) -> InvalidDeclaration:
        return InvalidDeclaration(f"The endpoint {self.name!r} was given {given!r} as its {what}.", fix=fix)

    def declared(
        self, project: str, at: datetime, *, environment: str = "dev", simulation: bool = False, snapshot: str = ""
    ) -> DeclaredEndpoint:
        """The declaration as the ledger keeps it."""
        return DeclaredEndpoint(
            id=declared_id(project, environment, self.name),
            project=project,
            name=self.name,
            created_at=at,
            model=self.name,
            gate=None if self.gate is None else self.gate.spec,
            key=self.key_fields,
            strict=self.strict,
            workers=self.workers,
            monitors=tuple(monitor.spec() for monitor in self.monitors),
            simulation=simulation,
            rollout=self._plan(),
            retrain=None if self.retrain is None else self.retrain.spec(),
            snapshot=snapshot,
            streams=tuple(self.streams),
        )

    def _plan(self) -> RolloutSpec | None:
        phases = {type(phase): phase for phase in self.rollout}
        shadow, canary = phases.get(Shadow), phases.get(Canary)
        if shadow is None and canary is None:
            return None
        return RolloutSpec(
            shadow=shadow.spec() if isinstance(shadow, Shadow) else None,
            canary=canary.spec() if isinstance(canary, Canary) else None,
        )


def fed_by(declared: Iterable[Endpoint], pipeline: Pipeline[..., Any]) -> Endpoint | None:
    """The endpoint that a pipeline feeds, None for none.

    Args:
        declared: The project's endpoints.
        pipeline: One of its pipelines.

    Raises:
        InvalidDeclaration: It feeds several.
    """
    fed = [endpoint for endpoint in declared if endpoint.pipeline is pipeline]
    if len(fed) > 1:
        raise InvalidDeclaration(
            f"The pipeline {pipeline.name!r} feeds {len(fed)} endpoints: {', '.join(repr(e.name) for e in fed)}.",
            why="Its model is registered under the endpoint's name, and has one gate.",
            fix="Let one endpoint name the pipeline; deploy to others with: slipway deploy MODEL --endpoint NAME",
        )
    return fed[0] if fed else None
