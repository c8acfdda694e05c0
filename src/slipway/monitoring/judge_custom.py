"""Judge a monitor that is an installed plug-in: one that fails is told of and harms no other."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import get_args

import msgspec
import polars as pl

from slipway.errors import BackendError, SlipwayError
from slipway.monitoring.judge import Found, State
from slipway.ports.monitor import Judged
from slipway.records.endpoints import MonitorSpec
from slipway.records.monitors import Cause
from slipway.records.plugged import Plugged
from slipway.schema.plugged import PATIENCE_S, called_within

__all__ = ["judged_by_plugin"]


def judged_by_plugin(monitor: MonitorSpec, plugin: Plugged, answered: pl.DataFrame, now: datetime) -> Found:
    """What a plug-in finds. One that fails cannot tell, and that is a cause of its own: somebody must mend it.

    Args:
        monitor: The monitor.
        plugin: Its plug-in.
        answered: The present model's predictions, with `label` (null where none has come) and `at`.
        now: Business time.
    """
    rows = answered.filter((pl.col("at") > now - timedelta(microseconds=monitor.window_us)) & (pl.col("at") <= now))
    first, last = rows["at"].min(), rows["at"].max()
    span = (first, last) if isinstance(first, datetime) and isinstance(last, datetime) else (None, None)
    try:
        said = _said(plugin, called_within(PATIENCE_S, "monitor", plugin, rows))
    except SlipwayError as problem:
        failed = Cause(kind="custom", about=monitor.name, sentence=str(problem))
        untold = Found(state="cannot tell", sentence=str(problem), rows=rows.height, values={}, causes=(failed,))
        return msgspec.structs.replace(untold, first=span[0], last=span[1])
    values = dict(said.values) if said.value is None else {**said.values, "value": float(said.value)}
    found = Found(state=said.state, sentence=said.sentence, rows=rows.height, values=values)
    return msgspec.structs.replace(found, first=span[0], last=span[1])


def _said(plugin: Plugged, said: object) -> Judged:
    if not isinstance(said, Judged) or said.state not in get_args(State) or not said.sentence:
        raise BackendError(
            f"The monitor {plugin}, a plug-in, gave {said!r:.200}.",
            why="It gives a Judged with one of the states ok, note, alert and cannot tell, and a sentence.",
            fix="Mend it: its suite is slipway.conformance.monitor.",
        )
    try:
        msgspec.json.encode((said.value, dict(said.values)))
    except (TypeError, ValueError) as problem:
        raise BackendError(
            f"The monitor {plugin}, a plug-in, gave figures that cannot be kept: {problem}.",
            fix="Give plain numbers and text: float(...), not a value of a library.",
        ) from problem
    return said
