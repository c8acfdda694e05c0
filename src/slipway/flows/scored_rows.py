"""Which rows a scoring scores, and how their scores become a version of the table of scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
import polars as pl

from slipway.errors import Conflict, InvalidInput
from slipway.flows import score
from slipway.ledger import entries, lineage
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.scorings import Scoring
from slipway.records.tables import TableVersion
from slipway.tables import alters, catalog, commits, upserts, versions
from slipway.tables.catalog import find_head, node, record_id
from slipway.tables.row_batches import Batches, batches_of

__all__ = ["SCORED", "adds_at_end", "chosen_rows", "point_back", "publish", "source_of"]

SCORED = "scored"
"""The role in which a table went into the scores of its rows."""

_SEEDS = (1, 2)
"""Of two hashes of a row: one of 64 bits could take a new row for an old one where there are very many."""


def source_of(workspace: Workspace, scoring: Scoring) -> TableVersion:
    """The version whose rows are scored.

    Raises:
        Conflict: Rows were erased from it since the scoring began.
    """
    found = catalog.get(workspace, scoring.table, scoring.source_version)
    _check_not_erased(scoring, found)
    return found


def _check_not_erased(scoring: Scoring, source: TableVersion) -> None:
    if len(source.erased) != scoring.erased:
        raise Conflict(
            f"Rows were erased from {scoring.table!r} while version {scoring.source_number} of it was scored.",
            why="What was scored already may be of somebody who is no longer in the table.",
            fix=f"Score it again: slipway score {scoring.name}",
        )


def adds_at_end(workspace: Workspace, scoring: Scoring) -> bool:
    """Whether the version was made of the one that is scored by nothing but rows at its end."""
    before = catalog.manifest_of(workspace, catalog.get(workspace, scoring.table, scoring.former_source)).parts
    after = catalog.manifest_of(workspace, source_of(workspace, scoring)).parts
    names = [[part.digest for part in parts] for parts in (before, after)]
    return names[0] == names[1][: len(names[0])]


def chosen_rows(workspace: Workspace, scoring: Scoring, columns: Sequence[str], batch_rows: int) -> Batches:
    """The rows that a scoring scores, in the table's order.

    Where rows only came at the end of what is scored, those are told by their positions, and nothing is read. Otherwise
    both versions are read once: new is what differs from every scored row in the key or in what the model is given.

    Args:
        workspace: Whose tables.
        scoring: The scoring.
        columns: The columns that decide a score.
        batch_rows: How many rows a batch has.
    """
    source = source_of(workspace, scoring)
    rows = batches_of(workspace, source, batch_rows=batch_rows)
    if not scoring.former_source or not rows.rows:
        return rows
    former = batches_of(workspace, catalog.get(workspace, scoring.table, scoring.former_source), batch_rows=batch_rows)
    if adds_at_end(workspace, scoring):
        places = np.arange(rows.rows) >= former.rows
    elif not set(columns) <= set(former.columns):
        return rows
    else:
        known = _hashes(former, columns).unique()
        hashes = _hashes(rows, columns)
        places = (
            hashes.join(known.with_columns(known=True), on=hashes.columns, how="left", maintain_order="left")["known"]
            .is_null()
            .to_numpy()
        )
    return rows if places.all() else rows.at(places)


def _hashes(rows: Batches, columns: Sequence[str]) -> pl.DataFrame:
    """Two hashes of each row: 16 bytes a row are in memory, and the rows of one batch."""
    found = [
        pl.DataFrame({f"h{seed}": frame.select(columns).hash_rows(seed) for seed in _SEEDS})
        for frame in rows.select(list(columns))
    ]
    return pl.concat(found) if found else pl.DataFrame(schema={f"h{seed}": pl.UInt64 for seed in _SEEDS})


def publish(workspace: Workspace, scoring: Scoring, revision: Revision, frames: Iterable[pl.DataFrame]) -> Scoring:
    """Make scores a version of the table of scores; the version, its lineage and the end of the scoring are one write.

    Args:
        workspace: Whose tables.
        scoring: The scoring, with its figures.
        revision: What scored.
        frames: The scores, part by part in order; read once.

    Raises:
        Conflict: Rows were erased from the table, somebody else wrote the table of scores, or another process has ended
            the scoring.
    """
    with workspace.ledger.read() as tx:
        head = find_head(tx, workspace.project, scoring.into)
        score.check_stands(tx, scoring)
    if head is not None and scoring.former:
        head = _with_arms(workspace, scoring, head)
    models = [scoring.served, *([scoring.challenger.served] if scoring.by_challenger and scoring.challenger else [])]
    origin = commits.Origin(
        source=f"scoring {scoring.number} of {scoring.name}",
        inputs=(
            node(workspace.project, scoring.table, scoring.source_version),
            *(f"bundle:{one.bundle}" for one in models),
        ),
        onto=head.version if head else "",
    )
    finished: list[Scoring] = []

    def also(tx: WriteTransaction, version: str) -> None:
        source = entries.get(tx, TableVersion, record_id(workspace.project, scoring.table, scoring.source_version))
        _check_not_erased(scoring, source)
        score.check_stands(tx, scoring)
        made = entries.get(tx, TableVersion, record_id(workspace.project, scoring.into, version))
        lineage.link(tx, f"table:{source.id}", node(workspace.project, scoring.into, version), SCORED)
        finished.append(score.ended(tx, workspace, _finished(scoring, made)))

    if not scoring.former:
        versions.overwrite(
            workspace,
            scoring.into,
            frames,
            key=revision.contract.key,
            time=revision.batch.time if revision.batch else "",
            origin=origin,
            also=also,
        )
    elif adds_at_end(workspace, scoring):
        versions.append(workspace, scoring.into, frames, origin=origin, also=also)
    else:
        upserts.upsert(workspace, scoring.into, frames, origin=origin, also=also)
    if not finished:  # the very same scores stand there already
        assert head is not None  # there is a version with them
        with workspace.ledger.write() as tx:
            finished.append(score.ended(tx, workspace, _finished(scoring, head)))
    return finished[0]


def _with_arms(workspace: Workspace, scoring: Scoring, head: TableVersion) -> TableVersion:
    """The table of scores with the columns that it lacks where an earlier release made it."""
    known = {field.name for field in head.fields}
    missing = {name: kind for name, kind in (("arm", "string"), ("propensity", "float64")) if name not in known}
    return alters.alter(workspace, scoring.into, add=missing) if missing else head


def _finished(scoring: Scoring, made: TableVersion) -> Scoring:
    scored = scoring.rows - scoring.refused
    refused = f"; {scoring.refused:,} got no score" if scoring.refused else ""
    beside = scoring.challenger
    if beside is not None and scoring.by_challenger:
        refused += f"; {beside.served.model} {beside.served.number} answered {scoring.by_challenger:,} of them"
    return msgspec.structs.replace(
        scoring,
        state="finished",
        result_version=made.version,
        result_number=made.number,
        sentence=f"{scored:,} rows of version {scoring.source_number} of {scoring.table!r} were scored into version "
        f"{made.number} of {scoring.into!r}{refused}.",
    )


def point_back(workspace: Workspace, revision: Revision, *, reason: str) -> TableVersion:
    """Let the table of scores be what the last scoring of an earlier revision made.

    Args:
        workspace: Whose tables.
        revision: The newest revision, which has gone back to one that served before.
        reason: Why, for the audit log.

    Raises:
        Conflict: No scoring of that model at this endpoint is left to go back to, or somebody else writes the table.
        InvalidInput: The version was cleaned away.
    """
    spec = score.spec_of(revision)
    with workspace.ledger.read() as tx:
        head = find_head(tx, workspace.project, spec.into)
        parent = f"{workspace.project}/{revision.name}"
        wanted = next(
            (
                one
                for one in entries.every(tx, Scoring, parent=parent, state="finished")
                if one.into == spec.into and one.served == revision.served and not one.by_challenger
            ),
            None,
        )
        if wanted is None or head is None:
            raise Conflict(
                f"No scores of {revision.served.model} {revision.served.number} are known in {spec.into!r}.",
                fix=f"Score with it: slipway score {revision.name} --all",
            )
        target = entries.get(tx, TableVersion, record_id(workspace.project, spec.into, wanted.result_version))
    if target.cleaned_at is not None:
        raise InvalidInput(
            f"Version {target.number} of {spec.into!r} was cleaned away.",
            fix=f"Score again with the revision that serves now: slipway score {revision.name} --all",
        )
    if target.version != head.version:
        with workspace.ledger.write() as tx:
            commits.moved_head(tx, workspace, target, former=head, change=f"rollback: {reason}")
    return target
