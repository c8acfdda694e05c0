"""`sw.endpoint_of`: from a function that trains to a watched endpoint that trains itself again, in one declaration."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from slipway.data.declare import Table
from slipway.errors import InvalidDeclaration, InvalidInput, NotFound, near
from slipway.flows.endpoint import Endpoint
from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.logged_rows import layout_of
from slipway.flows.retrain import Retrain
from slipway.flows.triggers import degraded, new_labels
from slipway.gates.declare import Gate
from slipway.gates.declare import metric as gate_metric
from slipway.hashing import fingerprint
from slipway.ids import check_name
from slipway.ledger.step_scope import run_step
from slipway.models.evaluation import evaluate
from slipway.models.model import Model
from slipway.monitoring.declare import Drift, Quality
from slipway.monitoring.service import Service
from slipway.pipelines.declare import Pipeline
from slipway.plugins import load
from slipway.ports.workspace import workspace
from slipway.rollout.declare import Canary
from slipway.schema.types import frame_of
from slipway.tables.log_reader import LogReader
from slipway.tables.prediction_log import by_models

__all__ = ["endpoint_of"]

_CLASSIFIED = ("auc", "accuracy", "brier", "log_loss")
_REGRESSED = ("mae", "rmse")
_MARGIN = 0.05
_JUDGES = 5
"""Of so many rows one judges."""
_LEAST = 20
"""So few rows neither teach nor judge."""


def endpoint_of(
    name: str,
    train: Callable[..., Any],
    rows: Callable[[], Any],
    *,
    label: str,
    metric: str,
    key: str | Sequence[str] = (),
    time: str = "",
    labels: int = 200,
    **more: Any,
) -> Endpoint:
    """Declare an endpoint by a function that trains: table, pipeline, gate, monitors, retraining and canary come with it.

    What `rows` gives becomes a versioned table. Four of five of its rows teach, the others judge: which ones says a hash
    of the row, so that no later version has learnt from what judges it. Each retraining asks `rows` anew, and learns from
    the requests too that were answered since and whose label came. Whatever is given in `more` replaces the default.

    Args:
        name: The endpoint's name, and its model's.
        train: Takes rows with the label, a pandas frame (Polars where its parameter is annotated so), and returns an
            estimator that was fitted on columns of them.
        rows: Gives the labelled rows that there are now: a pandas or Polars frame.
        label: The column of the truth.
        metric: What is watched: "auc", "log_loss", "brier", "accuracy" of a classifier, "mae", "rmse" of a regression.
        key: The column or columns that name a row: labels may then come by them, and a request that `rows` has by now
            counts once, as it stands there.
        time: The column by which rows are ordered, for a forecast: the last fifth judges what those before it taught.
        labels: After so many new labels it is trained again; also where an incident says that it got worse, at most
            every 14 days.
        **more: What `sw.Endpoint` takes besides: gate, monitors, rollout, workers, log, ...

    Raises:
        InvalidDeclaration: A name that cannot be, no function, or a metric that there is not.

    Example:
        tumours = sw.endpoint_of("tumours", train, rows, label="malignant", metric="auc")
    """
    check_name(name, "endpoint")
    for what, given, takes in (("train", train, 1), ("rows", rows, 0)):
        _check_function(name, what, given, takes)
    if metric not in (*_CLASSIFIED, *_REGRESSED):
        raise InvalidDeclaration(
            f"sw.endpoint_of({name!r}) was given the metric {metric!r}.",
            fix=near(str(metric), (*_CLASSIFIED, *_REGRESSED), what="metrics"),
        )
    keys = (key,) if isinstance(key, str) else tuple(key)
    taught = _Taught(name=name, train=train, rows=rows, label=label, keys=keys, time=time, metric=metric)
    python = name.replace("-", "_").replace(".", "_")
    table = Table(_named(taught.fetched, f"{python}_rows", rows), key=keys, description=f"What teaches {name}.")
    pipeline = Pipeline(_named(lambda: taught.released(table), python, train))
    judged = gate_metric(metric if metric in _CLASSIFIED else "r2")
    defaults: dict[str, Any] = {
        "gate": Gate(judged.not_worse_than("champion", margin=_MARGIN)),
        "monitors": [Drift(), Quality(metric), Service()],
        "rollout": [Canary()],
        "retrain": Retrain(pipeline, when=[new_labels(labels), degraded], tables=[table]),
    }
    return Endpoint(name, pipeline=pipeline, key=keys, **(defaults | more))


@dataclass(frozen=True, kw_only=True)
class _Taught:
    name: str
    train: Callable[..., Any]
    rows: Callable[[], Any]
    label: str
    keys: tuple[str, ...]
    time: str
    metric: str

    def fetched(self) -> pl.DataFrame:
        """The labelled rows that there are now, with what was answered and labelled since."""
        frame = frame_of(self.rows(), f"What {self.rows.__name__}() returned")
        for what, column in (("label", self.label), ("time", self.time), *(("key", one) for one in self.keys)):
            if column and column not in frame.columns:
                raise InvalidInput(
                    f"The rows of {self.name!r} have no column {column!r}, which is named as their {what}.",
                    fix=near(column, frame.columns, what="columns"),
                    field=what,
                )
        if not (frame[self.label].dtype.is_numeric() or frame[self.label].dtype in (pl.Boolean, pl.Null)):
            raise InvalidInput(
                f"The label {self.label!r} of {self.name!r} holds {frame[self.label].dtype}.",
                why="A label is a number, or true or false.",
                fix=f"Let {self.rows.__name__}() say it so: rows[{self.label!r}] = rows[{self.label!r}] == 'yes'.",
                field="label",
            )
        return pl.concat([frame, self._answered(frame)], how="vertical")

    def _answered(self, frame: pl.DataFrame) -> pl.DataFrame:
        """What the endpoint answered and whose label came, with the columns of the rows; what a request lacks is null."""
        space = workspace()
        try:
            log = revision_of(space, self.name).log
        except NotFound:
            return frame.clear()
        if log.redacted:  # hashes and nulls stand in the place of values: nothing can be learnt from them
            space.say(f"Of {self.name} only rows() teaches: its log keeps {', '.join(log.redacted)} out.")
            return frame.clear()
        reader = LogReader(folder_of(space, self.name) / "log")
        reader.refresh(layout_of(space, self.name))
        found = by_models(reader.answered()).filter(pl.col("label").is_not_null())
        values = {column: found[given] for column in frame.columns if (given := _source(column, found)) is not None}
        values[self.label] = found["label"]
        if self.time:
            values.setdefault(self.time, found["at"])
        known = pl.DataFrame(values)
        if not known.height:
            return frame.clear()
        known = pl.DataFrame([_as(known, column, dtype) for column, dtype in frame.schema.items()])
        if self.keys:
            known = known.drop_nulls(self.keys)  # a key that is none of theirs names no row
            known = known.join(frame.select(self.keys).unique(), on=self.keys, how="anti", maintain_order="left")
            known = known.unique(self.keys, keep="last", maintain_order=True)
        return known

    def released(self, table: Table) -> Model:
        """The pipeline: the table as it is, split, taught, judged."""
        frame = table.read().collect()
        fit, test = self._split(frame.filter(pl.col(self.label).is_not_null()))
        given = {"rows": fit, "label": self.label, "key": self.keys}
        model = run_step("train", lambda: self._model(fit), inputs=given, code=(self.train,))
        return evaluate(model, test, label=self.label)

    def _split(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        if frame.height < _LEAST:
            raise InvalidInput(
                f"{self.rows.__name__}() gives {frame.height} labelled rows for {self.name!r}.",
                why=f"At least {_LEAST} are needed to teach a model and to judge it.",
                fix="Give more rows.",
                field="rows",
            )
        if self.time:
            frame = frame.sort(self.time, maintain_order=True)
            cut = frame.height - frame.height // _JUDGES
            return frame.head(cut), frame.tail(frame.height - cut)
        by = self.keys or tuple(column for column in frame.columns if column != self.label)
        judges = pl.Series([int(fingerprint(row)[:8], 16) % _JUDGES == 0 for row in frame.select(by).iter_rows()])
        return frame.filter(~judges), frame.filter(judges)

    def _model(self, fit: pl.DataFrame) -> Model:
        given: Any = fit if _wants_polars(self.train) else load("sample", "from_polars")(fit)
        estimator = self.train(given)
        if estimator is None:
            raise InvalidDeclaration(
                f"{self.train.__name__}(rows) of {self.name!r} returned nothing.", fix="Return the fitted estimator."
            )
        model = estimator if isinstance(estimator, Model) else self._packed(estimator, fit, given)
        fitting = _CLASSIFIED if model.task == "classification" else _REGRESSED
        if self.metric not in fitting:
            raise InvalidDeclaration(
                f"{self.name!r} is watched by its {self.metric}, and {self.train.__name__}(rows) returned a {model.task}.",
                why=f"A {model.task} has: {', '.join(fitting)}.",
                fix=f"Declare metric={fitting[0]!r}, or return a model of the other kind.",
            )
        return model

    def _packed(self, estimator: Any, fit: pl.DataFrame, given: Any) -> Model:
        names = getattr(estimator, "feature_names_in_", None)
        if names is not None and self.label in names:
            raise InvalidDeclaration(
                f"The estimator of {self.name!r} was fitted on its own label {self.label!r}.",
                why="A request does not know it.",
                fix=f"Fit it on rows.drop(columns={self.label!r}).",
            )
        left_out = [self.label] if names is not None else [self.label, *self.keys, *([self.time] if self.time else [])]
        return Model(estimator, sample=given[[column for column in fit.columns if column not in left_out]])


def _check_function(name: str, what: str, given: object, takes: int) -> None:
    if not inspect.isfunction(given):
        raise InvalidDeclaration(
            f"sw.endpoint_of({name!r}) was given {given!r} as {what}.",
            why="It is asked again at each retraining, so a fitted estimator or a frame is not enough.",
            fix="Give the function itself, without calling it: "
            + ("def train(rows): return estimator.fit(...)" if takes else "def rows(): return pd.read_csv(...)"),
        )
    needed = [p for p in inspect.signature(given).parameters.values() if p.default is p.empty]
    if len(needed) != takes:
        raise InvalidDeclaration(
            f"{given.__name__}{inspect.signature(given)} cannot be the {what} of {name!r}.",
            why="It is called with the rows." if takes else "It is called without arguments.",
            fix="Give the others a default value.",
        )


def _named(function: Callable[..., Any], name: str, of: Callable[..., Any]) -> Callable[..., Any]:
    """A plain function of that name, which counts as the project's."""

    def made() -> Any:
        return function()

    made.__name__ = made.__qualname__ = name
    made.__module__, made.__doc__ = of.__module__, of.__doc__
    return made


def _wants_polars(train: Callable[..., Any]) -> bool:
    annotation = next(iter(inspect.signature(train).parameters.values())).annotation
    return annotation is pl.DataFrame or annotation in ("pl.DataFrame", "polars.DataFrame")


def _source(column: str, found: pl.DataFrame) -> str | None:
    """The column of the log that holds a request's field."""
    asked = f"request.{column}"
    return asked if asked in found.columns else column if column in found.columns else None


def _as(known: pl.DataFrame, column: str, dtype: pl.DataType) -> pl.Series:
    """A column of what was answered in the type that the rows have; null where a value is none of that type."""
    if column not in known.columns:
        return pl.Series(column, [None], dtype).new_from_index(0, known.height)
    values = known[column]
    if values.dtype == pl.String and dtype.is_temporal():  # a request carries a time as text
        values = pl.Series(column, [_instant(one) for one in values], pl.Datetime("us", "UTC"))
        if isinstance(dtype, pl.Datetime):
            zone = dtype.time_zone
            values = values.dt.convert_time_zone(zone) if zone else values.dt.replace_time_zone(None)
    return values.cast(dtype, strict=False).alias(column)


def _instant(text: str | None) -> datetime | None:
    """A time out of its text; one without a zone is of UTC."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
