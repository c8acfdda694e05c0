"""The pages of data: tables with their versions and what differs between two, the catalogue, and lineage."""

from datetime import datetime
from typing import Any

from markupsafe import Markup

from slipway.charts.sparks import spark_bars
from slipway.operations.table_checks import ColumnSummary, Profile
from slipway.operations.tables import TableSync
from slipway.records.tables import SIMULATED, TableVersion
from slipway.server import comments, traces
from slipway.server import tables as table_rows
from slipway.server.formats import duration
from slipway.server.view import Context, View
from slipway.tables.catalog import quarantine_of

__all__ = ["catalog", "changes", "lineage", "table", "tables"]

_OLD = " old"
"""So end the words of a check that a table is fresh: "observed_at is at most 2 hours old"."""


def tables(view: View) -> Context:
    """All tables, with how old their data is beside what was promised."""
    found = view.ask("tables.list")
    syncs = {one.table: one for one in found.syncs}
    now = view.workspace.clock.now()
    return {
        "tables": found.tables,
        "ages": {one.name: _age(one, syncs.get(one.name), now) for one in found.tables},
    }


def table(view: View) -> Context:
    """One table: its checks, columns and versions."""
    name = view.path["name"]
    versions = view.ask("tables.get", name=name).versions
    newest = versions[0]
    profile = view.ask("tables.profile", name=name, version=newest.version) if newest.profile else None
    refusals = view.ask("tables.refusals", name=name).refusals
    is_refused = bool(refusals) and refusals[0].parent == newest.version
    has_failing = any(check.failing for check in newest.checks)
    checked, by_version = table_rows.check_rows(versions)
    listed = view.ask("tables.list")
    others = {one.name: one for one in listed.tables}
    sync = next((one for one in listed.syncs if one.table == name), None)
    return {
        "age": _age(newest, sync, view.workspace.clock.now()),
        "versions": versions,
        "made_up": (name,) if newest.about.origin == SIMULATED else (),
        "columns": table_rows.columns(newest, profile),
        "has_profile": profile is not None,
        "failing": view.ask("tables.failing", name=name, version=newest.version).checks if has_failing else (),
        "refused": view.ask("tables.failing", name=name, version="refused") if is_refused else None,
        "refusals": refusals,
        "quarantine": others.get(quarantine_of(name)),
        "checked": checked,
        "by_version": by_version,
        "state_of": table_rows.state_of,
        "thread": comments.thread(view, f"table:{name}"),
    }


def catalog(view: View) -> Context:
    """What there is, by words."""
    text = view.query.get("text", "")
    return {"text": text, "hits": view.ask("catalog.search", text=text).hits}


def lineage(view: View) -> Context:
    """The way from source columns to predictions, as a picture and as tables."""
    found = view.ask("catalog.lineage", what=view.query.get("what", ""))
    return {
        "trace": found,
        "picture": traces.picture(found, view.workspace.project),
        "left_out": traces.left_out(found),
    }


def changes(view: View) -> Context:
    """What differs between two versions of a table, in words, and column by column."""
    name = view.path["name"]
    versions = view.ask("tables.get", name=name).versions
    after = view.query.get("after") or str(versions[0].number)
    before = view.query.get("before") or str(max(1, versions[0].number - 1))
    found = view.ask("tables.diff", name=name, before=before, after=after)
    profile: Profile = view.ask("tables.profile", name=name, version=after, against=before)
    return {
        "name": name,
        "versions": versions,
        "diff": found,
        "columns": [_change(one) for one in profile.columns if one.differences or one.change in ("moved", "new")],
        "same": [one.name for one in profile.columns if not one.differences and one.change not in ("moved", "new")],
    }


def _change(column: ColumnSummary) -> dict[str, Any]:
    """One column that differs: its sentences, and its histograms then and now."""
    title = f"Rows of {column.name}"
    return {
        "column": column,
        "before": Markup(spark_bars(column.bars_before, title=f"{title} before")),  # its texts are escaped there
        "after": Markup(spark_bars(column.bars, title=f"{title} now")),
    }


def _age(version: TableVersion, sync: TableSync | None, now: datetime) -> dict[str, Any]:
    """How old a table's newest row is, and what was promised about that."""
    promises = [check for check in version.checks if check.check.endswith(_OLD)]
    is_late = bool(sync and sync.is_late) or any(not check.passed for check in promises)
    said = [f"{check.check}: {'held' if check.passed else 'did not hold'} when it came" for check in promises]
    if sync is not None and sync.schedule:
        said.append(f"synced {sync.schedule}{', and is late' if sync.is_late else ''}")
    return {
        "age": duration(now - version.data_until) if version.data_until and version.data_until < now else "",
        "promise": "; ".join(said),
        "is_late": is_late,
        "sync": sync,
    }
