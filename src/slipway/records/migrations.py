"""Migrations: the models that a team has elsewhere, in which order they move, and what was compared and opened."""

from datetime import date, datetime
from typing import Literal

from msgspec import Struct

from slipway.records.people import Actor
from slipway.records.record import Record
from slipway.records.tolerances import within

__all__ = ["Activation", "Comparison", "Gap", "Migration", "Mismatch", "OldKind", "OldModel", "Phase", "Pilot", "Risk"]

OldKind = Literal["pickle", "onnx", "mlflow", "script", "notebook", "fastapi", "other"]
Risk = Literal["low", "medium", "high"]
Phase = Literal["Development", "Test/Release", "Activation"]


class OldModel(Struct, frozen=True, kw_only=True):
    """A model that a team has elsewhere, as its inventory says.

    Args:
        name: What it is called there, and here where `becomes` says nothing else.
        owner: Who answers for it.
        kind: In which form it is there: what `slipway import` is told.
        place: Where it lies: a file, a folder, an MLflow address.
        url: Where it answers by HTTP, "" for nowhere.
        users: How many people or systems use it.
        requests_a_day: How often it is asked.
        value: What it is worth in a year, as its owner says.
        risk: How bad it would be if it answered wrongly.
        becomes: Its name here.
        note: Whatever else is to be known.
    """

    name: str
    owner: str = ""
    kind: OldKind = "other"
    place: str = ""
    url: str = ""
    users: int = 0
    requests_a_day: float = 0.0
    value: float = 0.0
    risk: Risk = "medium"
    becomes: str = ""
    note: str = ""

    @property
    def model(self) -> str:
        """Its name here."""
        return self.becomes or self.name


class Pilot(Struct, frozen=True, kw_only=True):
    """A model that moves before the others: how it scored, of 100 points, why it, and whether a person chose it."""

    name: str
    score: int
    why: str
    is_chosen: bool = False


class Gap(Struct, frozen=True, kw_only=True):
    """Who brings what is missing, until when; or why it is taken without.

    Args:
        model: The old model's name.
        criterion: Which criterion of a phase.
        owner: Who brings it, "" for the model's owner.
        due: Until when, None for the date that the plan gives.
        closed: Why the criterion counts although no record shows it, "" while it does not.
        actor: Who said so.
        at: When.
    """

    model: str
    criterion: str
    owner: str = ""
    due: date | None = None
    closed: str = ""
    actor: Actor
    at: datetime


class Activation(Struct, frozen=True, kw_only=True):
    """Who is answered by the new endpoint from a moment on.

    Args:
        model: The old model's name.
        to: "chosen" users or a share, "all", or "nobody": the way back to the old system.
        users: Those that were named.
        share: The share of the others.
        why: Why, as the person said.
        actor: Who decided.
        at: Since when.
    """

    model: str
    to: Literal["chosen", "all", "nobody"]
    users: tuple[str, ...] = ()
    share: float = 0.0
    why: str = ""
    actor: Actor
    at: datetime


class Migration(Record, frozen=True, kw_only=True, tag="migration"):
    """The plan by which a project's old models move. Id: the project's name.

    Args:
        number: Counts its changes, from 1.
        models: All old models, by name.
        pilots: Those that move first.
        waves: The names of the others, in the order in which they move.
        gaps: What people said of single criteria, one each.
        steps: What was opened to whom, oldest first.
        actor: Who changed it last.
        updated_at: When.
    """

    number: int
    models: tuple[OldModel, ...]
    pilots: tuple[Pilot, ...]
    waves: tuple[tuple[str, ...], ...] = ()
    gaps: tuple[Gap, ...] = ()
    steps: tuple[Activation, ...] = ()
    actor: Actor
    updated_at: datetime


class Mismatch(Struct, frozen=True, kw_only=True):
    """A row of the requests on which both did not agree: its number from 1, both scores, no value of it."""

    row: int
    ours: float
    theirs: float


class Comparison(Record, frozen=True, kw_only=True, tag="migration_comparison"):
    """What came of sending the same requests to an endpoint here and to the old system. Name: the old model's.

    Args:
        endpoint: The endpoint here.
        version: The version that it answered with.
        bundle: The digest of that version's bundle.
        url: Where the old system was asked.
        protocol: In which form.
        requests: The digest of the rows.
        tolerance: Scores that are no further apart agree.
        rows: How many rows were sent.
        scored: How many both answered.
        agreeing: How many of them agree.
        ours_failed: How many the endpoint here did not answer.
        problems: How many the old system did not score, by why.
        ours_ms: Median and 95th percentile of the time of a row here, milliseconds, None without any.
        theirs_ms: The same there.
        mismatches: The rows that are furthest apart.
        actor: Who compared.
        stopped: Why it ended before all rows were sent, "" where it did not.
    """

    endpoint: str
    version: int
    bundle: str
    url: str
    protocol: str
    requests: str
    tolerance: float
    rows: int
    scored: int
    agreeing: int
    ours_failed: int = 0
    problems: dict[str, int] = {}
    ours_ms: tuple[float, float] | None = None
    theirs_ms: tuple[float, float] | None = None
    mismatches: tuple[Mismatch, ...] = ()
    actor: Actor
    stopped: str = ""

    @property
    def sentence(self) -> str:
        """What came of it, in words."""
        told = f"Of {self.rows:,} requests both answered {self.scored:,}"
        failed = [f"{count:,} {problem} there" for problem, count in sorted(self.problems.items())]
        failed += [f"{self.ours_failed:,} refused here"] if self.ours_failed else []
        told += f" ({', '.join(failed)})" if failed else ""
        if self.scored:
            told += f"; {self.agreeing:,} agree {within(self.tolerance)} ({self.agreeing / self.scored:.2%})"
        if self.ours_ms and self.theirs_ms:
            told += f"; median {self.ours_ms[0]:.1f} ms here, {self.theirs_ms[0]:.1f} ms there"
        return f"{told}. {self.stopped}".strip() if self.stopped else f"{told}."
