"""All verbs of a ledger's transaction, in SQL over a database's driver."""

# ruff: noqa: D102  # the port says what each verb does

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from slipway.backends import sql_points, sql_search
from slipway.backends.sql_driver import Driver
from slipway.backends.sql_fields import FieldNumbers, index
from slipway.backends.sql_rows import SqlRows
from slipway.errors import Conflict, Corrupt, NotFound
from slipway.ports.ledger_store import Found
from slipway.records.events import Event, Root
from slipway.records.record import Entry, Link
from slipway.records.runs import Bucket, MetricPoint
from slipway.records.search import Condition, Field, Order, Position, Space, Value

__all__ = ["SqlTransaction"]

T = TypeVar("T")

_AT_ONCE = 500
_EVENT = "seq, project, subject, verb, body"
_ENTRY = "kind, id, project, name, number, state, parent, created_us, etag, body"


class SqlTransaction:
    """The verbs of `WriteTransaction`. Writers of one ledger come one after the other: the store sees to that.

    Args:
        driver: An open transaction of a database.
        fields: Numbers of fields that committed transactions gave, shared by all of a store's.
    """

    def __init__(self, driver: Driver, fields: dict[tuple[str, str, str, str], int]) -> None:
        self._driver = driver
        self._execute = driver.execute
        self.fields = FieldNumbers(fields, driver)

    @property
    def rows(self) -> SqlRows:
        return SqlRows(self._driver)

    def get(self, kind: str, id: str) -> Entry | None:
        row = self._execute(f"SELECT {_ENTRY} FROM entries WHERE kind=? AND id=?", (kind, id)).fetchone()
        return None if row is None else _entry(row)

    def find(
        self,
        kind: str,
        *,
        project: str | None = None,
        name: str | None = None,
        number: int | None = None,
        state: str | None = None,
        parent: str | None = None,
        before: tuple[int, str] | None = None,
        limit: int = 100,
    ) -> list[Entry]:
        wanted = {"project": project, "name": name, "number": number, "state": state, "parent": parent}
        given = [(column, value) for column, value in wanted.items() if value is not None]
        where = "kind=?" + "".join(f" AND {column}=?" for column, _ in given)
        values: list[str | int] = [kind, *(value for _, value in given)]
        if parent:
            where += (
                " AND parent <> ''"  # which the index by parent leaves out: a bound value does not say so to a planner
            )
        if before is not None:
            where += " AND (created_us, id) < (?, ?)"
            values += before
        rows = self._execute(
            f"SELECT {_ENTRY} FROM entries WHERE {where} ORDER BY created_us DESC, id DESC LIMIT ?", (*values, limit)
        )
        return [_entry(row) for row in rows]

    def put(self, entry: Entry, *, expect: int | None = None) -> int:
        row = self._execute(
            "SELECT no, etag, project, created_us FROM entries WHERE kind=? AND id=?", (entry.kind, entry.id)
        ).fetchone()
        no, stored, project, created_us = row or (0, 0, entry.project, entry.created_us)
        if expect is not None and expect != stored:
            raise Conflict(
                f"The {entry.kind} {entry.id} was changed by somebody else meanwhile.",
                why=f"Its edition is {stored}, expected was {expect}.",
                fix="Read it again and repeat the change.",
            )
        if project != entry.project:
            raise Conflict(
                f"The {entry.kind} {entry.id} belongs to the project {project!r} and cannot move to {entry.project!r}.",
                fix="Record it anew under another id.",
            )
        columns = (entry.name, entry.number, entry.state, entry.parent, entry.created_us, stored + 1, entry.body)
        if row is None:
            no = self._driver.insert(
                f"INSERT INTO entries ({_ENTRY}) VALUES (?,?,?,?,?,?,?,?,?,?)",
                (entry.kind, entry.id, project, *columns),
                "no",
            )
        else:
            self._execute(
                "UPDATE entries SET name=?, number=?, state=?, parent=?, created_us=?, etag=?, body=? WHERE no=?",
                (*columns, no),
            )
            if created_us != entry.created_us:
                self._execute("UPDATE series SET created_us=? WHERE no=?", (entry.created_us, no))
        if row is not None or entry.facets:
            index(
                self._driver,
                lambda facet: self.fields.given(project, entry.kind, facet.space, facet.key),
                no,
                entry.created_us,
                entry.facets,
                is_new=row is None,
            )
        return stored + 1

    def remove(self, kind: str, id: str) -> bool:
        found = self._execute("SELECT no FROM entries WHERE kind=? AND id=?", (kind, id)).fetchone()
        if found is None:
            return False
        for table in ("facets", "series", "blocks", "bodies", "entries"):
            self._execute(f"DELETE FROM {table} WHERE no=?", found)
        return True

    def search(
        self,
        kind: str,
        *,
        project: str,
        where: Condition | None = None,
        order: Sequence[Order] = (),
        after: Position | None = None,
        limit: int = 100,
        best_per: Field | None = None,
    ) -> Found:
        numbers, position = sql_search.search(
            self._driver,
            lambda field: self.fields.known(project, kind, field.space, field.key),
            kind,
            project=project,
            where=where,
            order=order,
            after=after,
            limit=limit,
            best_per=best_per,
        )
        found: dict[int, Entry] = {}
        for begin in range(0, len(numbers), _AT_ONCE):
            part = numbers[begin : begin + _AT_ONCE]
            rows = self._execute(f"SELECT no, {_ENTRY} FROM entries WHERE no IN ({','.join('?' * len(part))})", part)
            found |= {no: _entry(row) for no, *row in rows}
        return Found([found[no] for no in numbers], position)

    def values(
        self, kind: str, *, project: str, where: Condition | None = None, fields: Sequence[Field], limit: int
    ) -> list[tuple[Value | None, ...]]:
        return sql_search.values(
            self._driver,
            lambda field: self.fields.known(project, kind, field.space, field.key),
            kind,
            project=project,
            where=where,
            fields=fields,
            limit=limit,
        )

    def names(self, kind: str, *, project: str, space: Space, contains: str = "", limit: int) -> list[str]:
        plain = contains.lower().replace("!", "!!").replace("%", "!%").replace("_", "!_")
        rows = self._execute(
            "SELECT name FROM fields WHERE project=? AND kind=? AND space=? AND lower(name) LIKE ? ESCAPE '!' "
            "ORDER BY name LIMIT ?",
            (project, kind, space, f"%{plain}%", limit),
        )
        return [name for (name,) in rows]

    def ref(self, project: str, kind: str, name: str) -> str | None:
        row = self._execute(
            "SELECT target FROM refs WHERE project=? AND kind=? AND name=?", (project, kind, name)
        ).fetchone()
        return None if row is None else row[0]

    def refs(self, project: str, kind: str) -> dict[str, str]:
        return dict(
            self._execute("SELECT name, target FROM refs WHERE project=? AND kind=? ORDER BY name", (project, kind))
        )

    def set_ref(self, project: str, kind: str, name: str, target: str, *, expect: str | None) -> None:
        found = self.ref(project, kind, name)
        if found != expect:
            raise Conflict(
                f"The {kind} {name!r} of {project!r} was moved by somebody else meanwhile.",
                why=f"It points at {found or 'nothing'}, expected was {expect or 'nothing'}.",
                fix="Look at where it points now and repeat the change.",
            )
        if target:
            self._execute(
                "INSERT INTO refs (project, kind, name, target) VALUES (?,?,?,?) "
                "ON CONFLICT (project, kind, name) DO UPDATE SET target=excluded.target",
                (project, kind, name, target),
            )
        else:
            self._execute("DELETE FROM refs WHERE project=? AND kind=? AND name=?", (project, kind, name))

    def link(self, links: Iterable[Link]) -> None:
        self._driver.execute_many(
            "INSERT INTO links (source, target, role) VALUES (?,?,?) ON CONFLICT DO NOTHING",
            [(link.source, link.target, link.role) for link in links],
        )

    def links(self, node: str, *, towards: bool) -> list[Link]:
        column = "target" if towards else "source"
        rows = self._execute(
            f"SELECT source, target, role FROM links WHERE {column}=? ORDER BY source, target, role", (node,)
        )
        return [Link(*row) for row in rows]

    def unlink(self, node: str) -> None:
        for column in ("source", "target"):
            self._execute(f"DELETE FROM links WHERE {column}=?", (node,))

    def add_points(self, run_id: str, points: Iterable[MetricPoint]) -> None:
        run = self._run(run_id)
        if run is None:
            raise NotFound(
                f"There is no run {run_id!r} to add points to.", fix="Record the run first, then what it measured."
            )
        no, project, created_us = run
        fields = self.fields
        sql_points.write(
            self._driver, lambda name: fields.given(project, "run", "metric", name), no, created_us, points
        )

    def points(
        self, run_id: str, key: str, *, after: MetricPoint | None = None, limit: int = 25_000
    ) -> list[MetricPoint]:
        run = self._run(run_id)
        if run is None:
            return []
        return sql_points.read(
            self._execute, run[0], self.fields.known(run[1], "run", "metric", key), key, after, limit
        )

    def sampled(
        self, run_id: str, key: str, *, buckets: int, since: int | None = None, until: int | None = None
    ) -> list[Bucket]:
        run = self._run(run_id)
        if run is None:
            return []
        steps = (-(2**63) if since is None else since, 2**63 - 1 if until is None else until)
        field = self.fields.known(run[1], "run", "metric", key)
        return sql_points.sample(self._execute, run[0], field, key, buckets, steps)

    def latest_points(self, run_ids: Sequence[str]) -> dict[str, list[MetricPoint]]:
        runs = {run_id: self._run(run_id) for run_id in run_ids}
        latest = sql_points.latest(self._execute, [run[0] for run in runs.values() if run is not None])
        return {run_id: [] if run is None else latest[run[0]] for run_id, run in runs.items()}

    def _run(self, id: str) -> tuple[int, str, int] | None:
        found: tuple[int, str, int] | None = self._execute(
            "SELECT no, project, created_us FROM entries WHERE kind='run' AND id=?", (id,)
        ).fetchone()
        return found

    def append_event(self, event: Event) -> int:
        seq = int(self._execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]) + 1
        self._execute(
            "INSERT INTO events (seq, project, subject, verb, body) VALUES (?,?,?,?,?)",
            (
                seq,
                event.project,
                event.subject,
                event.verb,
                msgspec.json.encode(msgspec.structs.replace(event, seq=seq)),
            ),
        )
        return seq

    def events(
        self, *, after: int = 0, limit: int = 1000, project: str | None = None, subject: str | None = None
    ) -> list[Event]:
        where = "seq>?"
        values: list[str | int] = [after]
        for column, value in (("project", project), ("subject", subject)):
            if value is not None:
                where += f" AND {column}=?"
                values.append(value)
        rows = self._execute(f"SELECT {_EVENT} FROM events WHERE {where} ORDER BY seq LIMIT ?", (*values, limit))
        return [_event(*row) for row in rows]

    def written_events(self, *, after: int = 0, limit: int = 1000) -> list[tuple[Event, bytes]]:
        rows = self._execute(f"SELECT {_EVENT} FROM events WHERE seq>? ORDER BY seq LIMIT ?", (after, limit))
        return [(_event(*row), _written(row[4])) for row in rows]

    def append_root(self, root: Root) -> None:
        added = self._execute(
            'INSERT INTO roots ("index", body) VALUES (?,?) ON CONFLICT DO NOTHING',
            (root.index, msgspec.json.encode(root)),
        )
        if added.rowcount != 1:
            raise Conflict(f"The audit log's root {root.index} exists already.", fix="Read the roots again.")

    def roots(self) -> list[Root]:
        return [root for root, _ in self.written_roots()]

    def written_roots(self) -> list[tuple[Root, bytes]]:
        rows = self._execute('SELECT "index", body FROM roots ORDER BY "index"')
        return [(_root(index, body), _written(body)) for index, body in rows]

    def take_lease(self, name: str, holder: str, *, seconds: float) -> bool:
        now = self._driver.now()
        changed = self._execute(
            "INSERT INTO leases (name, holder, until) VALUES (?,?,?) ON CONFLICT (name) DO UPDATE SET "
            "holder=excluded.holder, until=excluded.until WHERE leases.holder=excluded.holder OR leases.until<?",
            (name, holder, now + seconds, now),
        )
        return changed.rowcount == 1


def _entry(row: Sequence[Any]) -> Entry:
    kind, id, project, name, number, state, parent, created_us, etag, body = row
    return Entry(
        kind=kind,
        id=id,
        project=project,
        name=name,
        number=number,
        state=state,
        parent=parent,
        created_us=created_us,
        etag=etag,
        body=body,
    )


def _event(seq: int, project: str, subject: str, verb: str, body: bytes) -> Event:
    event = _decode(body, Event, f"event {seq}")
    if (event.seq, event.project, event.subject, event.verb) != (seq, project, subject, verb):
        raise Corrupt(
            f"The ledger's event {seq} was altered: its columns do not say what it says.",
            fix="Restore the ledger from a backup; keep the damaged one.",
        )
    return event


def _written(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else bytes(body)  # a text, where somebody edited it by SQL


def _root(index: int, body: bytes) -> Root:
    root = _decode(body, Root, f"root {index}")
    if root.index != index:
        raise Corrupt(
            f"The ledger's root {index} was altered: it says that it is root {root.index}.",
            fix="Restore the ledger from a backup; keep the damaged one.",
        )
    return root


def _decode(body: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise Corrupt(
            f"The ledger's {what} cannot be read: {problem}.", fix="Restore the ledger from a backup."
        ) from None
