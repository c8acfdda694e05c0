"""Names of what is searched by, as numbers, and the index of facets in SQLite."""

import sqlite3
from collections.abc import Callable

from slipway.records.search import Facet

__all__ = ["FieldNumbers", "field_number", "index"]

Execute = Callable[..., sqlite3.Cursor]
_Name = tuple[str, str, str, str]


def field_number(execute: Execute, project: str, kind: str, space: str, name: str) -> int:
    """The number of a field, given when it is new."""
    names = (project, kind, space, name)
    found = execute("SELECT key FROM fields WHERE project=? AND kind=? AND space=? AND name=?", names).fetchone()
    if found is not None:
        return int(found[0])
    return int(execute("INSERT INTO fields (project, kind, space, name) VALUES (?,?,?,?)", names).lastrowid or 0)


class FieldNumbers:
    """Fields' numbers, remembered in this process; they never change once their transaction is committed.

    Args:
        known: Those of committed transactions, shared by all of a store's.
        execute: Of an open transaction.
    """

    def __init__(self, known: dict[_Name, int], execute: Execute) -> None:
        self._known = known
        self._execute = execute
        self._new: dict[_Name, int] = {}

    def given(self, project: str, kind: str, space: str, name: str) -> int:
        """The number of a field, given when it is new."""
        names = (project, kind, space, name)
        number = self._known.get(names) or self._new.get(names)
        if number is None:
            number = self._new[names] = field_number(self._execute, *names)
        return number

    def known(self, project: str, kind: str, space: str, name: str) -> int:
        """The number of a field, 0 where no record has it."""
        names = (project, kind, space, name)
        number = self._known.get(names) or self._new.get(names)
        if number is None:
            found = self._execute(
                "SELECT key FROM fields WHERE project=? AND kind=? AND space=? AND name=?", names
            ).fetchone()
            number = 0 if found is None else int(found[0])
        return number

    def keep(self) -> None:
        """Remember what this transaction gave: it was committed."""
        self._known.update(self._new)


def index(
    execute: Execute, numbers: Callable[[Facet], int], no: int, created_us: int, facets: tuple[Facet, ...]
) -> None:
    """Make a record found by these facets and no others; what has not changed is not written."""
    wanted: dict[tuple[int, int], tuple[float | None, str | None, int]] = {}
    items: dict[int, int] = {}
    for facet in facets:
        key = numbers(facet)
        item = items[key] = items.get(key, -1) + 1
        wanted[key, item] = (facet.number, facet.text, created_us)
    stored = {
        (key, item): (number, text, created)
        for key, item, number, text, created in execute(
            "SELECT key, item, number, text, created_us FROM facets WHERE no=?", (no,)
        )
    }
    for key, item in stored.keys() - wanted.keys():
        execute("DELETE FROM facets WHERE no=? AND key=? AND item=?", (no, key, item))
    for (key, item), value in wanted.items():
        if stored.get((key, item)) != value:
            execute(
                "INSERT OR REPLACE INTO facets (no, key, item, number, text, created_us) VALUES (?,?,?,?,?,?)",
                (no, key, item, *value),
            )
