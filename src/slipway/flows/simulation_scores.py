"""Who would have answered what: rows of the log scored by other models, and two proofs about what was logged.

A model is asked only for the rows that somebody needs of it; every bundle is unpacked and loaded once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.errors import InvalidDeclaration, NotFound
from slipway.features.offline import compute
from slipway.features.sets import FeatureSet
from slipway.features.training import PinnedTables, history_of
from slipway.models import bundle as bundles
from slipway.models import registry
from slipway.models.bundle import LoadedModel
from slipway.models.model import Model
from slipway.pipelines import engine
from slipway.pipelines.declare import Pipeline
from slipway.ports.workspace import Workspace, current_workspace
from slipway.records.features import FeatureSetSpec, TrainingSet

__all__ = ["Scorer", "VersionScores", "blind_models", "inputs_proof", "loaded_versions", "offline_inputs", "score"]

_CHUNK_ROWS = 32_768
_THREADS = 2
_INSTANT = pl.Datetime("us", "UTC")

Scores = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Scorer(Protocol):
    """A model that scores a frame, before its packaging or after."""

    def predict(self, frame: Any) -> Scores:
        """The scores of the frame's rows."""
        ...


class VersionScores:
    """What each version of a model says of the logged inputs, asked of its bundle once a row and only where needed.

    Every version is asked at once for the rows that it answered itself: that is the proof of what was logged.

    Args:
        answered: The answered rows with `key`, `at`, `version` and `score`.
        inputs: The models' inputs as they were logged, parallel to `answered`.
        loaded: The versions' bundles.

    Attributes:
        sentence: Whether the logged scores are those of the bundles, bit for bit.
    """

    def __init__(self, answered: pl.DataFrame, inputs: pl.DataFrame, loaded: Mapping[int, LoadedModel]) -> None:
        self._inputs = inputs
        self._loaded = loaded
        self._versions = answered["version"].to_numpy()
        self._own = np.full(answered.height, np.nan)
        self._by_version: dict[int, Scores] = {}
        numbers = np.unique(self._versions).tolist()
        for number in numbers:
            score(loaded[number], inputs, self._versions == number, self._own)
        self.sentence = _scores_proof(answered, self._own, len(numbers))

    def of(self, version: int, where: Mask) -> Scores:
        """A version's scores, shape `(n_rows,)`; NaN where nobody has asked for them."""
        known = self._by_version.get(version)
        if known is None:
            known = np.where(self._versions == version, self._own, np.nan)
            self._by_version[version] = known
        score(self._loaded[version], self._inputs, where & np.isnan(known), known)
        return known


@contextmanager
def loaded_versions(workspace: Workspace, model: str, numbers: Collection[int]) -> Iterator[dict[int, LoadedModel]]:
    """The bundles of a model's versions by number, verified and loaded; their files are gone afterwards.

    Raises:
        NotFound: There is no such version.
        Corrupt: A bundle is damaged.
    """
    known = {version.number: version for version in registry.versions(workspace, model)}
    if missing := set(numbers) - set(known):
        raise NotFound(
            f"{model!r} has no version {min(missing)}, which answered rows of the log.",
            fix=f"See `slipway models show {model}`; the log may be of another store.",
        )
    with TemporaryDirectory(prefix="slipway-simulation-") as temporary:
        loaded = {}
        for number in sorted(numbers):
            version, folder = known[number], Path(temporary) / str(number)
            bundle = bundles.unpack(
                workspace, version.manifest, folder, signature=version.signature, expect=version.bundle
            )
            loaded[number] = LoadedModel(folder, bundle)
        yield loaded


def score(scorer: Scorer, rows: pl.DataFrame, where: Mask, out: Scores) -> None:
    """Write a model's scores of some rows into their places.

    Args:
        scorer: The model.
        rows: All rows, with its inputs among their columns.
        where: Which of them.
        out: The scores of all rows, shape `(n_rows,)`; others than those chosen stay as they are.
    """
    places = np.flatnonzero(where)
    chunks = [places[start : start + _CHUNK_ROWS] for start in range(0, places.size, _CHUNK_ROWS)]
    with ThreadPoolExecutor(_THREADS) as pool:
        for chunk, found in zip(chunks, pool.map(lambda chunk: scorer.predict(rows[chunk]), chunks), strict=True):
            out[chunk] = found


def blind_models(
    workspace: Workspace,
    pipeline: Pipeline[..., Any],
    months: Sequence[date],
    *,
    first: Scorer,
    until: str = "until",
) -> dict[str, Scorer]:
    """What a blind monthly retraining would have served in each month, by the month's name ("2013-05").

    The comparison is fair to the blind policy. It runs the same code on the same tables, with the same rows held out, so
    the data that it learns from is that of a retraining scheduled on the first of the month; where there was one, the
    cache has it. It serves from the first minute of its month: no time passes for training, gate, shadow or canary. And
    it is spared the injected faults: no training of it is killed, none learns from a table that a fault has bent. Its
    models are not registered, for nobody will ever serve them.

    Args:
        workspace: Where the runs are recorded.
        pipeline: The endpoint's own.
        months: The first day of each month, ascending.
        first: The first release, which serves in the first month.
        until: The pipeline's parameter that takes the day up to which data counts.

    Raises:
        InvalidDeclaration: The pipeline returns no model.
        InvalidInput: It has no such parameter.
        StepFailed: A step raised.
    """
    found: dict[str, Scorer] = {}
    with current_workspace.filled(workspace):
        for place, month in enumerate(months):
            name = f"{month:%Y-%m}"
            if place == 0:
                found[name] = first
                continue
            value = engine.run(workspace, pipeline, {until: month}, tags={"slipway.policy": "blind"}).value
            if not isinstance(value, Model):
                raise InvalidDeclaration(
                    f"The pipeline {pipeline.name!r} returned a {type(value).__name__}.",
                    why="A retraining is compared by the model that comes of it.",
                    fix="Return what `sw.Model(...)` or `sw.evaluate(...)` gives.",
                )
            found[name] = value
    return found


def offline_inputs(
    workspace: Workspace,
    spec: FeatureSetSpec,
    features: FeatureSet,
    training: TrainingSet,
    *,
    since: datetime,
    until: datetime,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The features of every row of a period, joined offline as they were known at its decision, labelled or not.

    Args:
        workspace: Whose tables.
        spec: The feature set as the models were packed with it.
        features: The same with its functions and views.
        training: Names table, key and decision time.
        since: Rows decided at or after this.
        until: Rows decided before this.

    Returns:
        A frame of `key` (as the prediction log writes it) and `at`, and one of the features, parallel to it.
    """
    tables = PinnedTables(workspace)
    table = training.table.partition("@")[0].rpartition("/")[2]
    inside = pl.col(training.at).is_between(since, until, closed="left")
    rows = tables.read(table).filter(inside).collect()
    found = compute(spec, rows, training.at, history_of(spec, features.views, tables), features.functions)
    named = rows.select(
        pl.concat_str([pl.col(name).cast(pl.String) for name in training.key], separator="|").alias("key"),
        pl.col(training.at).cast(_INSTANT).alias("at"),
    )
    return named, found.frame


def inputs_proof(
    answered: pl.DataFrame,
    inputs: pl.DataFrame,
    named: pl.DataFrame,
    offline: pl.DataFrame,
    *,
    except_between: Sequence[tuple[datetime, datetime]] = (),
) -> str:
    """Whether the inputs that were logged are those of the offline join, bit for bit, as a sentence.

    Args:
        answered: The answered rows with `key` and `at`.
        inputs: The models' inputs as they were logged, parallel to `answered`.
        named: The first frame of `offline_inputs`.
        offline: The second.
        except_between: From when until when an injected fault bent what the endpoint was fed: rows decided then are
            counted apart.
    """
    places = named.with_row_index("place").unique(["key", "at"], keep="first")
    place = answered.select("key", "at").join(places, on=["key", "at"], how="left", maintain_order="left")["place"]
    is_there = place.is_not_null()
    answered, inputs, offline = answered.filter(is_there), inputs.filter(is_there), offline[place.drop_nulls()]
    differs = np.zeros(answered.height, dtype=np.bool_)
    for name in inputs.columns:
        differs |= _differs(inputs[name], offline[name])
    bent = np.zeros(answered.height, dtype=np.bool_)
    for since, until in except_between:
        bent |= answered["at"].is_between(since, until, closed="left").to_numpy()
    wrong = np.flatnonzero(differs & ~bent)
    told = f"{int((~bent).sum()):,} answered rows, {inputs.width} each"
    if bent.all():
        parts = ["No row's logged inputs could be compared with the offline join"]
    elif not wrong.size:
        parts = [f"The logged inputs of all {told}, equal the offline join of the same rows, bit for bit"]
    else:
        first = _first_difference(answered, inputs, offline, int(wrong[0]))
        parts = [f"The logged inputs of {wrong.size:,} of {told}, differ from the offline join; first {first}"]
    if bent.any():
        parts.append(
            f"{int(bent.sum()):,} rows decided while an injected fault bent the feed are counted apart: "
            f"{int((differs & bent).sum()):,} of them differ"
        )
    if lost := int((~is_there).sum()):
        parts.append(f"{lost:,} answered rows are not in the table and could not be compared")
    return "; ".join(parts) + "."


def _scores_proof(answered: pl.DataFrame, offline: Scores, count: int) -> str:
    logged = answered["score"].to_numpy()
    wrong = np.flatnonzero(_bits(offline) != _bits(logged))
    told = f"{answered.height:,} logged scores"
    if not wrong.size:
        which = "of the version that answered" if count == 1 else f"of whichever of {count} versions answered"
        return f"All {told} equal what the bundle {which} says of the logged inputs, bit for bit."
    at = int(wrong[0])
    return (
        f"{wrong.size:,} of {told} differ from what the bundle that answered says of the logged inputs; first "
        f"{answered['key'][at]} at {answered['at'][at].isoformat()}, version {answered['version'][at]}: "
        f"logged {float(logged[at])!r}, offline {float(offline[at])!r}."
    )


def _differs(logged: pl.Series, offline: pl.Series) -> Mask:
    """Where two columns are not the same bits; null is equal to null only, and all NaN are one."""
    if logged.dtype.is_float() or offline.dtype.is_float():
        one, other = logged.cast(pl.Float64), offline.cast(pl.Float64)
        unequal = _bits(one.fill_null(0.0).to_numpy()) != _bits(other.fill_null(0.0).to_numpy())
        return np.asarray(unequal | (one.is_null() != other.is_null()).to_numpy(), dtype=np.bool_)
    kind = pl.String if logged.dtype == pl.String else offline.dtype
    return np.asarray(logged.cast(kind).ne_missing(offline.cast(kind)).to_numpy(), dtype=np.bool_)


def _bits(values: Scores) -> NDArray[np.int64]:
    return np.ascontiguousarray(np.where(np.isnan(values), np.nan, values), dtype=np.float64).view(np.int64)


def _first_difference(answered: pl.DataFrame, inputs: pl.DataFrame, offline: pl.DataFrame, at: int) -> str:
    name = next(name for name in inputs.columns if _differs(inputs[name][at : at + 1], offline[name][at : at + 1])[0])
    where = f"{answered['key'][at]} at {answered['at'][at].isoformat()}"
    return f"{where}: {name} is {inputs[name][at]!r} logged and {offline[name][at]!r} offline"
