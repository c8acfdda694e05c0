"""Replay of stored training rows through HTTP: what the model is given when it serves, beside what it was trained on.

Each row's request is sent to the real endpoint process of the bundle as of the row's own decision time; features are
looked up in an online store that is loaded as for a deployment. The endpoint's log says what the model was given, and
that is compared with the training set's columns one by one, bit for bit. Three more things are asked: does it answer
as the model answers offline for the stored columns, and as it did in its evaluation for rows that it was evaluated on;
and are the rows that it was fitted on rows of the training set, or were they altered on the way?
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl

from slipway.errors import InvalidInput, NoAnswer, NotFound, SlipwayError
from slipway.flows.asking import loaded_within
from slipway.flows.contracts import request_fields
from slipway.flows.passing import passing, stop
from slipway.flows.trained_rows import TrainedRows, choose, spread, trained_rows
from slipway.ledger import events
from slipway.models import registry
from slipway.models.bundle import LoadedModel
from slipway.models.evaluation import SCORED, evaluated_rows
from slipway.models.scoring import TOLERANCE
from slipway.monitoring.consistency import as_taken, differs
from slipway.operations.load import Replayed, ReplayModel
from slipway.ports.workspace import Workspace
from slipway.records.load import Comparison, Replay
from slipway.records.models import Bundle, ModelVersion
from slipway.records.schema import Field
from slipway.schema.types import polars_schema
from slipway.serving.open_loop import Answer, one_after_another
from slipway.tables import prediction_log
from slipway.tables.catalog import heads
from slipway.tables.personal import MASK, may_see

__all__ = [
    "ANSWER",
    "FITTED",
    "Serve",
    "Served",
    "fitted_rows",
    "over_http",
    "replay",
    "replay_rows",
    "requests_of",
    "without_values",
]

ANSWER = "the answer"
FITTED = "fitted rows"
_ROWS = 500
_ANSWER_WITHIN_S = 60.0
_encode = msgspec.json.Encoder().encode


def replay(workspace: Workspace, request: ReplayModel) -> Replayed:
    """Replay stored training rows of a model version through its endpoint process; nothing is deployed.

    Raises:
        NotFound: No such model or version.
        InvalidInput: The number of rows is none.
    """
    version = registry.get(workspace, request.model, request.version)
    if request.rows < 1:
        raise InvalidInput(f"{request.rows} rows cannot be replayed.", fix="Give 1 or more: --rows 500", field="rows")
    found = replay_rows(workspace, version, registry.bundle_of(workspace, version), request.rows)
    with workspace.ledger.write() as tx:
        told = {"verdict": found.verdict, "rows": found.rows}
        events.record(tx, workspace, "models.replay", f"bundle:{version.bundle}", **told)
    if not may_see(workspace.actor):
        found = without_values(workspace, found)
    return Replayed(model=version.name, number=version.number, bundle=version.bundle, replay=found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What came of requests at an endpoint of a bundle.

    Args:
        answers: One a request, in order.
        given: Row by row what the model was given (`feature.<name>` or `<name>`), and its `score`; None where a request
            was not answered.
        model: The bundle's model.
        fitted: Rows that it was fitted on, out of its sample, in the signature's order; () where the sample was erased.
    """

    answers: Sequence[Answer]
    given: pl.DataFrame | None
    model: LoadedModel
    fitted: Sequence[list[Any]] = ()


Serve = Callable[[Workspace, ModelVersion, Bundle, Sequence[bytes]], Served]
"""Asks an endpoint of a bundle."""


def replay_rows(
    workspace: Workspace, version: ModelVersion, bundle: Bundle, count: int = _ROWS, *, serve: Serve | None = None
) -> Replay:
    """The same, for a gate.

    Args:
        workspace: Whose tables and bundles.
        version: What is asked.
        bundle: Its manifest.
        count: How many rows at most.
        serve: What answers; the bundle's endpoint process, over HTTP, when None.

    Returns:
        "cannot" where no training rows are stored, or the endpoint process does not start.
    """
    began = time.monotonic()
    try:
        found = _replayed(workspace, version, bundle, count, serve or over_http)
    except SlipwayError as problem:
        found = Replay(verdict="cannot", sentence=str(problem))
    return msgspec.structs.replace(found, seconds=round(time.monotonic() - began, 3))


def _replayed(workspace: Workspace, version: ModelVersion, bundle: Bundle, count: int, serve: Serve) -> Replay:
    if bundle.features is None:
        raise NotFound(
            f"{version.name} {version.number} takes its inputs as they are.",
            why="There are no features that could be looked up otherwise than in training.",
            fix="Leave sw.replayed() out of its gate, or give its endpoint a feature set.",
        )
    stored = trained_rows(workspace, version)
    request, names = request_fields(bundle), [field.name for field in bundle.signature.inputs]
    rows = choose(stored, [*names, *(field.name for field in request)], count)
    missing = [field.name for field in request if field.name not in rows.columns]
    if missing:
        told = f"A request must carry {missing[0]!r}, which the rows that the model was trained on do not have"
        return Replay(verdict="differs", sentence=told, rows=rows.height, of=stored.training.rows)
    rows, judged = _with_evaluated(workspace, bundle, stored, rows)
    served = serve(workspace, version, bundle, requests_of(request, rows, stored.training.at))
    if served.given is None:
        told = _refusal(rows, served.answers, stored)
        return Replay(verdict="differs", sentence=told, rows=rows.height, of=stored.training.rows)
    return _compared(served, served.given, stored, rows, judged)


def over_http(workspace: Workspace, version: ModelVersion, bundle: Bundle, bodies: Sequence[bytes]) -> Served:
    """Ask the bundle's endpoint process, whose online store is loaded from the workspace's tables.

    Raises:
        BackendError: It does not start, or not in time.
        NoAnswer: It does not answer a row in time.
        NotFound: A table that its features read has no version any more.
    """
    with passing(workspace, version, bundle) as endpoint:
        answers = one_after_another(endpoint.url, endpoint.path, bodies, timeout_s=_ANSWER_WITHIN_S)
        if len(answers) < len(bodies):
            raise NoAnswer(
                f"The endpoint process of {version.name} {version.number} did not answer row {len(answers):,} of "
                f"{len(bodies):,} within {_ANSWER_WITHIN_S:g} s.",
                fix="Ask it for such a row in a notebook, and mend what takes so long.",
            )
        stop(endpoint.pid)  # so that its log is whole
        model = loaded_within(endpoint.bundle, expect=version.bundle, signer=workspace.signer)
        if not all(answer.is_good for answer in answers):
            return Served(answers=answers, given=None, model=model)
        ids = [msgspec.json.decode(answer.body)["predictions"][0]["id"] for answer in answers]
        logged = prediction_log.predictions(endpoint.folder / "log", endpoint.contract, bundle.signature)
        given = pl.DataFrame({"id": ids}).join(logged, on="id", how="left", maintain_order="left")
        return Served(answers=answers, given=given, model=model, fitted=fitted_rows(model))


def without_values(workspace: Workspace, found: Replay) -> Replay:
    """A replay as whoever may not see personal values is told of it: which columns differ, and in how many rows.

    It is left as it is where the project has no personal columns. A key or a value in its sentences may be somebody's,
    whichever column it is of.
    """
    if found.verdict != "differs" or not any(head.about.personal for head in heads(workspace)):
        return found
    bad = [one for one in found.columns if one.differing]
    told = "; ".join(f"{one.column} differs in {one.differing:,} of {one.compared:,} rows" for one in bad)
    columns = tuple(msgspec.structs.replace(one, first=MASK) if one.first else one for one in found.columns)
    sentence = (
        told or "The endpoint refuses rows that the model was trained on; who may see personal values is told which"
    )
    return msgspec.structs.replace(found, sentence=sentence, columns=columns)


def requests_of(fields: Sequence[Field], rows: pl.DataFrame, at: str, size: int = 1) -> list[bytes]:
    """The bodies of requests that ask stored rows, each as of its own decision time.

    Args:
        fields: What a request carries.
        rows: Stored rows with the request's fields, sorted by decision time.
        at: The column of the decision times.
        size: Rows a request; they are asked as of the first one's time.
    """
    names = [field.name for field in fields]
    asked = rows.select(*names, pl.col(at).alias("decided at")).to_dicts()
    bodies = []
    for start in range(0, len(asked), size):
        some = asked[start : start + size]
        when: datetime = some[0]["decided at"]
        bodies.append(_encode({"rows": [{name: row[name] for name in names} for row in some], "at": when}))
    return bodies


def _refusal(rows: pl.DataFrame, answers: Sequence[Answer], stored: TrainedRows) -> str:
    """What the endpoint said to the first row that it did not answer, "" where it answered all."""
    for place, answer in enumerate(answers):
        if not answer.is_good:
            failed = sum(not one.is_good for one in answers)
            return (
                f"The endpoint refuses {failed:,} of {len(answers):,} rows that the model was trained on, first "
                f"{_named(rows, place, stored)}: {_sentence(answer)}"
            )
    return ""


def _sentence(answer: Answer) -> str:
    try:
        told = msgspec.json.decode(answer.body, type=dict[str, dict[str, str]])["error"]
    except (msgspec.DecodeError, KeyError):
        return answer.words
    return " ".join(part for part in (told.get("what"), told.get("why")) if part)


def _with_evaluated(
    workspace: Workspace, bundle: Bundle, stored: TrainedRows, rows: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Half of the rows exchanged for rows that the model was evaluated on, and these as they were evaluated."""
    training = stored.training
    names = list(dict.fromkeys((*training.key, training.at)))
    if not bundle.evaluated or not workspace.blobs.has(bundle.evaluated) or not training.key:
        return rows, None
    judged = evaluated_rows(workspace.blobs.get(bundle.evaluated))
    schema = stored.frame.collect_schema()
    if any(judged.schema.get(name) != schema[name] for name in names):
        return rows, None
    judged = judged.unique(names, keep="none", maintain_order=True)
    among = stored.frame.join(judged.lazy().select(names), on=names, how="semi").collect()
    few = min(rows.height // 2, among.height)
    some = among[spread(pl.Series(range(among.height)), few)]
    others = rows.join(some.select(names), on=names, how="anti", maintain_order="left")
    rest = others[spread(pl.Series(range(others.height)), rows.height - few)]
    return pl.concat([rest, some]).sort(training.at, maintain_order=True), judged


def fitted_rows(model: LoadedModel) -> list[list[Any]]:
    """Rows that a model was fitted on, as its bundle's sample keeps them."""
    return [case.row for case in model.cases() or () if not case.column]


def _compared(
    came: Served, served: pl.DataFrame, stored: TrainedRows, rows: pl.DataFrame, judged: pl.DataFrame | None
) -> Replay:
    """Compare what was served for stored rows with what is stored of them."""
    model = came.model
    fields = model.signature.inputs
    columns = [_column(field, rows, served, stored) for field in fields]
    taken = rows.select(_as_input(rows, field) for field in fields if field.name in rows.columns)
    if len(taken.columns) == len(fields):
        columns.append(_answers(model, taken, rows, served, stored))
        columns += _in_evaluation(fields, rows, served, judged, stored)
        columns += _fitted_elsewhere(came.fitted, fields, stored)
    bad = [one for one in columns if one.differing]
    if bad:
        first = min(bad, key=lambda one: columns.index(one))
        more = f" ({', '.join(one.column for one in bad[1:6])} differ, too.)" if len(bad) > 1 else ""
        sentence = f"{first.first}; so in {first.differing:,} of {first.compared:,} rows.{more}"
        verdict: Any = "differs"
    else:
        cells = sum(one.compared for one in columns)
        sentence = (
            f"{rows.height:,} of {stored.training.rows:,} training rows were asked over HTTP; all {cells:,} values of "
            f"{len(fields)} inputs are those of training, bit for bit, and the answers within {TOLERANCE:g}"
        )
        verdict = "equal"
    return Replay(verdict=verdict, sentence=sentence, rows=rows.height, of=stored.training.rows, columns=tuple(columns))


def _column(field: Field, rows: pl.DataFrame, served: pl.DataFrame, stored: TrainedRows) -> Comparison:
    if field.name not in rows.columns:
        told = f"{field.name} is an input of the model and no column of its training set"
        return Comparison(column=field.name, compared=rows.height, differing=rows.height, first=told)
    given = served[f"feature.{field.name}" if f"feature.{field.name}" in served.columns else field.name]
    trained = as_taken(rows[field.name], given.dtype)
    return _told(field.name, trained, given, differs(given, trained), rows, stored)


def _told(
    name: str, trained: pl.Series, given: pl.Series, different: Any, rows: pl.DataFrame, stored: TrainedRows
) -> Comparison:
    places = np.flatnonzero(different)
    first = ""
    if len(places):
        place = int(places[0])
        first = (
            f"{name} is {trained[place]!r} in the training set and {given[place]!r} when it is served, for "
            f"{_named(rows, place, stored)}"
        )
    return Comparison(column=name, compared=len(given), differing=len(places), first=first)


def _named(rows: pl.DataFrame, place: int, stored: TrainedRows) -> str:
    """Which row it is: its key and its decision time."""
    row: Mapping[str, Any] = rows.row(place, named=True)
    keys = ", ".join(f"{name} {row[name]!r}" for name in stored.training.key if name in row)
    return f"{keys or f'row {place + 1}'} at {row[stored.training.at].isoformat()}"


def _as_input(rows: pl.DataFrame, field: Field) -> pl.Series:
    """A training column as the model takes it: text for a category, numbers of the type that it was fitted on."""
    plain = Field(field.name, "string" if field.type == "category" else field.type)
    kind = polars_schema((plain,))[field.name]
    values = rows[field.name]
    return values.cast(pl.String) if kind == pl.String else as_taken(values, kind)


def _answers(
    model: LoadedModel, taken: pl.DataFrame, rows: pl.DataFrame, served: pl.DataFrame, stored: TrainedRows
) -> Comparison:
    # Sums of many rows at once may end in another last bit than those of one row.
    offline = pl.Series(ANSWER, model.predict_rows([list(row) for row in taken.rows()]), pl.Float64)
    return _told(ANSWER, offline, served["score"], _apart(served["score"], offline), rows, stored)


def _apart(served: pl.Series, offline: pl.Series) -> Any:
    """Which answers are further apart than rounding takes them; one that is missing on one side only is."""
    is_far = (served - offline).abs() > TOLERANCE * offline.abs().clip(1.0)
    is_number = served.is_not_nan() & offline.is_not_nan()
    return ((is_far & is_number) | (served.is_nan() != offline.is_nan())).to_numpy()


def _in_evaluation(
    fields: Sequence[Field], rows: pl.DataFrame, served: pl.DataFrame, judged: pl.DataFrame | None, stored: TrainedRows
) -> list[Comparison]:
    """The answers beside those of the evaluation, for rows that are among it: what was altered before it shows there."""
    if judged is None:
        return []
    names = list(dict.fromkeys((*stored.training.key, stored.training.at)))
    asked = rows.select(names).with_columns(served["score"].alias("served"))
    both = asked.join(judged.select(*names, pl.col(SCORED)), on=names, how="inner", maintain_order="left")
    if not both.height:
        return []
    apart = _apart(both["served"], both[SCORED])
    found = _told("the evaluation's answer", both[SCORED], both["served"], apart, both, stored)
    return [found]


def _fitted_elsewhere(cases: Sequence[list[Any]], fields: Sequence[Field], stored: TrainedRows) -> list[Comparison]:
    """Whether the rows that the model was fitted on are rows of its training set; the bundle keeps a sample of them."""
    names = [field.name for field in fields]
    if not cases:
        return []
    plain = tuple(Field(field.name, "string" if field.type == "category" else field.type) for field in fields)
    fitted = pl.DataFrame(cases, schema=polars_schema(plain), orient="row")
    left = fitted
    for frame in (stored.frame, *stored.others):
        if not set(names) <= set(frame.collect_schema()):
            continue
        known = frame.select(names).collect()
        known = known.select(_as_input(known, field) for field in fields)
        if known.schema == left.schema:
            left = left.join(known, on=names, how="anti", nulls_equal=True)
    first = ""
    if left.height:
        first = f"the model was fitted on a row that is none of its training set's: {_shown(left, stored, fields)}"
    return [Comparison(column=FITTED, compared=len(cases), differing=left.height, first=first)]


def _shown(left: pl.DataFrame, stored: TrainedRows, fields: Sequence[Field]) -> str:
    """The first input whose value no training row has, else the row itself."""
    known = stored.frame.select(field.name for field in fields).collect()
    for field in fields:
        column, value = _as_input(known, field), left[field.name][0]
        here = column.null_count() > 0 if value is None else bool((column == value).any())
        if not here:
            return f"{field.name} is {value!r} there, and in no row that is stored"
    return ", ".join(f"{name} {value!r}" for name, value in list(left.row(0, named=True).items())[:4])
