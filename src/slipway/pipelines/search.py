"""Search: many trials of one training, each a run of its own whose steps are cached, chosen by a sampler.

One thread asks and tells, in the order of the trials: trial n is asked for when all up to n - parallel have been told, no
sooner and no later. So a search gives the same trials whatever takes how long; and one that was killed, run again, finds
its trials in the cache, in order, and goes on where it was.
"""

from __future__ import annotations

import contextvars
import dataclasses
import math
import numbers
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

from msgspec.structs import replace

from slipway import plugins
from slipway.errors import InvalidDeclaration, InvalidInput, OverQuota, RunStopped, SlipwayError, StepFailed, near
from slipway.ledger import run_log
from slipway.ledger.limits import check_room, room
from slipway.ledger.run_log import RunLog
from slipway.ledger.run_notes import STOPPED
from slipway.ledger.run_tags import FOUND, SEARCH, TRIAL
from slipway.ledger.step_scope import step_scope
from slipway.pipelines.declare import Pipeline, Step
from slipway.pipelines.placing import Place, placed, room_of
from slipway.pipelines.reasons import Earlier
from slipway.pipelines.scheduling import Scheduler
from slipway.pipelines.scope import Scope
from slipway.pipelines.search_space import check_space
from slipway.pipelines.searched import Search, Trial
from slipway.ports.sampler import Asked, Sampler
from slipway.ports.workspace import Workspace
from slipway.records.runs import MetricPoint
from slipway.schema.metric_contract import MetricContract
from slipway.stats.metrics import METRICS

__all__ = ["Direction", "search"]

Direction = Literal["maximize", "minimize"]
_GIVEN_UP_AFTER = 10
_COUNTED_EVERY = 20
_HOPELESS = "By its curve the trial is not worth its end."


def search(
    workspace: Workspace,
    train: Callable[..., Any],
    space: Mapping[str, object],
    metric: str | MetricContract,
    trials: int = 20,
    parallel: int = 1,
    direction: Direction | None = None,
    fixed: Mapping[str, Any] | None = None,
    sampler: object = "tpe",
    pruner: object = None,
    seed: int = 0,
    name: str = "",
) -> Search:
    """Try a training with many parameters and tell which were best; `slipway.search` says what each argument is.

    Raises:
        InvalidDeclaration: The space, the parameters or the numbers do not fit.
        MissingExtra: Optuna is not installed.
        StepFailed: No trial came to an end.
        OverQuota: The project may begin no more runs today; the trials that ended are kept.
    """
    if isinstance(metric, MetricContract):
        direction = direction or metric.direction
        metric = metric.kpi
    dimensions = check_space(space)
    outer = step_scope.get()
    _check(train, dimensions, fixed or {}, trials, parallel)
    towards = _direction(metric, direction)
    chosen: Sampler = plugins.load("sampler", "optuna")(
        dimensions, maximize=towards == "maximize", seed=seed, method=sampler, pruner=pruner
    )
    called = name or f"search of {getattr(train, 'name', getattr(train, '__name__', 'a function'))}"
    function = train if isinstance(train, Step | Pipeline) else Step(train)
    _check_quota(workspace)
    log = run_log.start(
        workspace,
        name=called,
        params={
            "metric": metric,
            "direction": towards,
            "trials": trials,
            "parallel": parallel,
            "sampler": sampler if isinstance(sampler, str) else type(sampler).__name__,
            "pruner": pruner if isinstance(pruner, str | None) else type(pruner).__name__,
            "seed": seed,
            **{f"space.{key}": one.told for key, one in dimensions.items()},
        },
        tags={SEARCH: called},
    )
    goal = _Goal(metric, towards, is_watched=pruner is not None)
    try:
        with nullcontext(outer.place) if isinstance(outer, Scope) else placed(log) as place:
            within = outer if isinstance(outer, Scope) else None
            found = _Searching(log, function, dict(fixed or {}), goal, chosen, place, within).run(trials, parallel)
    except BaseException as error:
        log.finish(error)
        raise
    log.finish()
    return found


def _check_quota(workspace: Workspace) -> None:
    if workspace.run_server is None:  # a server counts for itself
        with workspace.ledger.read() as tx:
            check_room(tx, workspace, "runs_a_day")


def _check(train: object, space: Mapping[str, object], fixed: Mapping[str, Any], trials: int, parallel: int) -> None:
    if run_log.notes.get() is not None:
        raise InvalidDeclaration(
            "sw.search was called inside a step.",
            why="Its trials are runs with steps of their own, and a step is one unit.",
            fix="Call it in the pipeline, beside the steps.",
        )
    for what, number in (("trials", trials), ("parallel", parallel)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise InvalidDeclaration(f"{what} is {number!r}.", fix=f"Give a whole number from 1 on: {what}=20.")
    if not callable(train):
        raise InvalidDeclaration(
            f"sw.search was given {train!r}, a {type(train).__name__}, to train.", fix="Give a step or a function."
        )
    declared = train if isinstance(train, Step | Pipeline) else Step(train)
    known = declared.signature.parameters
    takes_any = any(one.kind is one.VAR_KEYWORD for one in known.values())
    for key in (*space, *fixed):
        if key not in known and not takes_any:
            raise InvalidDeclaration(
                f"{declared.name} has no parameter {key!r}.", fix=near(key, known, what="parameters")
            )
    if both := sorted(space.keys() & fixed.keys()):
        raise InvalidDeclaration(f"{both[0]!r} is in the space and fixed too.", fix="Leave it in one of them.")
    missing = [
        key
        for key, one in known.items()
        if one.default is one.empty
        and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
        and key not in space
        and key not in fixed
    ]
    if missing:
        raise InvalidDeclaration(
            f"{declared.name} needs {missing[0]!r}, which is neither in the space nor fixed.",
            fix=f"sw.search(..., fixed={{{missing[0]!r}: ...}})",
        )


def _direction(metric: str, given: Direction | None) -> Direction:
    if given in ("maximize", "minimize"):
        return given
    if given is not None:
        raise InvalidDeclaration(f"The direction {given!r} is none.", fix='Say "maximize" or "minimize".')
    known = METRICS.get(metric)
    if known is None or known.better == "zero":
        raise InvalidDeclaration(
            f"Nobody said whether a greater {metric!r} is better.",
            fix='sw.search(..., direction="maximize"), or "minimize".',
        )
    return "maximize" if known.better == "higher" else "minimize"


@dataclass(frozen=True, slots=True)
class _Goal:
    metric: str
    direction: Direction
    is_watched: bool

    def better(self, one: float, other: float) -> bool:
        return one > other if self.direction == "maximize" else one < other


@dataclass(slots=True)
class _Made:
    """What one trial came to: its record, what was returned, and the metric by step."""

    trial: Trial
    result: Any
    curve: dict[int, float]


class _Searching:
    """One search under way.

    Args:
        log: Its run.
        train: What is called.
        fixed: The parameters that are the same in all trials.
        goal: What is better.
        sampler: Chooses.
        place: Computes the steps of trials, in this process or elsewhere.
        outer: The steps of the pipeline that searches, None outside of one.
    """

    def __init__(
        self,
        log: RunLog,
        train: Callable[..., Any],
        fixed: dict[str, Any],
        goal: _Goal,
        sampler: Sampler,
        place: Place,
        outer: Scope | None,
    ) -> None:
        self._log = log
        self._train = train
        self._fixed = fixed
        self._goal = goal
        self._sampler = sampler
        self._place = place
        self._outer = outer
        self._room = room_of(log.workspace, workers=1)
        # What steps need together is kept to over all trials, and beside the pipeline's own steps.
        self._beside = Scheduler(*self._room) if outer is None else outer.scheduler
        self._quiet = dataclasses.replace(log.workspace, say=lambda line: None)  # a trial is one line
        self._code = log.run.code
        self._earlier = Earlier(log.workspace, log.run)  # one look for all trials
        self._closures: dict[tuple[str, ...], str] = {}
        self._trials: list[Trial] = []
        self._best: _Made | None = None
        self._lock = threading.Lock()
        self._scopes: list[Scope] = []
        self._ended: BaseException | None = None
        self._sure = 0  # how many trials may begin before the quota is looked at again

    def run(self, trials: int, parallel: int) -> Search:
        """Make the trials."""
        waiting: deque[Future[_Made]] = deque()
        pool = ThreadPoolExecutor(parallel, thread_name_prefix="slipway-trial")
        try:
            for _ in range(trials):
                if len(waiting) == parallel:
                    self._settle(waiting.popleft().result())
                if self._outer is not None:
                    self._outer.refuse_stopped()
                asked = self._sampler.ask()
                if asked is None:
                    break
                self._check_room(waiting)
                waiting.append(pool.submit(contextvars.copy_context().run, self._made, asked))
            while waiting:
                self._settle(waiting.popleft().result())
        except BaseException as error:
            self._end(error)
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        if self._best is None:
            raise self._failed(f"None of its {len(self._trials)} trials came to an end")
        self._log.set_tags({"slipway.best_trial": self._best.trial.run_id})
        return Search(
            run_id=self._log.id,
            metric=self._goal.metric,
            direction=self._goal.direction,
            trials=tuple(self._trials),
            best=self._best.trial,
            result=self._best.result,
        )

    def _check_room(self, waiting: deque[Future[_Made]]) -> None:
        """Refuse one more trial than the project may begin, when those under way have been taken in.

        Raises:
            OverQuota: It may begin no more.
        """
        workspace = self._log.workspace
        if workspace.run_server is not None:
            return
        if self._sure > 0:
            self._sure -= 1
            return
        with workspace.ledger.read() as tx:
            more = room(tx, workspace, "runs_a_day") - len(waiting)
        if more > 0:
            self._sure = min(more // 2, _COUNTED_EVERY)  # others begin runs too
            return
        wait(waiting)  # the ledger knows all that ended, and which of them were only found
        try:
            _check_quota(workspace)
        except OverQuota as problem:
            while waiting:
                self._settle(waiting.popleft().result())
            raise OverQuota(
                f"The search ended after {len(self._trials)} trials: {problem.what}",
                why=problem.why,
                fix=f"They are kept: run the same search again and it goes on after them. {problem.fix}",
            ) from problem

    def _end(self, error: BaseException) -> None:
        """Let no further step of the trials under way begin."""
        with self._lock:
            self._ended = error
            for scope in self._scopes:
                scope.stop(error)

    @contextmanager
    def _under_way(self, scope: Scope) -> Iterator[None]:
        with self._lock:
            self._scopes.append(scope)
            if self._ended is not None:
                scope.stop(self._ended)
        try:
            yield
        finally:
            with self._lock:
                self._scopes.remove(scope)

    def _settle(self, made: _Made) -> None:
        """Take in what a trial came to, in the order of the trials."""
        trial = made.trial
        value = None if trial.state == "failed" else trial.value
        self._sampler.tell(trial.number, value, made.curve, pruned=trial.state == "pruned")
        self._trials.append(trial)
        if value is not None:
            self._log.log_metric(self._goal.metric, value, trial.number)
        if trial.state == "finished" and (self._best is None or self._goal.better(trial.value, self._best.trial.value)):
            self._best = made
        if self._best is not None:
            self._log.log_metric(f"best {self._goal.metric}", self._best.trial.value, trial.number)
        self._log.workspace.say(trial.told(self._goal.metric))
        if len(self._trials) == _GIVEN_UP_AFTER and self._best is None:
            raise self._failed(f"Its first {_GIVEN_UP_AFTER} trials failed")

    def _failed(self, words: str) -> StepFailed:
        first = next((trial.error for trial in self._trials if trial.error), "all of them were pruned")
        return StepFailed(
            f"The search failed: {words}. The first: {first}",
            step=getattr(self._train, "name", ""),
            run_id=self._log.id,
            fix=f"See one of them: slipway runs show {self._trials[0].run_id}",
        )

    def _made(self, asked: Asked) -> _Made:
        """Make a trial: a run of its own, in the thread of a worker."""
        started = time.perf_counter()
        log = run_log.start(
            self._quiet,
            name=f"trial {asked.number}",
            parent_id=self._log.id,
            params=asked.params,
            tags={TRIAL: str(asked.number)},
            code=self._code,
            is_one_of_many=True,
        )
        curve: dict[int, float] = {}
        log.listeners.append(lambda point: self._look(log, asked.number, point, curve))
        states: list[str] = []
        result, trial, ending = None, Trial(number=asked.number, params=asked.params, run_id=log.id), None
        try:
            scope = Scope(
                log,
                self._place,
                self._room,
                self._outer is None or self._outer.use_cache,
                progress=lambda step, _: states.append(step.state),
                earlier=self._earlier,
                beside=self._beside,
                closures=self._closures,
                is_trial=True,
            )
            with run_log.current_run.filled(log), self._under_way(scope), scope, step_scope.filled(scope):
                result = self._train(**self._fixed, **asked.params)
            value = _value(self._goal.metric, result, curve)
            if not curve:
                log.log_metric(self._goal.metric, value)
            trial = replace(trial, value=value)
        except RunStopped as stopped:
            if stopped.run_id != log.id or not curve:
                log.finish(stopped)
                raise
            log.finish(ended_early=stopped.what)
            trial = replace(trial, value=_last(curve), state="pruned" if stopped.what == _HOPELESS else "finished")
        except Exception as problem:
            trial, ending = replace(trial, state="failed", error=_words(problem)), problem
        except BaseException as problem:
            log.finish(problem)
            raise
        is_cached = "cached" in states and not {"finished", "failed"} & set(states)
        if is_cached:
            log.set_tags({FOUND: trial.number})
        log.finish(ending)
        return _Made(replace(trial, is_cached=is_cached, seconds=time.perf_counter() - started), result, curve)

    def _look(self, log: RunLog, number: int, point: MetricPoint, curve: dict[int, float]) -> None:
        if point.key != self._goal.metric or not math.isfinite(point.value):
            return
        curve[point.step] = point.value
        if self._goal.is_watched and self._sampler.is_hopeless(number, curve):
            raise RunStopped(_HOPELESS, run_id=log.id, fix=STOPPED)


def _words(problem: Exception) -> str:
    return problem.what if isinstance(problem, SlipwayError) else str(problem)


def _last(curve: Mapping[int, float]) -> float:
    return curve[max(curve)]


def _value(metric: str, result: Any, curve: Mapping[int, float]) -> float:
    """The metric of what a trial returned or logged.

    Raises:
        InvalidInput: There is none, or it is not finite.
    """
    evaluation = getattr(result, "evaluation", None)
    found: Any = None
    told = ""
    if isinstance(result, numbers.Real) and not isinstance(result, bool):
        found = result
    elif isinstance(result, Mapping):
        found = result.get(metric)
    elif evaluation is not None:
        figure = next((one for one in evaluation.metrics if one.metric == metric and not one.slice), None)
        found, told = (None, "") if figure is None else (figure.value, figure.note)
    if found is None and curve:
        found = _last(curve)
    if not isinstance(found, numbers.Real):
        raise InvalidInput(
            f"The trial gave no {metric!r}: it returned a {type(result).__name__} and logged no such metric.",
            fix=f"Return the number, {{{metric!r}: number}} or an evaluated model, or log it: "
            f"sw.active_run().log_metric({metric!r}, ...).",
        )
    if not math.isfinite(found):
        why = f"The trial's {metric!r} cannot be told: {told}." if told else f"The trial's {metric!r} is {found}."
        raise InvalidInput(why, fix="Look at what it was trained with.")
    return float(found)
