"""`sw.BatchEndpoint`: the declaration of an endpoint that scores the rows of a table, by a schedule or by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from slipway.errors import InvalidDeclaration, InvalidInput
from slipway.flows.endpoint import Endpoint
from slipway.flows.triggers import Trigger
from slipway.ids import check_name
from slipway.monitoring.declare import Freshness
from slipway.records.declarations import DeclaredEndpoint
from slipway.records.endpoints import BatchSpec
from slipway.records.loop import TriggerSpec
from slipway.records.schedules import ScheduleTrigger
from slipway.rollout.declare import Shadow
from slipway.tables.row_batches import BATCH_ROWS, check_batch_rows

__all__ = ["SCORE_COLUMNS", "BatchEndpoint"]

SCORE_COLUMNS = (
    "prediction", "score", "decision", "reason", "arm", "propensity", "version", "revision", "scored_at",
)  # fmt: skip
"""The columns of a table of scores, behind those of the key and the decision time."""


@dataclass(frozen=True, eq=False)
class BatchEndpoint(Endpoint):
    """Where a table's rows are scored: what passes its gate, revisions, roll-back, monitors and log are an endpoint's.

    Its model, features, gate, key, workers (parts that are scored at once), monitors and retraining are declared as for
    `sw.Endpoint`. It starts no process that listens, so `strict`, `streams`,
    `fallback`, `per_caller` and `old_system` are refused, and so are limits of time in a `rollout`.

    Args:
        table: The table, or its name, whose rows are scored: those that have no score yet.
        into: The name of the table that gets the scores; made when it is missing.
        time: The column of each row's decision time: features are what was known then. "" to decide all rows when their
            scoring begins.
        schedule: What starts a scoring by itself: `[sw.cron("0 5 * * *")]`, `[sw.on_table(flights)]`.
        max_refused: The greatest share of the rows that may break the contract or have no score; above it nothing is
            published.
        batch_rows: How many rows are read, scored and kept at once: memory is theirs, and a kill costs no more.

    Raises:
        InvalidInput: A name does not fit.
        InvalidDeclaration: Something given is no declaration of its kind, or belongs to endpoints that answer requests.

    Example:
        >>> nightly = BatchEndpoint(                                       # doctest: +SKIP
        ...     "delays-nightly", pipeline=release, features=features, gate=gate, key="flight_id",
        ...     table=flights, into="scored_flights", time="scheduled_departure", schedule=[sw.cron("0 5 * * *")],
        ... )
    """

    table: object = ""
    into: str = ""
    time: str = ""
    schedule: Sequence[Trigger] = ()
    max_refused: float = 0.01
    batch_rows: int = BATCH_ROWS

    def __post_init__(self) -> None:
        super().__post_init__()
        for what, given in (
            ("streams", self.streams),
            ("strict", self.strict),
            ("fallback", self.fallback),
            ("per_caller", self.per_caller),
            ("old_system", self.old_system),
        ):
            if given:
                raise InvalidDeclaration(
                    f"The batch endpoint {self.name!r} was given {what}={given!r}.",
                    why=f"{what} is for endpoints that answer requests; this one scores a table, and listens nowhere.",
                    fix=f"Leave {what} out.",
                )
        self._check_rollout()
        if any(isinstance(monitor, Freshness) for monitor in self.monitors):
            raise self._unfit("monitors", "sw.Freshness", "It watches look-ups of requests; leave it out.")
        self._check_tables()
        if not isinstance(self.max_refused, int | float) or not 0.0 <= self.max_refused <= 1.0:
            raise self._unfit("max_refused", self.max_refused, "Give a share from 0 to 1: 0.01.")
        try:
            check_batch_rows(self.batch_rows)
        except InvalidInput as problem:
            raise self._unfit("batch_rows", self.batch_rows, problem.fix) from problem
        self._triggers()

    def _check_rollout(self) -> None:
        """Refuse limits of time: nobody waits for a row of a table, so no time of one is measured."""
        for phase in self.rollout:
            what, given = ("most_slower", phase.most_slower) if isinstance(phase, Shadow) else ("slow", phase.slow)
            if given:
                raise InvalidDeclaration(
                    f"The batch endpoint {self.name!r} was given {what}={given!r} in its rollout.",
                    why="Nobody waits for one row of a scoring: no answer's time is measured there.",
                    fix=f"Leave {what} out. How long a scoring took, slipway endpoints show {self.name} tells.",
                )

    def _check_tables(self) -> None:
        table, example = self.table_name, "table=flights, into='scored_flights'"
        if not table:
            raise self._unfit("table", self.table, f"Give a table of @sw.table, or the name of one: {example}.")
        if not isinstance(self.into, str) or not self.into:
            raise self._unfit("into", self.into, f"Name the table that gets the scores: {example}.")
        check_name(self.into, "table")
        if self.into == table:
            raise self._unfit("into", self.into, f"Scores have a table of their own: {example}.")
        if not self.key_fields:
            raise self._unfit("key", self.key, "Name the column that identifies a row: key='flight_id'.")
        if not isinstance(self.time, str):
            raise self._unfit("time", self.time, "Name a column of the table: time='scheduled_departure'.")
        if taken := [name for name in (*self.key_fields, self.time) if name in SCORE_COLUMNS]:
            raise self._unfit(
                "key" if taken[0] in self.key_fields else "time",
                taken[0],
                f"A table of scores has columns {', '.join(SCORE_COLUMNS)} of its own: rename the column.",
            )

    @property
    def table_name(self) -> str:
        """The name of the table whose rows are scored."""
        found = self.table if isinstance(self.table, str) else getattr(self.table, "name", "")
        return found if isinstance(found, str) else ""

    def declared(
        self, project: str, at: datetime, *, environment: str = "dev", simulation: bool = False, snapshot: str = ""
    ) -> DeclaredEndpoint:
        """The declaration as the ledger keeps it."""
        kept = super().declared(project, at, environment=environment, simulation=False, snapshot=snapshot)
        spec = BatchSpec(
            table=self.table_name,
            into=self.into,
            time=self.time,
            when=self._triggers(),
            max_refused=float(self.max_refused),
            batch_rows=self.batch_rows,
        )
        return msgspec.structs.replace(kept, batch=spec)

    def _triggers(self) -> tuple[ScheduleTrigger, ...]:
        fix = 'Give a list: schedule=[sw.cron("0 5 * * *"), sw.on_table("flights")].'
        is_list = isinstance(self.schedule, list | tuple) and all(isinstance(one, Trigger) for one in self.schedule)
        if not is_list:
            raise self._unfit("schedule", self.schedule, fix)
        found = []
        for one in self.schedule:
            spec = one.spec
            if isinstance(spec, TriggerSpec) and spec.kind == "schedule":
                spec = ScheduleTrigger(kind="cron", cron=spec.cron, timezone=spec.timezone)
            if not isinstance(spec, ScheduleTrigger) or spec.kind not in ("cron", "table"):
                raise self._unfit("schedule", spec.kind, f"Scorings begin by clocks and new versions of tables. {fix}")
            found.append(spec)
        if len(set(found)) < len(found):
            raise self._unfit("schedule", self.schedule, "Give each of them once.")
        return tuple(found)
