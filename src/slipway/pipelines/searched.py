"""What a search came to."""

from __future__ import annotations

import math
from typing import Any, Literal

from msgspec import Struct

from slipway.records.display import table

__all__ = ["Search", "Trial"]


class Trial(Struct, frozen=True, kw_only=True):
    """One trial of a search.

    Args:
        number: From 0, in the order of asking.
        params: What was tried.
        run_id: Its run, a child of the search's.
        value: The metric, the last one logged of a trial that was pruned; NaN of one that failed.
        state: "pruned" where it was ended because its curve was hopeless.
        error: Why it failed.
        seconds: What it took.
        is_cached: Whether all its steps were found stored.
    """

    number: int
    params: dict[str, Any]
    run_id: str
    value: float = math.nan
    state: Literal["finished", "pruned", "failed"] = "finished"
    error: str = ""
    seconds: float = 0.0
    is_cached: bool = False

    def told(self, metric: str) -> str:
        """The trial in a line."""
        came_to = f"{metric} {self.value:.6g}" if self.state != "failed" else self.error
        how = {"finished": " (stored)" if self.is_cached else "", "pruned": " (pruned)", "failed": " (failed)"}
        with_ = ", ".join(f"{name}={value!r}" for name, value in self.params.items())
        return f"trial {self.number}: {came_to}{how[self.state]} with {with_}"


class Search(Struct, frozen=True, kw_only=True):
    """A search that ended.

    Args:
        run_id: Its run; the trials' runs are its children.
        metric: What was compared.
        direction: Which way is better.
        trials: All trials in the order of asking.
        best: The best that finished; of equal ones the first.
        result: What the best one returned.
    """

    run_id: str
    metric: str
    direction: Literal["maximize", "minimize"]
    trials: tuple[Trial, ...]
    best: Trial
    result: Any

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the best trial."""
        return self.best.params

    def _repr_html_(self) -> str:
        names = list(self.best.params)
        columns = ("trial", self.metric, "state", *names, "seconds", "run")
        rows = [
            (one.number, one.value, one.state, *(one.params.get(name) for name in names), one.seconds, one.run_id[:12])
            for one in sorted(self.trials, key=self._rank)
        ]
        return table(f"{len(self.trials)} trials, the best first", columns, rows)

    def _rank(self, trial: Trial) -> float:
        if trial.state != "finished":
            return math.inf
        return -trial.value if self.direction == "maximize" else trial.value

    def __repr__(self) -> str:
        return f"<search of {len(self.trials)} trials: best {self.best.told(self.metric)}>"
