"""Names of what is searched by, as numbers, and the index of facets, in SQL."""

from collections.abc import Callable

from slipway.backends.sql_driver import Driver
from slipway.records.search import Facet

__all__ = ["FieldNumbers", "field_number", "index"]

_Name = tuple[str, str, str, str]
_KNOWN = "SELECT key FROM fields WHERE project=? AND kind=? AND space=? AND name=?"


def field_number(driver: Driver, project: str, kind: str, space: str, name: str) -> int:
    """The number of a field, given when it is new."""
    names = (project, kind, space, name)
    found = driver.execute(_KNOWN, names).fetchone()
    if found is not None:
        return int(found[0])
    return driver.insert("INSERT INTO fields (project, kind, space, name) VALUES (?,?,?,?)", names, "key")


class FieldNumbers:
    """Fields' numbers, remembered in this process; they never change once their transaction is committed.

    Args:
        known: Those of committed transactions, shared by all of a store's.
        driver: Of an open transaction.
    """

    def __init__(self, known: dict[_Name, int], driver: Driver) -> None:
        self._known = known
        self._driver = driver
        self._new: dict[_Name, int] = {}

    def given(self, project: str, kind: str, space: str, name: str) -> int:
        """The number of a field, given when it is new."""
        names = (project, kind, space, name)
        number = self._known.get(names) or self._new.get(names)
        if number is None:
            number = self._new[names] = field_number(self._driver, *names)
        return number

    def known(self, project: str, kind: str, space: str, name: str) -> int:
        """The number of a field, 0 where no record has it."""
        names = (project, kind, space, name)
        number = self._known.get(names) or self._new.get(names)
        if number is None:
            found = self._driver.execute(_KNOWN, names).fetchone()
            number = 0 if found is None else int(found[0])
        return number

    def keep(self) -> None:
        """Remember what this transaction gave: it was committed."""
        self._known.update(self._new)


def index(
    driver: Driver, numbers: Callable[[Facet], int], no: int, created_us: int, facets: tuple[Facet, ...], is_new: bool
) -> None:
    """Make a record found by these facets and no others; what has not changed is not written.

    Args:
        driver: Of an open transaction.
        numbers: Gives a facet's field its number.
        no: The record's number.
        created_us: The record's creation.
        facets: What it is found by.
        is_new: Whether it was not found by anything before.
    """
    wanted: dict[tuple[int, int], tuple[float | None, str | None, int]] = {}
    items: dict[int, int] = {}
    for facet in facets:
        key = numbers(facet)
        item = items[key] = items.get(key, -1) + 1
        wanted[key, item] = (facet.number, facet.text, created_us)
    stored = (
        {}
        if is_new
        else {
            (key, item): (number, text, created)
            for key, item, number, text, created in driver.execute(
                "SELECT key, item, number, text, created_us FROM facets WHERE no=?", (no,)
            )
        }
    )
    gone = [(no, key, item) for key, item in stored.keys() - wanted.keys()]
    if gone:
        driver.execute_many("DELETE FROM facets WHERE no=? AND key=? AND item=?", gone)
    changed = [(no, *place, *value) for place, value in wanted.items() if stored.get(place) != value]
    if changed:
        driver.execute_many(
            "INSERT INTO facets (no, key, item, number, text, created_us) VALUES (?,?,?,?,?,?) "
            "ON CONFLICT (no, key, item) DO UPDATE SET number=excluded.number, text=excluded.text, "
            "created_us=excluded.created_us",
            changed,
        )
