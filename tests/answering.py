"""A store that knows people, with what tests of responsibility do again and again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from filled_store import fill
from slipway.governance import raci
from slipway.governance.people import identity_of, person_named
from slipway.ledger import entries
from slipway.operations.comments import Inbox
from slipway.operations.declare import call, convert
from slipway.operations.table import operation
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace, in_project
from slipway.records.responsibility import STAGES, Notice, RaciRow

PEOPLE = {
    "ada": ["admin"],
    "dan": ["data scientist"],
    "grace": ["business owner"],
    "gov": ["governance"],
    "mia": ["ml engineer"],
    "eve": ["data engineer"],
    "sam": ["executive viewer"],
}
ROWS = tuple(
    RaciRow(stage=stage, responsible=("mia",), accountable=("grace",), consulted=("gov",), informed=("eve",))
    for stage in STAGES
)


@dataclass(frozen=True)
class People:
    """A filled store, and whoever acts in it."""

    workspace: Workspace

    def as_(self, name: str) -> Workspace:
        """The workspace of somebody, with the roles that they hold."""
        with self.workspace.ledger.read() as tx:
            identity = identity_of(person_named(tx, name))
        return in_project(replace(self.workspace, identity=identity), self.workspace.project)

    def do(self, who: str, name: str, /, **fields: Any) -> Any:
        wanted = operation(name)
        return call(self.as_(who), wanted, convert(wanted, fields))

    def inbox(self, who: str) -> Inbox:
        found: Inbox = self.do(who, "notices.list")
        return found

    def told(self, who: str) -> list[str]:
        """All that was ever written to somebody, oldest first."""
        with self.workspace.ledger.read() as tx:
            found = sorted(entries.every(tx, Notice, name=who), key=lambda one: (one.created_at, one.what))
        return [f"{one.what}: {one.sentence}" for one in found]

    def declare(self, *changes: RaciRow) -> None:
        """Keep the RACI of the tests, with some rows another way."""
        other = {row.stage: row for row in changes}
        raci.declare(self.workspace, tuple(other.get(row.stage, row) for row in ROWS))

    @contextmanager
    def writing(self) -> Iterator[WriteTransaction]:
        with self.workspace.ledger.write() as tx:
            yield tx


def row(stage: str, **letters: Any) -> RaciRow:
    """A row of the tests' RACI with some letters another way."""
    own = next(one for one in ROWS if one.stage == stage)
    return replace_row(own, **letters)


def replace_row(own: RaciRow, **letters: Any) -> RaciRow:
    fields = {name: getattr(own, name) for name in own.__struct_fields__} | letters
    return RaciRow(**fields)


def people_in(workspace: Workspace) -> People:
    """A filled store that knows `PEOPLE`; nobody has been told anything yet."""
    fill(workspace)
    with workspace.ledger.write() as tx:
        for notice in list(entries.every(tx, Notice)):
            tx.remove("notice", notice.id)
        tx.remove("handover", "h1")
    do: Callable[..., Any] = People(workspace).do
    wanted = operation("people.add")
    call(workspace, wanted, convert(wanted, {"name": "ada", "roles": ["admin"], "account": "ada-s"}))
    for name, roles in PEOPLE.items():
        if name != "ada":
            do("ada", "people.add", name=name, roles=roles)
    return People(workspace)
