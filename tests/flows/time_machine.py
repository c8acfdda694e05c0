"""What the time machine's tests share: an endpoint and a control plane that write down what they are told."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from slipway.errors import Unavailable
from slipway.features.materialise import Arrival
from slipway.flows.replay_sources import Source
from slipway.operations.rollouts import Reconciled, Started
from slipway.records.loop import Action, Retraining

START = datetime(2013, 4, 1, tzinfo=UTC)


def hour(number: float) -> datetime:
    return START + timedelta(hours=number)


class Notebook:
    """An endpoint that writes down what it is told, and answers with the number of the request."""

    def __init__(self, told: list[tuple[str, Any]], failing: Sequence[int] = ()) -> None:
        self.told = told
        self.requests = 0
        self._failing = failing

    def predict(self, rows: Sequence[Mapping[str, Any]], at: datetime | None = None) -> dict[str, Any]:
        self.requests += 1
        if self.requests in self._failing:
            raise Unavailable("Nobody answers.", fix="Ask again.")
        self.told.append(("ask", (at, [row["id"] for row in rows])))
        return {"predictions": [{"score": float(self.requests)} for _ in rows]}

    def events(self, source: str, rows: Sequence[Mapping[str, Any]]) -> int:
        self.told.append((source, [row["n"] for row in rows]))
        return len(rows)

    def view_rows(self, view: str, rows: Sequence[Mapping[str, Any]]) -> int:
        self.told.append((f"view {view}", [row["n"] for row in rows]))
        return len(rows)

    def labels(self, labels: Sequence[Mapping[str, Any]]) -> int:
        self.told.append(("labels", [label["value"] for label in labels]))
        return len(labels)

    def settle(self) -> None:
        self.told.append(("settle", None))


class Control:
    """A control plane that writes down what it is asked, and does what a script says at its nth look."""

    def __init__(self, told: list[tuple[str, Any]], script: Mapping[int, Reconciled] | None = None) -> None:
        self.told = told
        self.is_up = True
        self.looks = 0
        self._script = script or {}

    def reconcile(self, settle: bool) -> Reconciled:
        assert self.is_up
        self.looks += 1
        self.told.append(("reconcile", settle))
        return self._script.get(self.looks, quiet())

    def start_retraining(self, endpoint: str, reason: str) -> Started:
        self.told.append(("retrain", (endpoint, reason)))
        made = Retraining(
            id="retraining-1", project="p", created_at=START, parent_id=f"p/{endpoint}", trigger=reason, snapshot="", until=START
        )  # fmt: skip
        return Started(retraining=made)

    def kill(self) -> None:
        self.is_up = False
        self.told.append(("kill", None))

    def start(self) -> None:
        self.is_up = True
        self.told.append(("start", None))


class Clock:
    def __init__(self, told: list[tuple[str, Any]]) -> None:
        self.told = told

    def advance_to(self, instant: datetime) -> None:
        self.told.append(("clock", instant))


class Heard:
    """Hears what a simulation does."""

    def __init__(self) -> None:
        self.rows = 0
        self.actions: list[tuple[datetime, str]] = []
        self.lines: list[tuple[datetime, str]] = []

    def asked(self, at: datetime, rows: int) -> None:
        self.rows += rows

    def acted(self, at: datetime, action: Action) -> None:
        self.actions.append((at, action.name))

    def said(self, at: datetime, line: str) -> None:
        self.lines.append((at, line))


def quiet(*actions: Action, retraining: int = 0, rolling_out: int = 0) -> Reconciled:
    return Reconciled(actions=actions, retraining=retraining, rolling_out=rolling_out)


def action(name: str, at: datetime, number: int = 1, **more: Any) -> Action:
    return Action(
        id=f"action-{number}", project="p", created_at=at, name=name, parent_id="p/e", number=number, sentence=f"It {name}s.", **more
    )  # type: ignore[arg-type]  # fmt: skip


def source_of(
    questions: Sequence[tuple[str, datetime]],
    arrivals: Sequence[Arrival] = (),
    labels: Sequence[tuple[datetime, dict[str, Any]]] = (),
) -> Source:
    asked = pl.DataFrame(list(questions), schema={"id": pl.String, "at": pl.Datetime("us", "UTC")}, orient="row")
    return Source(
        questions=asked, key="id", at="at", arrivals=list(arrivals), views=frozenset({"weather"}), labels=list(labels)
    )
