"""The skew certificate: one feature set's paths over generated edge cases, compared bit for bit.

Offline is the path of training. Three others must give its values: *online* (everything pushed, then asked), *stream*
(pushes and requests interleaved; a request sees what was pushed by then) and *back-fill* (loaded from tables, then pushed
again).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from slipway.errors import StepFailed
from slipway.features.back_fill import back_filled
from slipway.features.calls import caller
from slipway.features.edge_cases import INSTANTS, Generator, in_another_zone
from slipway.features.offline import History, compute
from slipway.features.online import Receiver, Resolver, build_receiver, build_resolver
from slipway.features.states import bits
from slipway.ports.online_store import OnlineStore
from slipway.ports.workspace import Workspace
from slipway.records.features import (
    FeatureSetSpec,
    FeatureSkew,
    PathCheck,
    PathName,
    Scalar,
    SkewCertificate,
    View,
    Windows,
)
from slipway.records.schema import Field
from slipway.schema.types import polars_schema

__all__ = ["OpenStore", "certify", "paths_of"]

OpenStore = Callable[[str], OnlineStore]
"""Opens the online store of a name: an empty one at first, later the same one with what is in it."""

_BATCHES = (1, 2, 1000)
_SHOWN = 5
_AT = "__at"
_ROUNDS = 2  # of pushes and requests at one instant
_RESTARTS = 5  # after so many of them the store is closed and opened

_Function = Callable[..., Any]


def paths_of(spec: FeatureSetSpec) -> tuple[PathName, ...]:
    """The paths on which a set's features are served: one that looks nothing up has no stream and no back-fill."""
    looks_up = any(isinstance(part, Windows | View) for part in spec.parts)
    return ("online", "stream", "back-fill") if looks_up else ("online",)


def certify(
    spec: FeatureSetSpec,
    functions: Mapping[str, _Function],
    open_store: OpenStore,
    *,
    tables: Workspace | None = None,
    serving: Mapping[str, _Function] | None = None,
    seed: int = 0,
    rows: int = 1000,
) -> SkewCertificate:
    """Run all paths of a feature set over generated rows and compare every value with offline's.

    The rows hold nulls, NaN, infinities, extreme integers, unknown keys, events on and beside the borders of windows,
    at one time, twice, with two contents, late and shuffled, and instants in several time zones around changes of the
    clock. A scalar function that raises must do so on every path.

    Args:
        spec: The set.
        functions: The functions of the scalar features, by name.
        open_store: Opens empty online stores by name; one is closed and opened again on the way.
        tables: An empty workspace that may be filled with the generated history, None to leave out the back-fill.
        serving: The functions that will serve, by name: the bundle's own, loaded from its code. The other paths call
            them; None where they are the same.
        seed: Of the generator.
        rows: How many request rows.

    Returns:
        The certificate; `equal` says whether the paths agreed everywhere.
    """
    made = Generator(seed)
    count = max(50, rows // 4)
    events, views = made.events(spec, count), made.view_rows(spec, count)
    asked = made.requests(spec, rows)
    case = _Case(spec, made, asked, events, views, functions, serving)
    wanted = [name for name in paths_of(spec) if name != "back-fill" or tables is not None]
    offline = case.offline(asked, History(events=case.events, views=case.views))
    raised = dict(case.trained.raised)
    checks = []
    for path in wanted:
        tally = _Tally(path, spec)
        if path == "online":
            _online(case, offline, raised, open_store, tally)
        elif path == "stream":
            _stream(case, open_store, tally)
        elif tables is not None:
            _back_fill(case, offline, raised, open_store, tables, tally)
        checks.append(tally.check())
    found = [words for check in checks for words in check.first]
    return SkewCertificate(
        definition=spec.definition,
        rows=len(asked),
        features=len(spec.features),
        compared=sum(check.compared for check in checks),
        mismatches=sum(check.mismatches for check in checks),
        first=tuple(found[:_SHOWN]),
        raised=len(raised),
        raised_first=tuple(list(raised)[:_SHOWN]),
        seed=seed,
        paths=tuple(checks),
    )


class _Guarded:
    """The functions of a set, each of which gives None where it raises and is noted in `raised`."""

    def __init__(self, spec: FeatureSetSpec, functions: Mapping[str, _Function]) -> None:
        self.raised: dict[str, None] = {}
        self.functions = {part.name: self._guarded(part, functions) for part in spec.parts if isinstance(part, Scalar)}

    def _guarded(self, scalar: Scalar, functions: Mapping[str, _Function]) -> _Function:
        call = caller(scalar, functions)

        def guarded(*arguments: Any) -> Any:
            try:
                return call([[argument] for argument in arguments])[0]
            except StepFailed as error:
                self.raised[error.what.replace(" on row 0", "")] = None
                return None

        return guarded


class _Case:
    """A generated history, the requests, and how both kinds of path are asked."""

    def __init__(
        self,
        spec: FeatureSetSpec,
        made: Generator,
        asked: list[list[Any]],
        events: dict[str, pl.DataFrame],
        views: dict[str, pl.DataFrame],
        functions: Mapping[str, _Function],
        serving: Mapping[str, _Function] | None,
    ) -> None:
        self.spec, self.made, self.asked, self.events, self.views = spec, made, asked, events, views
        self.trained = _Guarded(spec, functions)
        self.served = _Guarded(spec, functions if serving is None else serving)
        self._schema = polars_schema((*spec.request, Field(_AT, "datetime")))

    @property
    def sources(self) -> dict[str, pl.DataFrame]:
        """What is pushed, by the name of its table or view."""
        return {**self.events, **self.views}

    def offline(self, asked: Sequence[Sequence[Any]], history: History, *, elsewhere: bool = False) -> list[list[Any]]:
        """Offline's values; `elsewhere` hands the instants over in another time zone."""
        frame = pl.DataFrame(asked, schema=self._schema, orient="row", infer_schema_length=None)
        frame = in_another_zone(frame) if elsewhere else frame
        return [list(row) for row in compute(self.spec, frame, _AT, history, self.trained.functions).frame.rows()]

    def request(self, row: Sequence[Any]) -> list[Any]:
        """A row as somebody might send it."""
        return [self.made.in_any_zone(value) for value in row[:-1]]

    def push(self, receive: Receiver, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Push rows in batches of any size, out of order, some of them twice."""
        random = self.made.random
        sent = [self.made.as_sent(row) for row in rows]
        sent += random.sample(sent, len(sent) // 10)
        random.shuffle(sent)
        start = 0
        while start < len(sent):
            size = random.choice([1, 3, 40])
            receive(name, sent[start : start + size])
            start += size

    def ask(self, resolve: Resolver, places: list[int], at: datetime, expected: Any, tally: _Tally, size: int) -> None:
        """Ask requests of one instant in batches and compare the answers; `expected` gives offline's by place."""
        for start in range(0, len(places), size):
            batch = places[start : start + size]
            answers = resolve([self.request(self.asked[index]) for index in batch], self.made.in_any_zone(at))
            for index, answer in zip(batch, answers, strict=True):
                tally.compare(self.asked[index], expected[index], answer, size)


@dataclass
class _Tally:
    """What one path has been compared on so far."""

    path: PathName
    spec: FeatureSetSpec
    compared: int = 0
    mismatches: int = 0
    first: list[str] = field(default_factory=list)
    by_feature: dict[str, tuple[int, str]] = field(default_factory=dict)
    restarts: int = 0

    def compare(self, asked: Sequence[Any], offline: Sequence[Any], other: Sequence[Any], size: int) -> None:
        """Compare one row's values."""
        self.compared += len(self.spec.features)
        for feature, one, found in zip(self.spec.features, offline, other, strict=True):
            if bits(one) == bits(found):
                continue
            request = {f.name: value for f, value in zip(self.spec.request, asked, strict=False)}
            self._note(
                feature.name,
                f"{feature.name} is {one!r} offline and {found!r} {_WHERE[self.path]} (batches of {size}) "
                f"for {request} at {asked[-1].isoformat()}",
            )

    def compare_raised(self, offline: Mapping[str, None], other: Mapping[str, None]) -> None:
        """Compare what raised."""
        for words in sorted(offline.keys() ^ other.keys()):
            self._note("", f"raised on one path only: {words}")

    def check(self) -> PathCheck:
        """The record."""
        return PathCheck(
            path=self.path,
            compared=self.compared,
            mismatches=self.mismatches,
            first=tuple(self.first),
            features=tuple(
                FeatureSkew(feature=name, mismatches=count, first=first)
                for name, (count, first) in self.by_feature.items()
                if name
            ),
            restarts=self.restarts,
        )

    def _note(self, name: str, words: str) -> None:
        self.mismatches += 1
        if len(self.first) < _SHOWN:
            self.first.append(words)
        count, first = self.by_feature.get(name, (0, words))
        self.by_feature[name] = (count + 1, first)


_WHERE: dict[PathName, str] = {"online": "online", "stream": "in the stream", "back-fill": "after a back-fill"}


def _online(
    case: _Case, offline: list[list[Any]], raised: Mapping[str, None], open_store: OpenStore, tally: _Tally
) -> None:
    """Everything is pushed; then each request is asked alone, in pairs and with many, in order and shuffled."""
    case.served.raised.clear()
    with closing(open_store("online")) as store:
        receive = build_receiver(case.spec, store)
        for name, source in case.sources.items():
            case.push(receive, name, source.to_dicts())
        resolve = build_resolver(case.spec, case.served.functions, store)
        for at in INSTANTS:
            places = [index for index, row in enumerate(case.asked) if row[-1] == at]
            for size in _BATCHES:
                case.ask(resolve, places, at, offline, tally, size)
                case.made.random.shuffle(places)
    tally.compare_raised(raised, case.served.raised)


def _stream(case: _Case, open_store: OpenStore, tally: _Tally) -> None:
    """Pushes and requests come in the order of time: a request sees what was pushed by then, early and late rows too.

    Before each turn of requests some rows come: most at their time, some late, some ahead of it, some again. Between
    turns the store is closed and opened. Offline is given the rows that had come.
    """
    random = case.made.random
    turns = [at for at in sorted(INSTANTS) for _ in range(_ROUNDS)]
    due = {name: _due(case, name, source, turns) for name, source in case.sources.items()}
    waiting: dict[int, list[int]] = {}
    for index, row in enumerate(case.asked):
        turn = turns.index(row[-1]) + random.randrange(_ROUNDS)
        waiting.setdefault(turn, []).append(index)
    rows = {name: source.to_dicts() for name, source in case.sources.items()}
    case.trained.raised.clear()
    case.served.raised.clear()
    store = open_store("stream")
    try:
        receive = build_receiver(case.spec, store)
        resolve = build_resolver(case.spec, case.served.functions, store)
        for turn, at in enumerate(turns):
            for name, times in due.items():
                coming = [row for row, when in zip(rows[name], times, strict=True) if when == turn]
                again = [row for row, when in zip(rows[name], times, strict=True) if when < turn]
                case.push(receive, name, coming + random.sample(again, len(again) // 20))
            if turn % _RESTARTS == _RESTARTS - 1:
                store.close()
                store = open_store("stream")
                receive = build_receiver(case.spec, store)
                resolve = build_resolver(case.spec, case.served.functions, store)
                tally.restarts += 1
            if places := waiting.get(turn):
                here = case.offline([case.asked[index] for index in places], _pushed(case, due, turn), elsewhere=True)
                expected = dict(zip(places, here, strict=True))
                random.shuffle(places)
                case.ask(resolve, places, at, expected, tally, random.choice(_BATCHES))
    finally:
        store.close()
    tally.compare_raised(case.trained.raised, case.served.raised)


def _due(case: _Case, name: str, source: pl.DataFrame, turns: Sequence[datetime]) -> list[int]:
    """Before which turn each row is pushed: most when their time has come, the others later or ahead of it."""
    random, last = case.made.random, len(turns) - 1
    times = {
        part.time
        for part in case.spec.parts
        if (isinstance(part, Windows) and part.source == name) or (isinstance(part, View) and part.name == name)
    }
    known = source[min(times)].to_list() if min(times) else [None] * source.height
    found = []
    for instant in known:
        on_time = random.randrange(last + 1) if instant is None else min(bisect_left(turns, instant), last)
        drawn = random.random()
        if drawn < 0.25:
            on_time += random.randrange(1, 1 + _ROUNDS)
        elif drawn < 0.3:
            on_time = random.randrange(on_time, last + 1)
        elif drawn < 0.4:
            on_time = random.randrange(on_time + 1)
        found.append(min(on_time, last))
    return found


def _pushed(case: _Case, due: Mapping[str, list[int]], turn: int) -> History:
    """The rows that had come by a turn, as tables in another time zone."""

    def come(sources: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        return {n: in_another_zone(source.filter(pl.Series(due[n]) <= turn)) for n, source in sources.items()}

    return History(events=come(case.events), views=come(case.views))


def _back_fill(
    case: _Case,
    offline: list[list[Any]],
    raised: Mapping[str, None],
    open_store: OpenStore,
    tables: Workspace,
    tally: _Tally,
) -> None:
    """The history is loaded from tables in two steps, and then pushed on top of it, which must change nothing."""
    case.served.raised.clear()
    with closing(open_store("back-fill")) as store:
        back_filled(tables, case.spec, store, case.events, case.views, case.made.random)
        resolve = build_resolver(case.spec, case.served.functions, store)
        receive = build_receiver(case.spec, store)
        for is_pushed in (False, True):
            for name, source in case.sources.items() if is_pushed else ():
                case.push(receive, name, source.to_dicts())
            for at in INSTANTS:
                places = [index for index, row in enumerate(case.asked) if row[-1] == at]
                case.ask(resolve, places, at, offline, tally, _BATCHES[-1])
    tally.compare_raised(raised, case.served.raised)
