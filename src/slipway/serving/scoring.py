"""Which model scores which row of a request, and what is told and noted when one of them cannot.

`attempt` asks the models and may be called from any thread; what it found out on the way stands in its `Notes`, which
`RowScorer` in `row_scorer.py` counts and writes down, in the one thread that counts.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from slipway.errors import InvalidInput
from slipway.records.endpoints import FallbackBy, Served
from slipway.records.predictions import Arm, FallbackReason
from slipway.serving.active import Active, Predict, Resolve, Rows
from slipway.serving.http import TooSlow

__all__ = ["EPOCH", "MICROSECOND", "NONE_MISSING",
    "Answered", "ArmFailed", "Failed", "Fell", "Gathered", "Notes", "Scored", "ScoredRows", "Side", "attempt",
    "champion_alone", "champions", "instead_of_champion", "kind_of", "microseconds", "note_cover", "of_challenger", "resolved", "scored", "side_instead", "side_of",
]  # fmt: skip

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def microseconds(instant: datetime) -> int:
    """Microseconds from the epoch to an aware instant."""
    return (instant - EPOCH) // MICROSECOND


class Fell(NamedTuple):
    """That the fallback answered a row: what did, and why the model did not."""

    by: FallbackBy
    reason: FallbackReason


class Side(NamedTuple):
    """Who answered a row: what the answer and the log say of it."""

    arm: Arm
    propensity: float
    version: int
    bundle: str
    threshold: float | None
    fell: Fell | None = None
    took_us: int = 0


class Scored(NamedTuple):
    """For each row the inputs of the model that answered it, its score, and who answered.

    `missing` says of which rows the score is none, and why: empty unless the revision has a fallback.
    """

    inputs: Sequence[Sequence[Any]]
    scores: Sequence[float]
    sides: Sequence[Side]
    missing: dict[int, "ArmFailed"]


ScoredRows = tuple[Sequence[Sequence[Any]], Sequence[float], Sequence[Side], Mapping[int, "ArmFailed"]]
"""The same as a plain tuple, which costs the most frequent path less."""


class ArmFailed(Exception):
    """A model, or its features, could not score rows, and it is not the rows' fault.

    Args:
        step: "features" or "predict".
        what: The sentence for the caller.
        cause: What was raised, None where the scores are none.
        reason: Why, as the fallback's counters know it.
        inputs: The rows of the model's inputs, None where there are none.
        scores: The scores that cannot be used, one a row; () where there are no such.
    """

    def __init__(
        self,
        step: str,
        what: str,
        cause: BaseException | None,
        reason: FallbackReason = "error",
        *,
        inputs: Rows | None = None,
        scores: Sequence[float] = (),
    ) -> None:
        super().__init__(what)
        self.step, self.what, self.cause, self.reason = step, what, cause, reason
        self.inputs, self.scores = inputs, scores


def resolved(resolve: Resolve, rows: list[list[Any]], at: datetime) -> Rows:
    """The rows of a model's inputs.

    Raises:
        InvalidInput: A row has a value that the features refuse.
        ArmFailed: The features failed.
    """
    try:
        return resolve(rows, at)
    except InvalidInput:
        raise  # the caller's value, which has its own sentence
    except (Exception, SystemExit) as error:
        what = "The features of this request could not be computed."
        raise ArmFailed("features", what, error, "features") from error


def scored(predict: Predict, inputs: Rows, is_valid: Callable[[float], bool] = math.isfinite) -> Sequence[float]:
    """One valid score a row.

    Raises:
        InvalidInput: The model refuses a row, and says which of its inputs.
        ArmFailed: The model failed.
    """
    try:
        scores = predict(inputs)
    except InvalidInput:
        raise
    except (Exception, SystemExit) as error:
        raise ArmFailed("predict", "The model could not score this request.", error) from error
    try:
        if len(scores) == len(inputs) and all(map(is_valid, scores)):
            return scores
        differ = len(scores) != len(inputs)
        found = f"{len(scores)} scores for {len(inputs)} rows" if differ else "not a finite number"
        if not differ and all(map(math.isfinite, scores)):
            found = "no probability"
    except TypeError:  # no numbers, or nothing that has a length
        differ, found = True, f"a {type(scores).__name__}, or what it holds, is no list of numbers"
    what = f"The model's answer cannot be used: {found}."
    raise ArmFailed("predict", what, None, "invalid", inputs=inputs, scores=() if differ else scores)


NONE_MISSING: dict[int, ArmFailed] = {}
"""No row is without a score."""


class Failed(NamedTuple):
    """Rows that an arm could not answer: at which step, why, and whether the other arm answered them in its place."""

    arm: Arm
    rows: int
    step: str
    kind: FallbackReason
    was_covered: bool = False


def kind_of(problem: ArmFailed | InvalidInput) -> FallbackReason:
    """Why a model did not answer; a challenger that refuses what the champion takes has failed."""
    if isinstance(problem, InvalidInput):
        return "error"
    return "timeout" if isinstance(problem.cause, TooSlow) else problem.reason


class Notes:
    """What is found out while models are asked, for the thread that counts.

    Attributes:
        failures: What a model could not answer.
        said: Sentences for the log, and what was raised.
        by_challenger: How many rows the challenger answered.
        arm: Which model is being asked.
        step: What of it.
    """

    __slots__ = ("arm", "by_challenger", "failures", "said", "step")

    def __init__(self) -> None:
        self.failures: list[Failed] = []
        self.said: list[tuple[str, BaseException | None]] = []
        self.by_challenger = 0
        self.arm: Arm = "champion"
        self.step = "features"


def attempt(active: Active, rows: list[list[Any]], at: datetime, notes: Notes) -> Scored:
    """Ask the models of a revision, each for its own rows.

    Args:
        active: The revision.
        rows: A request's, in the contract's order.
        at: The decision time.
        notes: Takes what is found out on the way.

    Raises:
        InvalidInput: A row does not fit its model.
        ArmFailed: Features or model of the champion failed, and there is no fallback.
    """
    if active.challengers:
        return _by_arms(active, rows, at, notes)
    inputs, scores, missing = champions(active, rows, at, notes)
    return Scored(inputs, scores, [_champion(active, 1.0)] * len(rows), missing)


def _by_arms(active: Active, rows: list[list[Any]], at: datetime, notes: Notes) -> Scored:
    arms = [active.assign(row) for row in rows]  # -1 is the champion
    begun = time.perf_counter_ns()
    shared: Rows | None = None
    if all(one.resolve is None for one in active.challengers):
        try:
            shared = resolved(active.resolve, rows, at)
        except ArmFailed as problem:
            own = {arm: side_of(active, arm) for arm in sorted(set(arms))}
            notes.failures += sorted(
                Failed(side.arm, arms.count(arm), problem.step, kind_of(problem)) for arm, side in own.items()
            )
            if active.fallback is None:
                raise
            lost = dict.fromkeys(range(len(rows)), problem)
            return Scored([()] * len(rows), [math.nan] * len(rows), [own[arm] for arm in arms], lost)
    common_ns = time.perf_counter_ns() - begun
    found = Gathered(len(rows), _champion(active, 1.0))
    failed: tuple[list[int], ArmFailed] | None = None
    for arm in range(-1, len(active.challengers)):
        places = [place for place, of in enumerate(arms) if of == arm]
        if not places:
            continue
        part = [rows[place] for place in places]
        given = None if shared is None else [shared[place] for place in places]
        side, begun = side_of(active, arm), time.perf_counter_ns()
        notes.arm, notes.step = side.arm, "features"
        try:
            if arm < 0:
                inputs, scores, missing = champions(active, part, at, notes, given)
            else:
                inputs, scores, missing, side = _challengers(active, arm, part, at, notes, given)
        except ArmFailed as problem:
            if arm >= 0 or len(places) == len(rows):
                raise
            failed = places, problem  # the rows of others in the same request are not lost with it
            continue
        took_us = (common_ns + time.perf_counter_ns() - begun) // 1000
        found.take(places, inputs, scores, side._replace(took_us=took_us), missing)
    if failed is not None:
        places, why = failed
        try:
            inputs, scores = of_challenger(active, 0, [rows[place] for place in places], at, notes, None)
        except (ArmFailed, InvalidInput):
            raise why from why.cause
        found.take(places, inputs, scores, instead_of_champion(active, notes, why, len(places)), {})
    return found.scored()


def instead_of_champion(active: Active, notes: Notes, problem: ArmFailed, rows: int) -> Side:
    """Note that the first challenger answered rows on which the champion, as is noted already, had failed: its side."""
    last = max(i for i, one in enumerate(notes.failures) if one.arm == "champion")
    notes.failures[last] = notes.failures[last]._replace(was_covered=True)
    notes.by_challenger += rows
    notes.said.append((f"The {_called(active, 0)} answered {rows} rows for the champion: {problem}", problem.cause))
    return side_instead(active, -1, by=0)


class Gathered:
    """What the arms answer to one request, put together in the order of its rows.

    Args:
        rows: How many there are.
        side: Stands where nobody has answered yet.
    """

    def __init__(self, rows: int, side: Side) -> None:
        self._inputs: list[Sequence[Any]] = [()] * rows
        self._scores = [math.nan] * rows
        self._sides = [side] * rows
        self._missing: dict[int, ArmFailed] = {}

    def take(
        self,
        places: Sequence[int],
        inputs: Rows,
        scores: Sequence[float],
        side: Side,
        missing: Mapping[int, "ArmFailed"],
    ) -> None:
        """Take the answers of an arm to its rows; `missing` names those without one by their place among these."""
        for place, values, score in zip(places, inputs, scores, strict=True):
            self._inputs[place], self._scores[place], self._sides[place] = values, score, side
        self._missing |= {places[index]: problem for index, problem in missing.items()}

    def scored(self) -> Scored:
        """All of it."""
        return Scored(self._inputs, self._scores, self._sides, self._missing)


Answered = tuple[Rows, Sequence[float], dict[int, ArmFailed]]
"""Inputs and scores a row, and of which rows the score is none."""


def champions(
    active: Active, rows: list[list[Any]], at: datetime, notes: Notes, inputs: Rows | None = None
) -> Answered:
    """The champion's answers to rows.

    Raises:
        InvalidInput: It refuses a row.
        ArmFailed: It, or its features, failed, and there is no fallback.
    """
    if active.fallback is not None:
        return _guarded(active, rows, at, notes, inputs)
    try:
        if inputs is None:
            inputs = resolved(active.resolve, rows, at)
        notes.step = "predict"
        return inputs, scored(active.predict, inputs), NONE_MISSING
    except ArmFailed as problem:
        notes.failures.append(Failed("champion", len(rows), problem.step, kind_of(problem)))
        raise


def _guarded(active: Active, rows: list[list[Any]], at: datetime, notes: Notes, inputs: Rows | None) -> Answered:
    """The same where there is a fallback: what the champion cannot answer is left out, and nothing but a wrong row raises."""
    assert active.fallback is not None
    missing: dict[int, ArmFailed] = {}
    try:
        if inputs is None:
            inputs = resolved(active.resolve, rows, at)
        notes.step = "predict"
        missing = active.fallback.lacking(inputs)
        if missing:
            notes.failures.append(Failed("champion", len(missing), "features", "features"))
        asked = [place for place in range(len(rows)) if place not in missing]
        given = inputs if not missing else [inputs[place] for place in asked]
        found = active.fallback.score(active.predict, given, missing, asked) if asked else ()
    except ArmFailed as problem:
        notes.failures.append(Failed("champion", len(rows) - len(missing), problem.step, kind_of(problem)))
        lost = {place: missing.get(place, problem) for place in range(len(rows))}
        return inputs or [()] * len(rows), [math.nan] * len(rows), lost
    if not missing:
        return inputs, found, NONE_MISSING
    if invalid := sum(problem.reason == "invalid" for problem in missing.values()):
        notes.failures.append(Failed("champion", invalid, "predict", "invalid"))
    scores = [math.nan] * len(rows)  # of what is missing too
    for place, score in zip(asked, found, strict=True):
        scores[place] = score
    return inputs, scores, missing


def of_challenger(
    active: Active, arm: int, rows: list[list[Any]], at: datetime, notes: Notes, given: Rows | None
) -> tuple[Rows, Sequence[float]]:
    """The inputs and scores of rows by the challenger at a place.

    Raises:
        InvalidInput: It refuses a row.
        ArmFailed: It, or its features, failed.
    """
    challenger = active.challengers[arm]
    is_valid = math.isfinite if active.fallback is None else active.fallback.is_valid
    inputs = resolved(challenger.resolve or active.resolve, rows, at) if given is None else given
    notes.step = "predict"
    return inputs, scored(challenger.predict, inputs, is_valid)


def note_cover(
    active: Active, arm: int, notes: Notes, rows: int, problem: ArmFailed | InvalidInput, *, lost: int
) -> None:
    """Note that the champion was asked for rows in a challenger's place, and could not answer the lost ones either."""
    step = problem.step if isinstance(problem, ArmFailed) else "predict"
    name, kind, found = active.challengers[arm].plan.name, kind_of(problem), rows - lost
    notes.failures += [Failed(name, n, step, kind, covered) for n, covered in ((found, True), (lost, False)) if n]
    cause = problem.cause if isinstance(problem, ArmFailed) else problem
    notes.said.append((f"The champion answered {found} rows for the {_called(active, arm)}: {problem}", cause))


def side_of(active: Active, arm: int) -> Side:
    """Who answers the rows of an arm: the place of its challenger, -1 for the champion."""
    if arm < 0:
        return _champion(active, 1.0 - sum(one.plan.fraction for one in active.challengers))
    one = active.challengers[arm]
    return _side(one.plan.name, one.plan.fraction, one.plan.served, one.threshold)


def side_instead(active: Active, arm: int, *, by: int) -> Side:
    """Who answered the rows of an arm in its place.

    In a roll-out every such row would have come to that model, whoever was drawn for it: its propensity is 1. An A/B
    test counts an entity where it was assigned, failures and all.
    """
    own, other = side_of(active, arm), side_of(active, by)
    if active.revision.split is None:
        return other._replace(propensity=1.0)
    return other._replace(arm=own.arm, propensity=own.propensity)


def _challengers(
    active: Active, arm: int, rows: list[list[Any]], at: datetime, notes: Notes, given: Rows | None
) -> tuple[Rows, Sequence[float], dict[int, ArmFailed], Side]:
    try:
        inputs, scores = of_challenger(active, arm, rows, at, notes, given)
    except (ArmFailed, InvalidInput) as problem:
        try:
            # What it cannot answer either is the challenger's failure still: it was drawn for these rows.
            inputs, scores, missing = champions(active, rows, at, Notes(), given)
        except InvalidInput:
            raise  # no model takes these rows: the challenger is not to blame either
        except ArmFailed:
            step = problem.step if isinstance(problem, ArmFailed) else "predict"
            notes.failures.append(Failed(active.challengers[arm].plan.name, len(rows), step, kind_of(problem)))
            raise
        note_cover(active, arm, notes, len(rows), problem, lost=len(missing))
        return inputs, scores, missing, side_instead(active, arm, by=-1)
    notes.by_challenger += len(rows)
    return inputs, scores, NONE_MISSING, side_of(active, arm)


def _called(active: Active, arm: int) -> str:
    name = active.challengers[arm].plan.name
    return name if name == "challenger" else f"arm {name}"


def champion_alone(active: Active) -> Side:
    """The champion where nothing stands beside it."""
    return _champion(active, 1.0)


def _champion(active: Active, likely: float) -> Side:
    return _side("champion", likely, active.revision.served, active.threshold)


def _side(arm: Arm, likely: float, served: Served, threshold: float | None) -> Side:
    return Side(arm, likely, served.number, served.bundle[:16], threshold)
