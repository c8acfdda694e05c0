"""What stands in a run's file, entry by entry: each logging call adds one or a few, and nothing is ever changed."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from slipway.records.runs import (
    Artifact,
    CodeVersion,
    Dataset,
    HiddenInput,
    Run,
    RunError,
    RunFinding,
    StepRun,
    WorkerTime,
)

__all__ = [
    "EDITION",
    "ArtifactKept",
    "Begun",
    "CodeSaid",
    "DatasetUsed",
    "FileBegun",
    "Finished",
    "Found",
    "InputRead",
    "LinkMade",
    "ParamSet",
    "Point",
    "ReadBeside",
    "Resumed",
    "RunEntry",
    "RunFact",
    "StepKept",
    "TagSet",
    "WorkersHeld",
]

EDITION = 1
"""The edition of these entries. A reader refuses a later one; fields at an entry's end may come without a new one."""


class FileBegun(Struct, frozen=True, array_like=True, tag="file"):
    """The first entry of every file.

    Args:
        edition: See `EDITION`.
        project: The run's project.
        run_id: The run.
        writer: Tells the files of one run apart: 32 hex digits.
        is_forked: Whether a process writes it that the run's own forked off: its end is not the run's.
    """

    edition: int
    project: str
    run_id: str
    writer: str
    is_forked: bool = False


class Begun(Struct, frozen=True, array_like=True, tag="begin"):
    """The run begins.

    Args:
        run: Its record as it was at the start.
        experiment: The name of its experiment where its id is not known yet, "" where the record has it.
    """

    run: Run
    experiment: str = ""


class Resumed(Struct, frozen=True, array_like=True, tag="resume"):
    """The run goes on in another process, which `host` names."""

    host: str


class Point(Struct, frozen=True, array_like=True, tag="m"):
    """A point of a metric; see `MetricPoint`."""

    key: str
    value: float
    step: int
    at_us: int


class ParamSet(Struct, frozen=True, array_like=True, tag="param"):
    """A parameter; the value is plain."""

    key: str
    value: Any


class TagSet(Struct, frozen=True, array_like=True, tag="tag"):
    """A tag."""

    key: str
    value: str


class ArtifactKept(Struct, frozen=True, array_like=True, tag="artifact"):
    """An artifact, whose bytes are stored."""

    artifact: Artifact


class InputRead(Struct, frozen=True, array_like=True, tag="input"):
    """The run read a node of the lineage, in a role."""

    node: str
    role: str


class DatasetUsed(Struct, frozen=True, array_like=True, tag="dataset"):
    """The run used data."""

    dataset: Dataset


class CodeSaid(Struct, frozen=True, array_like=True, tag="code"):
    """Which code runs."""

    code: CodeVersion


class Found(Struct, frozen=True, array_like=True, tag="finding"):
    """Something was noticed."""

    finding: RunFinding


class LinkMade(Struct, frozen=True, array_like=True, tag="link"):
    """Another arrow of the lineage; only the owner of the store may add it."""

    source: str
    target: str
    role: str


class StepKept(Struct, frozen=True, array_like=True, tag="step"):
    """A pipeline's step as it stands; only the owner of the store may add it."""

    step: StepRun


class WorkersHeld(Struct, frozen=True, array_like=True, tag="workers"):
    """How long workers were held for the run's steps; only the owner of the store may add it."""

    time: WorkerTime


class ReadBeside(Struct, frozen=True, array_like=True, tag="beside"):
    """What a pipeline read by itself between its steps; only the owner of the store may add it."""

    hidden: tuple[HiddenInput, ...]


RunFact = WorkersHeld | ReadBeside
"""What is said of a run as a whole, once."""


class Finished(Struct, frozen=True, array_like=True, tag="end"):
    """The run ends; see `Run`."""

    state: str
    ended_at: datetime
    error: RunError | None = None
    ended_early: str = ""


RunEntry = (
    FileBegun
    | Begun
    | Resumed
    | Point
    | ParamSet
    | TagSet
    | ArtifactKept
    | InputRead
    | DatasetUsed
    | CodeSaid
    | Found
    | LinkMade
    | StepKept
    | WorkersHeld
    | ReadBeside
    | Finished
)
