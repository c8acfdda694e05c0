"""What the tests of a project found, and what moved since its champion."""

from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    _Number: TypeAlias = float
else:
    # JSON has no NaN and no infinities: msgspec writes null for these.
    _Number = float | None

__all__ = ["SUITES", "CiCheck", "CiColumn", "CiFigure", "CiFile", "CiModel", "CiReport", "CiTable", "State"]

SUITES = ("unit", "data", "features", "model", "integration", "contract", "build")
"""The suites, in the order in which they are told."""

State = Literal["passed", "failed", "skipped"]
Verdict = Literal["better", "worse", "not to be told"]


class CiCheck(Struct, frozen=True, kw_only=True):
    """One check.

    Args:
        suite: One of `SUITES`.
        name: What is looked at.
        state: What came of it.
        seconds: How long it took.
        sentence: What was found.
        fix: What to do, "" where nothing needs to be done.
        detail: What else there is to read: a trace, or what a test printed.
    """

    suite: str
    name: str
    state: State
    seconds: float
    sentence: str
    fix: str = ""
    detail: str = ""


class CiFile(Struct, frozen=True, kw_only=True):
    """A file of the project that is another one.

    Args:
        path: Relative to the project's folder.
        added: Lines that came, -1 where it is no text.
        removed: Lines that went, -1 where it is no text.
        is_known: Whether git tracks it.
    """

    path: str
    added: int
    removed: int
    is_known: bool = True


class CiColumn(Struct, frozen=True, kw_only=True):
    """A column whose values moved.

    Args:
        name: The column.
        told: How, in words.
        before: Rows in stretches of equal length of the champion's version; () where they are not shown.
        after: The same of the present one, in stretches of its own.
        range_before: From where to where the stretches reach, in words; "" where that is not shown.
        range_after: The same of the present ones.
    """

    name: str
    told: str
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    range_before: str = ""
    range_after: str = ""


class CiTable(Struct, frozen=True, kw_only=True):
    """A table that the champion learnt from, as it is now.

    Args:
        name: The table.
        before: The number of the version that the champion read, 0 where it is not known here.
        after: The number of the current one, 0 for none.
        rows_before: Rows then.
        rows_after: Rows now.
        columns: Those that moved.
        steady: How many did not, or cannot be told.
    """

    name: str
    before: int
    after: int
    rows_before: int = 0
    rows_after: int = 0
    columns: tuple[CiColumn, ...] = ()
    steady: int = 0


class CiFigure(Struct, frozen=True, kw_only=True):
    """A metric of the new model beside the champion's, on the same rows.

    Args:
        metric: "auc".
        slice: "" overall, else `column=value`.
        n: Rows.
        candidate: The new model's; NaN where it cannot be told.
        champion: The champion's.
        difference: The first minus the second.
        low: Lower bound of the difference: with 95 % overall, and with 95 % for all figures of slices together.
        high: Upper bound of it.
        verdict: Whether the interval says that it is better or worse.
        note: Why it cannot be told.
    """

    metric: str
    slice: str
    n: int
    candidate: _Number
    champion: _Number
    difference: _Number
    low: _Number
    high: _Number
    verdict: Verdict
    note: str = ""


class CiModel(Struct, frozen=True, kw_only=True):
    """A model that was trained, beside its champion.

    Args:
        model: Its name.
        champion: "flight-delays 3", "" where there is none.
        commit: The commit that trained the champion, "" where it is unknown.
        sentence: What the comparison rests on, or why there is none.
        figures: Metrics, those of all rows first.
        tables: The champion's tables, as far as they moved.
        notes: What a reader must know before the figures are believed.
    """

    model: str
    champion: str = ""
    commit: str = ""
    sentence: str = ""
    figures: tuple[CiFigure, ...] = ()
    tables: tuple[CiTable, ...] = ()
    notes: tuple[str, ...] = ()


class CiReport(Struct, frozen=True, kw_only=True):
    """What came of all suites, and what moved.

    Args:
        project: The project.
        at: When, aware UTC.
        commit: The commit of the work tree, "" outside of git.
        branch: Its branch, "" for none.
        is_dirty: Whether files differ from the commit.
        seconds: How long all of it took.
        suites: Those that were asked for.
        sample: What the models were trained on, in words; "" where none was.
        checks: All checks, by suite.
        since: What the code is compared with, "" for nothing.
        files: The files that moved.
        models: One a model that was trained.
        notes: What cannot be told, and why.
    """

    project: str
    at: datetime
    commit: str = ""
    branch: str = ""
    is_dirty: bool = False
    seconds: float = 0.0
    suites: tuple[str, ...] = SUITES
    sample: str = ""
    checks: tuple[CiCheck, ...] = ()
    since: str = ""
    files: tuple[CiFile, ...] = ()
    models: tuple[CiModel, ...] = ()
    notes: tuple[str, ...] = ()

    def count(self, state: State, suite: str = "") -> int:
        """How many checks of a suite, or of all, are in a state."""
        return sum(one.state == state and suite in ("", one.suite) for one in self.checks)

    @property
    def told(self) -> tuple[str, ...]:
        """The suites that were asked for or have a check, in order."""
        there = {*self.suites, *(one.suite for one in self.checks)}
        return tuple(name for name in SUITES if name in there)

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.count("failed")
