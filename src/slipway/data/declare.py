"""Tables as a project declares them: `@sw.table(...)`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any, Literal, overload

from slipway import data as room
from slipway.data.checks import Check
from slipway.data.feeds import Scheduled, feed_of
from slipway.data.table_checks import TableCheck
from slipway.errors import InvalidDeclaration, InvalidInput
from slipway.ids import check_name
from slipway.ports.workspace import workspace
from slipway.records.sources import SourceSpec
from slipway.records.tables import SIMULATED, AboutTable

if TYPE_CHECKING:
    import polars as pl

    from slipway.records.table_changes import TableDiff
    from slipway.records.tables import TableVersion
    from slipway.tables.resolve import Version
    from slipway.tables.staging import Rows

__all__ = ["Table", "table"]


class Table:
    """A declared table: a versioned dataset with its checks. Calling it calls the function.

    Args:
        function: Takes nothing, the rows of its source, or since which watermark rows are wanted; returns a Polars
            LazyFrame or DataFrame, or a pandas DataFrame.
        key: The columns that identify a row.
        time: The column of event time: aware datetimes. "" for none.
        checks: What must hold of the rows.
        owner: Who answers for it: a person or a team.
        description: What it holds, in a sentence; the function's docstring where it is "".
        tags: Words to find it by.
        personal: The columns that tell something of a person.
        readers: The roles and people that may read it besides admins, () for all who may read tables.
        source: Where its rows come from, None where the function fetches them.
        watermark: The column of the source that only grows.
        schedule: When it is synced.
        origin: "simulated" where a program makes its rows up, "" where they are real.

    Raises:
        InvalidDeclaration: The function takes what nobody gives it, its name is no table's name, or a check is none.

    Attributes:
        name: The function's name, and the table's.
        function: The function.
        key: The columns that identify a row.
        time: The column of event time, or "".
        checks: What must hold of the rows, as declared.
        about: Owner, description, tags, personal columns, readers and origin.
        feed: Its source, watermark and schedule.
    """

    __wrapped__: Callable[..., Any]

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        key: tuple[str, ...] = (),
        time: str = "",
        checks: tuple[Check | TableCheck, ...] = (),
        owner: str = "",
        description: str = "",
        tags: tuple[str, ...] = (),
        personal: tuple[str, ...] = (),
        readers: tuple[str, ...] = (),
        source: SourceSpec | None = None,
        watermark: str = "",
        schedule: str | Scheduled | None = None,
        origin: Literal["", "simulated"] = "",
    ) -> None:
        try:
            self.name = check_name(function.__name__, "table")
        except InvalidInput as problem:
            raise InvalidDeclaration(problem.what, why=problem.why, fix="Rename the function.") from problem
        self.feed = feed_of(self.name, function, source=source, watermark=watermark, schedule=schedule)
        for check in checks:
            if not isinstance(check, Check | TableCheck):
                raise InvalidDeclaration(
                    f"{check!r} is no check of the table {self.name!r}.",
                    fix="Use sw.unique, sw.not_null, sw.between, sw.one_of, sw.matches, sw.references, sw.check, "
                    "sw.rows, sw.fresh or sw.stable.",
                )
        if origin not in ("", SIMULATED):
            raise InvalidDeclaration(
                f"The table {self.name!r} was given the origin {origin!r}.",
                why="Rows are real, which needs no word, or simulated.",
                fix='Say @sw.table(origin="simulated"), or leave it out.',
            )
        self.function = function
        self.key = key
        self.time = time
        self.checks = checks
        self.about = AboutTable(
            owner=owner,
            description=description or (function.__doc__ or "").strip().partition("\n")[0],
            tags=tags,
            personal=personal,
            readers=readers,
            origin=origin,
        )
        update_wrapper(self, function)

    def __call__(self, *given: Any) -> Any:
        """What the function returns; nothing is stored."""
        return self.function(*given)

    def __repr__(self) -> str:
        return f"<table {self.name}>"

    def read(self, version: Version | None = None) -> pl.LazyFrame:
        """The rows of a version in the current project, lazily.

        Args:
            version: Its number, its hash or a beginning of it, a tag, a branch, an aware instant or a date (what was
                current then); None for the current one.

        Raises:
            UserError: No project is open.
            NotFound: There is no such version, none at all, or its rows were cleaned away.
            Corrupt: A stored part is missing or altered.
        """
        return room.versions.read(workspace(), self.name, version)

    def overwrite(self, rows: Rows, *, branch: str = "") -> TableVersion:
        """Check rows and make them the table's content. The same content again makes no version.

        Args:
            rows: A Polars or pandas frame, a LazyFrame, or an iterable of frames.
            branch: The branch that is written, "" for the table itself.

        Raises:
            UserError: No project is open.
            InvalidInput: A check that blocks failed, or the rows cannot be stored.
            Conflict: Somebody else wrote the table meanwhile.
        """
        return room.write.write(workspace(), self, rows, mode="overwrite", branch=branch)

    def append(self, rows: Rows, *, branch: str = "") -> TableVersion:
        """Check rows and add them after those that are there.

        Args:
            rows: As `overwrite` takes them, with the table's columns.
            branch: The branch that is written, "" for the table itself.

        Raises:
            UserError: No project is open.
            InvalidInput: A check that blocks failed, or the columns are not the table's.
        """
        return room.write.write(workspace(), self, rows, mode="append", branch=branch)

    def upsert(self, rows: Rows, *, newest_wins: bool = False, branch: str = "") -> TableVersion:
        """Check rows, and let them replace those of the same key or come to the others.

        Args:
            rows: As `overwrite` takes them, with the table's columns; held in memory.
            newest_wins: Whether a row never replaces one whose time is later: rows may then come out of order.
            branch: The branch that is written, "" for the table itself.

        Returns:
            The new version, with `added_rows` and `changed_rows`, or the current one when nothing changed.
            Where the rows went back to those of an earlier version, that one is current again, with the figures of its making.

        Raises:
            UserError: No project is open.
            InvalidInput: A check that blocks failed, or a key is null or given twice.
        """
        return room.write.write(workspace(), self, rows, mode="upsert", newest_wins=newest_wins, branch=branch)

    def history(self) -> tuple[TableVersion, ...]:
        """All versions in the current project, newest first.

        Raises:
            UserError: No project is open.
            NotFound: There is none.
        """
        return room.versions.history(workspace(), self.name)

    def diff(self, before: Version, after: Version = "main") -> TableDiff:
        """What differs between two versions, in words and numbers.

        Args:
            before: The earlier version, as `read` takes it.
            after: The later one; "main" for the current one.

        Raises:
            UserError: No project is open.
            NotFound: There is no such version.
        """
        return room.diffs.diff(workspace(), self.name, before, after)

    def tag(self, name: str, version: Version | None = None, *, move: bool = False) -> TableVersion:
        """Name a version for good.

        Args:
            name: The tag.
            version: Which version, None for the current one.
            move: Whether a tag that names another version is moved.

        Raises:
            UserError: No project is open.
            Conflict: The tag names another version.
        """
        return room.refs.tag(workspace(), self.name, name, version, move=move)

    def branch(self, name: str, version: Version | None = None) -> TableVersion:
        """Begin a branch, which is written on its own: `table.append(rows, branch=name)`. Nothing is copied.

        Args:
            name: The branch.
            version: Where it begins, None for the current version.

        Raises:
            UserError: No project is open.
            Conflict: There is such a branch already.
        """
        return room.refs.branch(workspace(), self.name, name, version)

    def merge(self, name: str) -> TableVersion:
        """Bring what a branch added into the table; the branch then goes on from there.

        Args:
            name: The branch.

        Raises:
            UserError: No project is open.
            Conflict: The table moved on, and the branch did more than append, columns changed, or both added one key.
        """
        return room.refs.merge(workspace(), self.name, name)


@overload
def table(function: Callable[..., Any], /) -> Table: ...


@overload
def table(
    *,
    key: str | Iterable[str] | None = None,
    time: str | None = None,
    checks: Iterable[Check | TableCheck] = (),
    owner: str = "",
    description: str = "",
    tags: Iterable[str] = (),
    personal: str | Iterable[str] = (),
    readers: str | Iterable[str] = (),
    source: SourceSpec | None = None,
    watermark: str = "",
    schedule: str | Scheduled | None = None,
    origin: Literal["", "simulated"] = "",
) -> Callable[[Callable[..., Any]], Table]: ...


def table(
    function: Callable[..., Any] | None = None,
    /,
    *,
    key: str | Iterable[str] | None = None,
    time: str | None = None,
    checks: Iterable[Check | TableCheck] = (),
    owner: str = "",
    description: str = "",
    tags: Iterable[str] = (),
    personal: str | Iterable[str] = (),
    readers: str | Iterable[str] = (),
    source: SourceSpec | None = None,
    watermark: str = "",
    schedule: str | Scheduled | None = None,
    origin: Literal["", "simulated"] = "",
) -> Table | Callable[[Callable[..., Any]], Table]:
    """Declare a versioned table; its name is the function's, which returns all rows or, given a source's, cleans these.

    Args:
        function: Given when the decorator is used without arguments.
        key: The column or columns that identify a row.
        time: The column of event time, aware datetimes.
        checks: What must hold: of rows `sw.unique`, `sw.not_null`, `sw.between`, `sw.one_of`, `sw.matches`,
            `sw.references`, `sw.check`; of the whole table `sw.rows`, `sw.fresh`, `sw.stable`.
        owner: Who answers for it: a person or a team.
        description: What it holds, in a sentence; the function's docstring where it is "".
        tags: Words to find it by.
        personal: The column or columns that tell something of a person.
        readers: The roles and people that may read it besides admins; all who may read tables where none is named.
        source: Where its rows come from: `sw.files`, `sw.sql`, `sw.api`.
        watermark: The source's column that grows with each change: a sync reads what is as new or newer.
        schedule: When the server syncs it: "0 3 * * *" in UTC, or `sw.cron(...)`.
        origin: "simulated" where a program makes its rows up. Whatever is made of them says so, up to the endpoint.

    Raises:
        InvalidDeclaration: See `Table`.

    Example:
        >>> import slipway as sw
        >>> @sw.table(key="code", checks=[sw.unique("code")])
        ... def airports(): return [{"code": "EWR"}, {"code": "JFK"}]
    """
    declare = partial(
        Table,
        key=_listed(key),
        time=time or "",
        checks=tuple(checks),
        owner=owner,
        description=description,
        tags=_listed(tags),
        personal=_listed(personal),
        readers=_listed(readers),
        source=source,
        watermark=watermark,
        schedule=schedule,
        origin=origin,
    )
    return declare if function is None else declare(function)


def _listed(names: str | Iterable[str] | None) -> tuple[str, ...]:
    return () if names is None else (names,) if isinstance(names, str) else tuple(names)
