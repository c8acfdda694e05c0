"""What is different where a roll-out's rows are scored, not asked for: how its log is read, and what stops it at once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from slipway.ledger import entries
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.rollouts import Rollout
from slipway.records.scorings import Scoring
from slipway.tables.log_reader import LogReader

__all__ = ["ByRevision", "log_of", "not_scored"]

_ALL = 100_000


class ByRevision(LogReader):
    """The log of a batch endpoint: what came since some time is what revisions have scored that were published since.

    A row's decision time says nothing of it there: a table may hold flights of last week, or of tomorrow.

    Args:
        reader: Has read the log.
        published: When each revision was published, by its number.
    """

    def __init__(self, reader: LogReader, published: Mapping[int, datetime]) -> None:
        self._reader, self._published = reader, published

    def answered(self, since: datetime | None = None, until: datetime | None = None) -> pl.DataFrame:
        """As `LogReader.answered`."""
        return self._of(self._reader.answered(None, until), since)

    def shadows(self, since: datetime | None = None, until: datetime | None = None) -> pl.DataFrame:
        """As `LogReader.shadows`."""
        return self._of(self._reader.shadows(None, until), since)

    def failures(self, since: datetime | None = None, until: datetime | None = None) -> pl.DataFrame:
        """As `LogReader.failures`."""
        return self._of(self._reader.failures(None, until), since)

    def _of(self, rows: pl.DataFrame, since: datetime | None) -> pl.DataFrame:
        if since is None:
            return rows
        return rows.filter(pl.col("revision").is_in([number for number, at in self._published.items() if at >= since]))


def log_of(workspace: Workspace, revision: Revision, reader: LogReader) -> LogReader:
    """The log of an endpoint as a roll-out's evidence is counted from it."""
    if revision.batch is None:
        return reader
    with workspace.ledger.read() as tx:
        known = entries.find(tx, Revision, project=workspace.project, name=revision.name, limit=_ALL)
    return ByRevision(reader, {one.number: one.created_at for one in known})


def not_scored(workspace: Workspace, rollout: Rollout) -> str:
    """Why a challenger cannot score at all, "" where it can, or where nobody has tried: no statistics are needed for it.

    It cannot be loaded; or the newest scoring with it failed because what scored a part crashed, and the newest one
    without did not.
    """
    with workspace.ledger.read() as tx:
        known = sorted(entries.every(tx, Scoring, parent=rollout.parent_id), key=lambda one: -one.number)
    theirs = [one for one in known if one.challenger is not None and one.challenger.rollout_id == rollout.id]
    for one in theirs:
        if one.unloaded:
            return f"It could not be loaded in scoring {one.number}: {one.unloaded}"
    alone = next((one for one in known if one.challenger is None and one.ended_at is not None), None)
    ended = next((one for one in theirs if one.ended_at is not None), None)
    if ended is None or not ended.is_crash or (alone is not None and alone.is_crash):
        return ""
    return f"Scoring {ended.number} crashed with it. {ended.sentence}"
