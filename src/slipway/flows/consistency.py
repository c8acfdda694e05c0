"""Consistency: features that an endpoint served, computed again offline as of their requests, from the tables as they are.

What was served is in the prediction log, so nothing happens on the path of a request. Offline is the certified path, with
the functions of the bundle that answered. A feature view's query is the project's code: where that is not at hand, its
rows are those kept at the release and those pushed since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from blake3 import blake3

from slipway import code
from slipway.errors import InvalidInput
from slipway.features.delivered import Delivered, Moments, compute_as_delivered, pushed_frames, with_pushed
from slipway.features.extracted import functions_in
from slipway.features.offline import compute
from slipway.features.training import PinnedTables, definition_of, history_of
from slipway.features.views import FeatureView
from slipway.flows.answered import answered_rows
from slipway.flows.endpoints import folder_of, report_shown, revision_of
from slipway.flows.feed import from_tables
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.models import bundle as bundles
from slipway.monitoring.consistency import as_taken, differs, feature_consistency
from slipway.operations.endpoints import Consistency
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.consistency import ConsistencyReport, FeatureConsistency
from slipway.records.endpoints import Revision
from slipway.records.features import FeatureSetSpec, View
from slipway.records.models import Bundle
from slipway.records.predictions import PushedRow
from slipway.tables.log_rows import read_rows
from slipway.tables.prediction_log import by_models

__all__ = ["consistency", "latest_report", "measure"]

DAY = timedelta(days=1)
_MOST = 5000
"""Requests that are computed again, unless somebody says how many: the cost is bounded."""
_EXAMINED = 200
_EPOCH_US = -(2**62)


def consistency(
    workspace: Workspace, request: Consistency, *, views: Mapping[str, FeatureView] | None = None
) -> ConsistencyReport:
    """Compare what an endpoint's present model was served with offline, and keep the report; it is shown as it may be.

    Args:
        workspace: Where tables, log and ledger are.
        request: Which endpoint, since when, which share of the keys.
        views: The project's feature views by name, where its code is at hand: their queries run anew.

    Raises:
        NotFound: Nothing was ever deployed there, or a table has no version any more.
        InvalidInput: The share is none, or the model takes its inputs as they are.
        Corrupt: The log or the bundle is damaged.
    """
    folder = folder_of(workspace, request.name)
    revision = revision_of(workspace, request.name)
    home = folder / "bundles" / revision.served.bundle
    bundle = bundles.verify(home, expect=revision.served.bundle, signer=workspace.signer)
    since = request.since or workspace.clock.now() - DAY
    rows = by_models(answered_rows(workspace, revision, bundle, since))
    report = measure(workspace, revision, bundle, home, rows, sample=request.sample, views=views)
    with workspace.ledger.write() as tx:
        entries.put(tx, report, expect=0)
        events.record(
            tx, workspace, "endpoints.consistency", f"revision:{revision.id}", share=report.share, late=report.late
        )
    return report_shown(workspace, report)


def latest_report(tx: ReadTransaction, project: str, endpoint: str) -> ConsistencyReport | None:
    """The newest report of an endpoint."""
    found = entries.find(tx, ConsistencyReport, parent=f"{project}/{endpoint}", limit=1)
    return found[0] if found else None


def measure(
    workspace: Workspace,
    revision: Revision,
    bundle: Bundle,
    home: Path,
    rows: pl.DataFrame,
    *,
    sample: float = 0.0,
    views: Mapping[str, FeatureView] | None = None,
) -> ConsistencyReport:
    """Compare answered rows with offline.

    Args:
        workspace: Where the tables are.
        revision: What serves.
        bundle: Its model.
        home: The folder of its unpacked bundle.
        rows: Answered rows, see `watch.answered_rows`; those of other bundles do not count.
        sample: The share of keys that is computed again; 0 for what keeps within a few thousand requests.
        views: See `consistency`.

    Raises:
        InvalidInput: The share is none, the model takes its inputs as they are, or the log has not what was asked.
        NotFound: A table has no version any more.
    """
    if bundle.features is None:
        raise InvalidInput(
            f"The model {bundle.model!r} takes its inputs as they are.",
            why="There are no features to be computed again.",
            fix="Give the endpoint a feature set: sw.Endpoint(..., features=...).",
        )
    if not 0.0 <= sample <= 1.0:
        raise InvalidInput(f"{sample:g} is no share of the keys.", fix="Give one from 0 to 1: 1/16.", field="sample")
    own = _own(revision, rows)
    sample = sample or min(1.0, 2.0 ** -np.ceil(np.log2(max(1, own.height) / _MOST)))
    taken = own.filter(_sampled(own, sample))
    report = ConsistencyReport(
        id=new_id(),
        project=workspace.project,
        name=revision.name,
        created_at=workspace.clock.now(),
        parent_id=f"{workspace.project}/{revision.name}",
        model=f"{revision.served.model} {revision.served.number}",
        bundle=revision.served.bundle,
        rows=own.height,
        sampled=taken.height,
        sample=sample,
    )
    if not taken.height:
        return report
    bounds = taken.select(first=pl.col("at").min(), last=pl.col("at").max()).row(0)
    try:
        found = _Again(workspace, revision, bundle.features, home, taken, views).compared(bundle)
    except pl.exceptions.PolarsError as problem:
        raise InvalidInput(
            f"The features of {bundle.model!r} cannot be computed again: {str(problem).splitlines()[0]}.",
            why="A table's present version has other columns or types than the one from which it was trained.",
            fix="Release a model that is trained on the tables as they are: slipway run PIPELINE",
        ) from problem
    return msgspec.structs.replace(report, window_from=bounds[0], window_until=bounds[1], **found)


def _sampled(rows: pl.DataFrame, sample: float) -> pl.Series:
    """Which rows have a sampled key: all of a key or none, the same ones whenever somebody asks."""
    keys = rows.select(pl.when(pl.col("key") == "").then("id").otherwise("key").alias("key"))["key"]
    below = int(sample * 2**32)
    chosen = {key: int.from_bytes(blake3(key.encode()).digest(length=4)) < below for key in keys.unique().to_list()}
    return pl.Series([chosen[key] for key in keys.to_list()], dtype=pl.Boolean)


class _Again:
    """Requests of one bundle, computed again."""

    def __init__(
        self,
        workspace: Workspace,
        revision: Revision,
        spec: FeatureSetSpec,
        home: Path,
        rows: pl.DataFrame,
        views: Mapping[str, FeatureView] | None,
    ) -> None:
        self._workspace, self._revision, self._spec, self._rows = workspace, revision, spec, rows
        self._log = folder_of(workspace, revision.name) / "log"
        self._functions = _functions(home, spec)
        self._asked = rows.select(_of(rows, f.name).alias(f.name) for f in spec.request).with_columns(
            rows["at"].alias("__at")
        )
        stored, kept = from_tables(spec)
        tables = PinnedTables(workspace)
        self._pushed: dict[str, pl.DataFrame] | None = None
        is_anew = _are_those_of(views, spec)
        self._held = history_of(spec, views or {}, tables) if is_anew else history_of(stored, kept, tables)
        looks_up = any(isinstance(part, View) for part in spec.parts)
        self._history = self._held if is_anew or not looks_up else with_pushed(spec, self._held, self._pushes())

    def compared(self, bundle: Bundle) -> dict[str, Any]:
        """The report's fields."""
        computed = compute(self._spec, self._asked, "__at", self._history, self._functions).frame
        names = [f.name for f in bundle.signature.inputs if f.name in computed.columns]
        served = {name: _of_served(self._rows, name) for name in names}
        offline = {name: as_taken(computed[name], served[name].dtype) for name in names}
        different = {name: differs(served[name], offline[name]) for name in names}
        places = np.flatnonzero(np.any([different[name] for name in names], axis=0)) if names else np.zeros(0, int)
        examined = places[np.linspace(0, len(places) - 1, min(len(places), _EXAMINED)).astype(int)]
        excuses = _Excuses(self._rows.height, names)
        if len(examined):
            excuses.found(self._as_delivered(examined), served, different, examined)
        where = [f"{key or id} at {at.isoformat()}" for key, id, at in self._rows.select("key", "id", "at").iter_rows()]
        features: list[FeatureConsistency] = []
        for name in names:
            looked_at = int(different[name][examined].sum()) if len(examined) else 0
            features.append(
                feature_consistency(
                    name,
                    served[name],
                    offline[name],
                    different[name],
                    late=excuses.late[name],
                    ahead=excuses.ahead[name],
                    scale=int(different[name].sum()) / looked_at if looked_at else 1.0,
                    where=where,
                )
            )
        lateness = sorted(excuses.lateness_us)
        return {
            "features": tuple(features),
            "late_rows": len(lateness),
            "late_median_us": lateness[len(lateness) // 2] if lateness else 0,
            "late_greatest_us": lateness[-1] if lateness else 0,
            "examined": len(examined),
            "notes": tuple(f"{f.name} is no feature." for f in bundle.signature.inputs if f.name not in names),
        }

    def _as_delivered(self, places: Any) -> Delivered:
        chosen = self._rows[places]
        at_us = chosen["at"].dt.epoch("us").to_list()
        moments = Moments(
            at_us=at_us,
            answered_us=chosen["answered_at"].dt.epoch("us").to_list(),
            filled_us=self._filled(at_us),
        )
        return compute_as_delivered(
            self._spec, self._asked[places], moments, self._held, self._pushes(), self._functions
        )

    def _filled(self, at_us: Sequence[int]) -> list[int]:
        """The last back-fill before each decision: there is one with every revision."""
        with self._workspace.ledger.read() as tx:
            known = entries.find(tx, Revision, project=self._workspace.project, name=self._revision.name, limit=100_000)
        times = np.array(sorted([_EPOCH_US, *(entries.microseconds(one.created_at) for one in known)]))
        return [int(found) for found in times[np.searchsorted(times, np.array(at_us), side="right") - 1]]

    def _pushes(self) -> dict[str, pl.DataFrame]:
        if self._pushed is None:
            found: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
            for row in read_rows(self._log, "events", PushedRow)[0]:
                found.setdefault(row.name, []).append((row.received_us, row.row))
            self._pushed = pushed_frames(self._spec, found)
        return self._pushed


def _own(revision: Revision, rows: pl.DataFrame) -> pl.DataFrame:
    """What the serving bundle answered.

    Raises:
        InvalidInput: What a request carried is not in the log, so that its features cannot be computed again.
    """
    fields = {field.name for field in revision.contract.fields}
    if hidden := sorted(fields & set(revision.log.redacted)):
        raise InvalidInput(
            f"The features that {revision.name!r} served cannot be computed again: {hidden[0]!r} is not in its log.",
            why="It is personal, and the endpoint is declared with log=sw.Log(redact='personal').",
            fix="Leave sw.Consistency() out of its monitors, or its fields in the log.",
        )
    return rows.filter(pl.col("bundle") == revision.served.bundle[:16])


class _Excuses:
    """Where what had been delivered explains a difference, by feature."""

    def __init__(self, rows: int, names: Sequence[str]) -> None:
        self.late = {name: np.zeros(rows, dtype=np.bool_) for name in names}
        self.ahead = {name: np.zeros(rows, dtype=np.bool_) for name in names}
        self.lateness_us: list[int] = []

    def found(
        self, delivered: Delivered, served: Mapping[str, pl.Series], different: Mapping[str, Any], places: Any
    ) -> None:
        """Look which differences are gone when only delivered rows count."""
        late = np.array(delivered.late)
        explains = False
        for name in self.late:
            there = as_taken(delivered.frame[name], served[name].dtype)
            same = different[name][places] & ~differs(served[name][places], there)
            self.late[name][places[same & late]] = True
            self.ahead[name][places[same & ~late]] = True
            explains = explains or bool((same & late).any())
        if explains:
            self.lateness_us = delivered.lateness_us


def _are_those_of(views: Mapping[str, FeatureView] | None, spec: FeatureSetSpec) -> bool:
    """Whether views are the very queries that a model was trained on."""
    parts = [part for part in spec.parts if isinstance(part, View)]
    known = views or {}
    return all(part.name in known and definition_of(known[part.name].function) == part.definition for part in parts)


def _functions(home: Path, spec: FeatureSetSpec) -> Mapping[str, Callable[..., Any]]:
    manifest = bundles.verify(home)
    return functions_in(spec, code.load_extracted(home / "code", manifest.modules)) if manifest.modules else {}


def _of(rows: pl.DataFrame, name: str) -> pl.Expr:
    """A request's field in answered rows: under its own name, or with a prefix where that is the log's own."""
    found = next(known for known in (f"request.{name}", f"feature.{name}", name) if known in rows.columns)
    return pl.col(found)


def _of_served(rows: pl.DataFrame, name: str) -> pl.Series:
    return rows[f"feature.{name}" if f"feature.{name}" in rows.columns else name]
