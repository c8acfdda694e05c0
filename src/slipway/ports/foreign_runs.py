"""A tracking store of another system, as an import reads it: experiments, runs, logged models, registered versions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from slipway.records.runs import Dataset, MetricPoint, RunState

__all__ = ["ForeignExperiment", "ForeignLogged", "ForeignModel", "ForeignRun", "ForeignRuns", "ForeignVersion"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignExperiment:
    """An experiment there: its id, name and tags."""

    id: str
    name: str
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRun:
    """A run there.

    Args:
        id: 32 hex digits.
        experiment_id: The experiment there.
        name: "" for none.
        state: As it is called here.
        started_at: None where it is not said.
        ended_at: None where it goes on, or that is not said.
        user: Who ran it, "" where it is not said.
        params: Texts by name.
        tags: Texts by name.
        points: All points of all metrics.
        datasets: Data that it read.
        made: The logged models that it made, with their steps.
        files_at: The address of its files.
    """

    id: str
    experiment_id: str
    name: str = ""
    state: RunState = "finished"
    started_at: datetime | None = None
    ended_at: datetime | None = None
    user: str = ""
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    points: tuple[MetricPoint, ...] = ()
    datasets: tuple[Dataset, ...] = ()
    made: tuple[tuple[str, int], ...] = ()
    files_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignLogged:
    """A logged model there. Id: `m-` and 32 hex digits."""

    id: str
    experiment_id: str
    name: str
    run_id: str = ""
    model_type: str = ""
    created_at: datetime | None = None
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    files_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignVersion:
    """A version of a registered model there."""

    number: int
    source: str
    run_id: str = ""
    logged_id: str = ""
    description: str = ""
    stage: str = "None"
    run_link: str = ""
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignModel:
    """A registered model there, its versions in order, and the aliases with the numbers they point at."""

    name: str
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    versions: tuple[ForeignVersion, ...] = ()
    aliases: dict[str, int] = field(default_factory=dict)


class ForeignRuns(Protocol):
    """A tracking store that is read. Deleted experiments, runs and models are not given.

    All methods raise `Unavailable` where it does not answer, and `Corrupt` where what it says cannot be read.
    """

    @property
    def place(self) -> str:
        """Its address, without secrets."""
        ...

    def experiments(self) -> list[ForeignExperiment]:
        """All experiments."""
        ...

    def run_ids(self, experiment: str) -> list[str]:
        """The ids of an experiment's runs, oldest first."""
        ...

    def run(self, experiment: str, id: str) -> ForeignRun:
        """A run with all that it logged but its files."""
        ...

    def logged(self, experiment: str) -> list[ForeignLogged]:
        """The logged models of an experiment."""
        ...

    def models(self) -> list[ForeignModel]:
        """The registered models."""
        ...

    def files(self, owner: ForeignRun | ForeignLogged, into: Path) -> Iterator[tuple[str, Path]]:
        """The files of a run or logged model: the path inside it, and a file that may be read now.

        Args:
            owner: Whose.
            into: An existing folder for files that have to be fetched.
        """
        ...

    def close(self) -> None:
        """Let go of it; calling it twice is fine."""
        ...
