"""`sw.Endpoint`: the declaration that ties pipeline, features, gate and monitors to one address."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from slipway.errors import InvalidDeclaration
from slipway.features.sets import FeatureSet
from slipway.flows.fallback import Fallback
from slipway.flows.log import Log
from slipway.flows.retrain import Retrain
from slipway.gates.declare import Gate
from slipway.ids import check_name
from slipway.monitoring.custom import CustomMonitor
from slipway.monitoring.declare import KPI, Consistency, Drift, EstimatedQuality, Freshness, Quality
from slipway.monitoring.service import Service
from slipway.pipelines.declare import Pipeline
from slipway.pipelines.limits import memory_bytes
from slipway.records.contracts import ContractTerms
from slipway.records.declarations import DeclaredEndpoint, declared_id
from slipway.records.endpoints import MonitorSpec, StreamSpec
from slipway.records.rollouts import RolloutSpec
from slipway.rollout.declare import Canary, Shadow
from slipway.rollout.old_system import OldSystem
from slipway.schema.durations import in_words, microseconds
from slipway.schema.metric_contract import MetricContract
from slipway.schema.rates import per_second

__all__ = ["Endpoint", "fed_by"]

_MAX_WORKERS = 64


_Watching = (
    Drift | Quality | EstimatedQuality | KPI | Consistency | Freshness | Service | MetricContract | CustomMonitor
)


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
        workers: Processes that answer, at most 64; `(1, 4)` for one to four, as the load asks for; `(0, 4)` lets the endpoint
            sleep when nobody asks: the first request wakes it, and waits for it.
        idle: For how long fewer workers must have been enough before one goes: "10m".
        monitors: What watches it.
        rollout: How a challenger gets to all traffic: `[sw.Shadow(), sw.Canary()]`; none lets what passes the gate serve
            at once.
        retrain: When its model is trained again, None for never by itself.
        streams: Where it takes in events by itself, besides what is pushed: `[sw.redis_stream(url, name, source=...)]`.
        log: How its predictions are logged: `sw.Log(keep="400d")`.
        fallback: What answers where the model does not; None tells callers of the failure.
        memory: A worker that comes to take more memory than this is replaced: "2GB". None sets no limit.
        per_caller: How many requests each caller may send, of any kind: "100/s", "600/m". None sets no limit.
        old_system: What its answers are compared with, off the requests' path: `sw.OldSystem(url, score="score")`.
        label_window: How far a label that names a key and a time reaches back: "2d" lets it judge the decisions of its key
            in the two days up to its time. None takes no such labels.
        kpi: The metric contract that it is under: watched like a monitor, and the guardrail of its canary, without being named
            there again. The gate asks for it by `sw.Gate(contract, ...)`.

    Raises:
        InvalidInput: The name does not fit.
        InvalidDeclaration: Something given is no declaration of its kind, two monitors share a name, or one looks further
            back than the log is kept.
    """

    name: str
    pipeline: Pipeline[..., Any] | None = None
    features: FeatureSet | None = None
    gate: Gate | None = None
    key: str | Sequence[str] = ()
    strict: bool = False
    workers: int | tuple[int, int] = 1
    monitors: Sequence[
        Drift | Quality | EstimatedQuality | KPI | Consistency | Freshness | Service | MetricContract | CustomMonitor
    ] = ()
    rollout: Sequence[Shadow | Canary] = ()
    retrain: Retrain | None = None
    streams: Sequence[StreamSpec] = ()
    idle: str = "10m"
    log: Log = Log()  # noqa: RUF009  # frozen
    fallback: Fallback | None = None
    memory: str | int | None = None
    per_caller: str | None = None
    old_system: OldSystem | None = None
    label_window: str | None = None
    kpi: MetricContract | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "endpoint")
        for what, given, kind, example in (
            ("pipeline", self.pipeline, Pipeline, "a function under @sw.pipeline"),
            ("features", self.features, FeatureSet, "sw.FeatureSet(...)"),
            ("gate", self.gate, Gate, "sw.Gate(sw.metric('auc') >= 0.7)"),
            ("log", self.log, Log, "sw.Log(keep='400d')"),
            ("retrain", self.retrain, Retrain, "sw.Retrain(pipeline, when=[sw.cron('0 3 1 * *')])"),
            ("fallback", self.fallback, Fallback, "sw.Fallback(sw.earlier_version(), within='200ms')"),
            ("kpi", self.kpi, MetricContract, "sw.MetricContract('revenue per seat', value='price * label / seats')"),
            ("old_system", self.old_system, OldSystem, "sw.OldSystem('https://old.example/score', score='score')"),
        ):
            if given is not None and not isinstance(given, kind):
                raise self._unfit(what, given, f"Give {example}, or leave it out.")
        self._check_workers()
        key = self.key_fields
        if not all(isinstance(field, str) and field for field in key) or len(set(key)) < len(key):
            raise self._unfit("key", self.key, "Give the names of request fields, each once: key=['flight_id'].")
        if not all(isinstance(one, _Watching) for one in self.monitors):
            raise self._unfit(
                "monitors",
                self.monitors,
                "Give a list of sw.Drift(), sw.Quality(...), sw.EstimatedQuality(...), sw.KPI(...), sw.Consistency(), "
                "sw.Freshness(...), sw.Service() and sw.custom_monitor(...).",
            )
        names = [spec.name for spec in self._watched()]
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
        self._check_keep()
        if self.label_window is not None and not self.key_fields:
            raise self._unfit("label_window", self.label_window, "Name the key that such labels give: key=['meter'].")
        _ = self._memory_bytes, self._caller_rate, self._label_window_us  # refused here, and not when it is deployed
        kinds = [type(phase) for phase in self.rollout]
        if kinds not in ([], [Shadow], [Canary], [Shadow, Canary]):
            raise self._unfit("rollout", self.rollout, "Give [sw.Shadow(), sw.Canary()], or one of them.")

    def _check_workers(self) -> None:
        given = self.workers if isinstance(self.workers, tuple) else (self.workers, self.workers)
        fits = len(given) == 2 and all(isinstance(one, int) and not isinstance(one, bool) for one in given)
        if not fits or not 0 <= given[0] <= given[1] <= _MAX_WORKERS or given[1] < 1:
            fix = f"Give a number from 1 to {_MAX_WORKERS}, or the least and the most: (1, 4)."
            raise self._unfit("workers", self.workers, fix)
        if given[0] == 0 and self.streams:
            raise self._unfit(
                "workers", self.workers, "Let at least one stay, which reads the streams: workers=(1, 4)."
            )
        microseconds(self.idle, f"idle of the endpoint {self.name!r}")

    def parts(self) -> tuple[object, ...]:
        """What it brings along that its project then declares too: its pipelines, and the tables of its retraining."""
        again = () if self.retrain is None else (self.retrain.pipeline, *self.retrain.tables)
        return (*(() if self.pipeline is None else (self.pipeline,)), *again)

    @property
    def scale(self) -> tuple[int, int]:
        """How many workers there are at least and at most."""
        return self.workers if isinstance(self.workers, tuple) else (self.workers, self.workers)

    @property
    def key_fields(self) -> tuple[str, ...]:
        """The request's fields that name a row."""
        return (self.key,) if isinstance(self.key, str) else tuple(self.key)

    def _check_keep(self) -> None:
        keep_us = self.log.spec().keep_us
        for monitor in self.monitors:
            spec = monitor.spec()
            if keep_us and spec.kind != "freshness" and spec.label_delay_us + spec.window_us > keep_us:
                reach = in_words(spec.label_delay_us + spec.window_us)
                raise InvalidDeclaration(
                    f"The endpoint {self.name!r} keeps its log for {self.log.keep}, and its monitor {spec.name!r} looks "
                    f"{reach} back.",
                    fix="Keep the log longer: log=sw.Log(keep=...), or give the monitor a shorter window.",
                )

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
            workers=self.scale[1],
            least=None if self.scale[0] == self.scale[1] else self.scale[0],
            idle_us=microseconds(self.idle),
            monitors=self._watched(),
            simulation=simulation,
            rollout=self._plan(),
            retrain=None if self.retrain is None else self.retrain.spec(),
            snapshot=snapshot,
            streams=tuple(self.streams),
            log=self.log.spec(),
            fallback=None if self.fallback is None else self.fallback.spec(),
            memory_bytes=self._memory_bytes,
            caller_rate=self._caller_rate,
            old_system=None if self.old_system is None else self.old_system.spec(),
            label_window_us=self._label_window_us,
            kpi=self._terms(),
        )

    @property
    def _label_window_us(self) -> int:
        what = f"label_window of the endpoint {self.name!r}"
        return 0 if self.label_window is None else microseconds(self.label_window, what)

    @property
    def _memory_bytes(self) -> int:
        return 0 if self.memory is None else memory_bytes(self.memory)

    @property
    def _caller_rate(self) -> float:
        return (
            0.0 if self.per_caller is None else per_second(self.per_caller, f"per_caller of the endpoint {self.name!r}")
        )

    def _watched(self) -> tuple[MonitorSpec, ...]:
        """What watches the endpoint; how often its fallback answers is watched without being asked for."""
        behind = None if self.fallback is None else self.fallback.monitor()
        named = [monitor.spec() for monitor in self.monitors]
        if self.kpi is not None and self.kpi not in self.monitors:
            named.append(self.kpi.spec())
        return (*named, *([behind] if behind else []))

    def _plan(self) -> RolloutSpec | None:
        phases = {type(phase): phase for phase in self.rollout}
        shadow, canary = phases.get(Shadow), phases.get(Canary)
        if shadow is None and canary is None:
            return None
        guarded = canary.spec() if isinstance(canary, Canary) else None
        terms = self._terms()
        if guarded is not None and guarded.contract is None and terms is not None and terms.is_bounded:
            share = terms.most_share if guarded.kpi is None else guarded.kpi
            guarded = msgspec.structs.replace(guarded, contract=terms, kpi=share)
        return RolloutSpec(shadow=shadow.spec() if isinstance(shadow, Shadow) else None, canary=guarded)

    def _terms(self) -> ContractTerms | None:
        """The contract that it is under: the named one, else the first among its monitors."""
        among = [one for one in self.monitors if isinstance(one, MetricContract)]
        found = self.kpi or (among[0] if among else None)
        return None if found is None else found.terms()


def fed_by(declared: Iterable[Endpoint], pipeline: Pipeline[..., Any]) -> Endpoint | None:
    """The endpoint that a pipeline feeds, None for none.

    Args:
        declared: The project's endpoints.
        pipeline: One of its pipelines.

    Raises:
        InvalidDeclaration: It feeds several.
    """
    fed = [endpoint for endpoint in declared if endpoint.pipeline is pipeline]
    # A batch endpoint beside one that answers requests takes that one's models: slipway deploy MODEL --endpoint NAME.
    fed = [endpoint for endpoint in fed if type(endpoint) is Endpoint] or fed
    if len(fed) > 1:
        raise InvalidDeclaration(
            f"The pipeline {pipeline.name!r} feeds {len(fed)} endpoints: {', '.join(repr(e.name) for e in fed)}.",
            why="Its model is registered under the endpoint's name, and has one gate.",
            fix="Let one endpoint name the pipeline; deploy to others with: slipway deploy MODEL --endpoint NAME",
        )
    return fed[0] if fed else None
