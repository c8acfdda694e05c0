"""The online store on Redis, shared by the endpoints of a project and environment on any number of machines.

The newest row of a view lies under one key, so that many views and entities are one `MGET`; older rows lie in a sorted
set, asked only where the newest is later than the decision time. The events of a key are one sorted set whose members
carry running sums: a window is the difference of two of them, found by seeks, all windows and views of a request in one
script. What is put is folded here and written by one script; see `redis_writes`.

Redis promises less than a file: it may be started empty. So its content has an identity, looked at with every question;
whoever was told which one to expect never takes an emptied Redis for one without rows.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec

from slipway.backends.redis_layout import StreamPlan, ViewPlan, row_of, upper_bound
from slipway.backends.redis_link import Address, Link, Script, pack
from slipway.backends.redis_writes import Transaction
from slipway.errors import BackendError, Conflict, NotFound, Unavailable, near
from slipway.ids import new_id
from slipway.ports.online_store import Asked, FoundRow, ViewsAsked, WindowsAsked
from slipway.records.features import EventRow, StoredView, Stream, ViewRow, WindowState

__all__ = ["RedisOnlineStore"]

_ASK_S = 2.0
_WRITE_S = 60.0
_AT_ONCE = 4_000  # keys in one command
_logger = logging.getLogger(__name__)

# KEYS: the identity; the newest rows of views; where a bound of time is given, as many sets of older rows; sets of events.
# ARGV: how many views' keys, that bound or ""; then for each stream: how many keys, the lower bound of what is looked
# into or "", how many seeks, their bounds.
_LOOK_UP = Script("""
local out, n, at = {}, tonumber(ARGV[1]), ARGV[2]
for first = 1, n + 1, 4000 do
  local found = redis.call('MGET', unpack(KEYS, first, math.min(first + 3999, n + 1)))
  for i = 1, #found do out[#out + 1] = found[i] end
end
local k = n + 1
if at ~= '' then
  for i = 1, n do
    out[#out + 1] = redis.call('ZREVRANGEBYLEX', KEYS[k + i], at, '-', 'LIMIT', 0, 1)[1] or false
  end
  k = k + n
end
local a = 3
while a <= #ARGV do
  local keys, low, seeks = tonumber(ARGV[a]), ARGV[a + 1], tonumber(ARGV[a + 2])
  for i = 1, keys do
    local key, last = KEYS[k + i], nil
    for s = 1, seeks do
      if s == 1 or last then
        local found = redis.call('ZREVRANGEBYLEX', key, ARGV[a + 2 + s], '-', 'LIMIT', 0, 1)[1]
        if s == 1 then last = found end
        out[#out + 1] = found or false
      else
        out[#out + 1] = false
      end
    end
    if low ~= '' then
      out[#out + 1] = last and redis.call('ZRANGEBYLEX', key, low, ARGV[a + 3]) or {}
    end
  end
  k, a = k + keys, a + 3 + seeks
end
return out""")

# KEYS: identity, definitions. ARGV: the identity to begin with, then name and body of each definition.
_DEFINE = Script("""
for i = 2, #ARGV, 2 do
  local found = redis.call('HGET', KEYS[2], ARGV[i])
  if found and found ~= ARGV[i + 1] then return {ARGV[i], found} end
end
redis.call('SET', KEYS[1], ARGV[1], 'NX')
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
return {redis.call('GET', KEYS[1])}""")


class RedisOnlineStore:
    """An online store in a Redis, for any number of threads, processes and machines.

    Args:
        url: Where it is: redis://, rediss:// or unix://, with password and database; or what tells it.
        namespace: Whose rows; endpoints of one namespace share what their features have in common.
        expected: Tells which content is expected, see `identity`; "" takes what is there. With an expectation, an
            emptied Redis is an error until it is loaded again, and streams and views are not defined anew.

    Raises:
        InvalidSetting: The URL does not fit.
    """

    def __init__(self, url: Address, namespace: str, expected: Callable[[], str] = str) -> None:
        self._link = Link(url, patience_s=_ASK_S)
        self._writing_link = Link(url, patience_s=_WRITE_S)
        self._home = b"{" + namespace.encode() + b"}"
        self._expected = expected
        self._identity = expected().encode()
        self._streams: dict[str, StreamPlan] = {}
        self._views: dict[str, ViewPlan] = {}
        self._local = threading.local()

    def define(self, streams: Sequence[Stream], views: Sequence[StoredView]) -> None:
        """See the port. Where a content is expected, its loader has defined them: they are only read then."""
        if not self._expected():
            self._define([*streams, *views])
        self._streams.update((stream.name, StreamPlan(self._home, stream)) for stream in streams)
        self._views.update((view.name, ViewPlan(self._home, view)) for view in views)

    def _define(self, wanted: Sequence[Stream | StoredView]) -> None:
        bodies = {what.name: _body(what) for what in wanted}
        parts = [part for name, body in bodies.items() for part in (name.encode(), body)]
        keys = [self._home + b":id", self._home + b":d"]
        answer = self._link.run(_DEFINE, keys, [new_id().encode(), *parts])
        if len(answer) == 2:
            name, found = answer[0].decode(), answer[1].split(b" ", 1)[0].decode()
            raise Conflict(
                f"The online store has a {found} {name!r} already, with another definition.",
                why="Rows of two definitions cannot share one place.",
                fix="Give the new definition another name.",
            )
        if self._identity and answer[0] != self._identity:
            raise self._lost()
        self._identity = answer[0]
        self._warn_of_eviction()

    def _warn_of_eviction(self) -> None:
        if warning := _eviction(self._facts()):
            _logger.warning("The Redis at %s %s", self._link.address, warning)

    def _facts(self) -> dict[str, str]:
        """What Redis tells of itself; nothing to a user who may not ask."""
        try:
            told = self._link.ask(pack(b"INFO")).decode()
        except Unavailable:
            raise
        except BackendError:
            return {}
        return dict(line.split(":", 1) for line in told.splitlines() if ":" in line)

    def describe(self) -> tuple[str, str]:
        """Which Redis answers, and what should be changed about it, "" for nothing.

        Raises:
            Unavailable: None answers.
            BackendError: It takes no commands of this user.
        """
        self.identity()
        facts = self._facts()
        advice = _eviction(facts)
        if not advice and facts.get("aof_enabled") == "0":
            advice = "keeps nothing of what was acknowledged last when it is started again. Set appendonly yes."
        found = f"Redis {facts.get('redis_version', 'of a version that this user may not ask for')}"
        return f"{found} answers at {self._link.address}", f"It {advice}" if advice else ""

    def push_events(self, stream: str, rows: Iterable[EventRow], *, replacing_until_us: int | None = None) -> int:
        """See the port."""
        plan, given = self._stream(stream), list(rows)
        if not given and replacing_until_us is None:
            return 0
        return self._do(lambda open: open.push(plan, given, replacing_until_us))

    def put_rows(self, view: str, rows: Iterable[ViewRow], *, replacing_until_us: int | None = None) -> int:
        """See the port."""
        plan, given = self._view(view), list(rows)
        if not given and replacing_until_us is None:
            return 0
        return self._do(lambda open: open.put(plan, given, replacing_until_us))

    def _do(self, step: Callable[[Transaction], int]) -> int:
        transaction: Transaction | None = getattr(self._local, "transaction", None)
        if transaction is not None:
            return transaction.do(partial(step, transaction))
        with self._transaction() as own:
            own.do(partial(step, own))
        return own.answer

    @contextmanager
    def writing(self) -> Iterator[None]:
        """See the port."""
        if getattr(self._local, "transaction", None) is not None:  # a part of the one that is open
            yield
            return
        with self._transaction():
            yield

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        transaction = Transaction(self._writing_link, self._home, self._check)
        self._local.transaction = transaction
        try:
            yield transaction
            transaction.commit()
        finally:
            self._local.transaction = None

    def view_rows(self, views: tuple[str, ...], keys: Sequence[str], at_us: int) -> list[list[FoundRow | None]]:
        """See the port."""
        plans = [self._views.get(view) or self._view(view) for view in views]
        if not keys:
            return []
        places = [plan.newest + key for key in [key.encode() for key in keys] for plan in plans]
        answer = self._link.ask(pack(b"MGET", self._home + b":id", *places))
        if answer[0] != self._identity:
            self._check(answer[0])
        found = [None if member is None else row_of(member) for member in answer[1:]]
        for row in found:
            if row is not None and row[0] > at_us:  # the newest is not known yet at that time: one moment for all again
                return self.look_up([ViewsAsked(views, keys)], at_us)[0]
        width = len(plans)
        return [found[place : place + width] for place in range(0, len(found), width)]

    def window_states(
        self, stream: str, keys: Sequence[str], at_us: int, widths_us: Sequence[int]
    ) -> list[list[WindowState]]:
        """See the port."""
        return self.look_up([WindowsAsked(stream, keys, widths_us)], at_us)[0]

    def look_up(self, asked: Sequence[Asked], at_us: int) -> list[list[list[Any]]]:
        """See the port."""
        plans = [
            self._stream(one.stream) if isinstance(one, WindowsAsked) else [self._view(view) for view in one.views]
            for one in asked
        ]
        newest, older, events, arguments = [], [], [], []
        for one, plan in zip(asked, plans, strict=True):
            keys = [key.encode() for key in one.keys]
            if isinstance(one, WindowsAsked):
                assert isinstance(plan, StreamPlan)
                events += [plan.events + key for key in keys]
                sinces = [at_us - width for width in one.widths_us]
                low = b"(" + upper_bound(min(sinces))[1:] if plan.looks_inside else b""
                bounds = [upper_bound(at_us), *map(upper_bound, sinces)]
                arguments += [b"%d" % len(keys), low, b"%d" % len(bounds), *bounds]
            else:
                assert isinstance(plan, list)
                newest += [view.newest + key for key in keys for view in plan]
                older += [view.older + key for key in keys for view in plan]
        head = [self._home + b":id", *newest]
        count = b"%d" % len(newest)
        answer = self._link.run(_LOOK_UP, [*head, *events], [count, b"", *arguments])
        rows: list[FoundRow | None] = [None if member is None else row_of(member) for member in answer[1 : len(head)]]
        first = len(head)
        if any(row is not None and row[0] > at_us for row in rows):
            answer = self._link.run(_LOOK_UP, [*head, *older, *events], [count, upper_bound(at_us), *arguments])
            rows = [_known(*found, at_us) for found in zip(answer[1:first], answer[first : 2 * first - 1], strict=True)]
            first = 2 * first - 1
        if answer[0] != self._identity:
            self._check(answer[0])
        return _answers(asked, plans, rows, answer[first:], at_us)

    def mark(self, name: str) -> str:
        """See the port."""
        transaction: Transaction | None = getattr(self._local, "transaction", None)
        if transaction is not None and name in transaction.marks:
            return transaction.marks[name]
        found = self._link.ask(pack(b"HGET", self._home + b":m", name.encode()))
        return "" if found is None else str(found.decode())

    def set_mark(self, name: str, value: str) -> None:
        """See the port."""

        def step(transaction: Transaction) -> int:
            transaction.marks[name] = value
            return 0

        self._do(step)

    def identity(self) -> str:
        """See the port."""
        found = self._link.ask(pack(b"GET", self._home + b":id"))
        return "" if found is None else str(found.decode())

    def drop(self) -> None:
        """See the port."""
        home, ask = self._home, self._writing_link.ask
        ask(pack(b"UNLINK", home + b":id"))  # first: whoever reads meanwhile is told that it is lost
        parts = ask(pack(b"HGETALL", home + b":d"))
        for body in parts[1::2]:
            kind, _, what = body.partition(b" ")
            plan: StreamPlan | ViewPlan
            if kind == b"stream":
                plan = StreamPlan(home, msgspec.json.decode(what, type=Stream))
                places = [plan.events]
            else:
                plan = ViewPlan(home, msgspec.json.decode(what, type=StoredView))
                places = [plan.newest, plan.older]
            names = ask(pack(b"SMEMBERS", plan.keys))
            for first in range(0, len(names), _AT_ONCE):
                ask(pack(b"UNLINK", *[place + name for name in names[first : first + _AT_ONCE] for place in places]))
            ask(pack(b"UNLINK", plan.keys, plan.replaced))
        ask(pack(b"UNLINK", *[home + name for name in (b":m", b":turn", b":w", b":d")]))  # last what says where all is
        self._streams, self._views, self._identity = {}, {}, b""

    def close(self) -> None:
        """See the port."""
        self._link.close()
        self._writing_link.close()

    def _check(self, found: bytes | None) -> None:
        """Refuse content that is not the one from before; take up one that was loaded again since."""
        if found == (self._identity or None):
            return
        expected = self._expected().encode()
        if found is None or (expected and found != expected) or (self._identity and not expected):
            raise self._lost()
        self._identity = found

    def _lost(self) -> Unavailable:
        return Unavailable(
            f"The online store at {self._link.address} has lost what was loaded into it.",
            why="Redis was emptied, or started again without its data; without appendonly it keeps nothing on disk.",
            fix="Load it again: deploy the endpoint again; and set appendonly yes, so that it keeps what it holds.",
        )

    def _stream(self, name: str) -> StreamPlan:
        plan = self._streams.get(name)
        if plan is None:
            body = self._definition(name, "stream")
            plan = self._streams[name] = StreamPlan(self._home, msgspec.json.decode(body, type=Stream))
        return plan

    def _view(self, name: str) -> ViewPlan:
        plan = self._views.get(name)
        if plan is None:
            body = self._definition(name, "view")
            plan = self._views[name] = ViewPlan(self._home, msgspec.json.decode(body, type=StoredView))
        return plan

    def _definition(self, name: str, kind: str) -> bytes:
        place = self._home + b":d"
        found = self._link.ask(pack(b"HGET", place, name.encode()))
        known, _, body = (found or b"").partition(b" ")
        if known == kind.encode():
            return bytes(body)
        parts = self._link.ask(pack(b"HGETALL", place))
        names = [parts[i].decode() for i in range(0, len(parts), 2) if parts[i + 1].startswith(kind.encode() + b" ")]
        raise NotFound(
            f"The online store at {self._link.address} has no {kind} {name!r}.",
            why=near(name, names, what=f"{kind}s"),
            fix="Define it first: `store.define(streams, views)`.",
        )


def _eviction(facts: Mapping[str, str]) -> str:
    """What is wrong with how Redis makes room, "" for nothing."""
    policy = facts.get("maxmemory_policy", "")
    if facts.get("maxmemory", "0") == "0" or not policy.startswith("allkeys"):
        return ""
    return (
        f"forgets keys when its memory is full (maxmemory-policy {policy}); features would then be null as if there were "
        "no rows. Set maxmemory-policy noeviction."
    )


def _body(what: Stream | StoredView) -> bytes:
    """A definition as it is kept: its kind, a blank, and itself."""
    return (b"stream " if isinstance(what, Stream) else b"view ") + msgspec.json.encode(what)


def _known(newest: bytes | None, older: bytes | None, at_us: int) -> FoundRow | None:
    """Of the newest row and the last older one the one that is known at a time."""
    row = None if newest is None else row_of(newest)
    if row is not None and row[0] > at_us:
        row = None if older is None else row_of(older)
    return row


def _answers(
    asked: Sequence[Asked],
    plans: Sequence[StreamPlan | list[ViewPlan]],
    rows: Sequence[FoundRow | None],
    seeks: Sequence[Any],
    at_us: int,
) -> list[list[list[Any]]]:
    """What the script found, by question and key."""
    found: list[list[list[Any]]] = []
    row, seek = 0, 0
    for one, plan in zip(asked, plans, strict=True):
        answers: list[list[Any]] = []
        if isinstance(plan, StreamPlan):
            assert isinstance(one, WindowsAsked)
            sinces = [at_us - width for width in one.widths_us]
            ends = len(sinces) + 1
            for _ in one.keys:
                inside = seeks[seek + ends] if plan.looks_inside else ()
                answers.append(plan.states(seeks[seek : seek + ends], inside, sinces))
                seek += ends + plan.looks_inside
        else:
            for _ in one.keys:
                answers.append(list(rows[row : row + len(plan)]))
                row += len(plan)
        found.append(answers)
    return found
