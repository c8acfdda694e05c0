"""What a request looks up: one question to the online store for each key, and what its answers mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Any

from slipway.features.defaults import defaults_of
from slipway.features.states import empty_state, finisher, key_encoder, restore, stored_view_of, stream_of
from slipway.ports.online_store import Asked, FoundRow, OnlineStore, ViewsAsked, WindowsAsked
from slipway.records.features import FeatureSetSpec, View, Windows, WindowState
from slipway.records.feeds import AGE_MAX, AGE_REST, AGE_SUM, LOOKED_UP, NOT_FOUND, NULLS, TOO_OLD, feed_of

__all__ = ["Cells", "Fill", "LookUp", "filled_by", "look_ups_of"]

Row = list[Any]
Cells = MutableSequence[int] | memoryview
_GREATEST = 2**64 - 1
_COUNTED = 8  # keys of one request: shares need no more, and many would cost a large request a tenth of its time
_Values = Callable[[Sequence[Any], int], Iterable[Sequence[Any]]]
Fill = Callable[[list[Row], int], None]
"""Adds to each row, as of a decision time, the values that are looked up for it."""


@dataclass(frozen=True, slots=True)
class LookUp:
    """What a request looks up under one key: a question for the store, and what its answer means.

    Args:
        names: The values that it adds to a row.
        key: The places of the key's columns in a row.
        encode: The key as text.
        ask: The question, without the keys.
        values: Each key's values, out of the store's answer and the decision time.
        nothing: The values of a row without a key.
    """

    names: list[str]
    key: list[int]
    encode: Callable[[Sequence[Any]], str | None]
    ask: WindowsAsked | ViewsAsked
    values: Callable[[Sequence[Any], int], Iterable[Sequence[Any]]]
    nothing: Sequence[Any]

    def texts(self, rows: Sequence[Row]) -> list[str | None]:
        """Each row's key as text."""
        encode, key = self.encode, self.key
        return [encode([row[place] for place in key]) for row in rows]

    def fill(
        self, rows: Sequence[Row], texts: Sequence[str | None], keys: Sequence[str], values: Iterable[Any]
    ) -> None:
        """Add to each row the values of its key."""
        known: dict[str | None, Sequence[Any]] = {None: self.nothing}
        known.update(zip(keys, values, strict=True))
        for row, text in zip(rows, texts, strict=True):
            row += known[text]


def filled_by(look_ups: Sequence[LookUp], store: OnlineStore) -> Fill:
    """How rows get the values of a set's look-ups, all of one moment of the store."""
    return _alone(look_ups[0], store) if len(look_ups) == 1 else _together(look_ups, store)


def _alone(look_up: LookUp, store: OnlineStore) -> Fill:
    asked = look_up.ask

    def fill(rows: list[Row], at_us: int) -> None:
        texts = look_up.texts(rows)
        keys = [text for text in dict.fromkeys(texts) if text is not None]
        found: Sequence[Any] = ()
        if keys and isinstance(asked, ViewsAsked):
            found = store.view_rows(asked.views, keys, at_us)
        elif keys and isinstance(asked, WindowsAsked):
            found = store.window_states(asked.stream, keys, at_us, asked.widths_us)
        look_up.fill(rows, texts, keys, look_up.values(found, at_us))

    return fill


def _together(look_ups: Sequence[LookUp], store: OnlineStore) -> Fill:

    def fill(rows: list[Row], at_us: int) -> None:
        texts = [look_up.texts(rows) for look_up in look_ups]
        keys = [[text for text in dict.fromkeys(some) if text is not None] for some in texts]
        asked: list[Asked] = [one.ask._replace(keys=some) for one, some in zip(look_ups, keys, strict=True)]
        found = store.look_up(asked, at_us)
        for look_up, some, ours, answer in zip(look_ups, texts, keys, found, strict=True):
            look_up.fill(rows, some, ours, look_up.values(answer, at_us))

    return fill


def look_ups_of(
    spec: FeatureSetSpec, places: Mapping[str, int], cells: Mapping[str, Cells] | None = None
) -> list[LookUp]:
    """The look-ups that a request needs.

    Args:
        spec: The feature set.
        places: Where the request's fields are in a row.
        cells: Where what was found is counted, by the key of the feed; see `records.feeds`.
    """
    made = []
    by_entity: dict[tuple[Any, ...], list[View]] = {}
    for part in spec.parts:
        if isinstance(part, Windows):
            made.append(_windows_of(part, places, cells[feed_of(part).key] if cells else None))
        elif isinstance(part, View):
            by_entity.setdefault((part.entity, part.entity_types), []).append(part)
    for (entity, types), views in by_entity.items():
        names = [f"{view.name}_{f.name}" for view in views for f in view.fields]
        ask = ViewsAsked(tuple([stored_view_of(view).name for view in views]), ())
        key = [places[name] for name in entity]
        nothing = [value for view in views for value in defaults_of(view)]
        values = _values_of_views(views)
        if cells:
            values = _counting_views(values, [(view.ttl_us, cells[feed_of(view).key]) for view in views])
        made.append(LookUp(names, key, key_encoder(types), ask, values, nothing))
    return made


def _windows_of(windows: Windows, places: Mapping[str, int], cells: Cells | None) -> LookUp:
    """How the windows' values are looked up; windows of a row without a key hold nothing."""
    stream = stream_of(windows)
    widths = sorted({aggregate.width_us for aggregate in windows.aggregates})
    finish = finisher(windows, stream, widths)
    return LookUp(
        names=[f"{windows.name}_{aggregate.name}" for aggregate in windows.aggregates],
        key=[places[name] for name in windows.by],
        encode=key_encoder(windows.key_types),
        ask=WindowsAsked(stream.name, (), widths),
        values=(lambda states, at_us: map(finish, states)) if cells is None else _counting_windows(finish, cells),
        nothing=finish([empty_state(stream)] * len(widths)),
    )


def _values_of_views(views: Sequence[View]) -> _Values:
    """What the rows of views that share their entity mean at a decision time."""
    plan = [(view.ttl_us, defaults_of(view), _restored(view)) for view in views]

    def values_of(rows: Sequence[FoundRow | None], at_us: int) -> list[Any]:
        found: list[Any] = []
        for row, (ttl_us, missing, restored) in zip(rows, plan, strict=True):
            if row is None or (ttl_us is not None and at_us - row[0] > ttl_us):
                found += missing
            elif restored:
                values = list(row[1])
                for index, change in restored:
                    values[index] = None if values[index] is None else change(values[index])
                found += values
            else:
                found += row[1]
        return found

    return lambda answer, at_us: [values_of(rows, at_us) for rows in answer]


def _counting_views(values: _Values, plan: Sequence[tuple[int | None, Cells]]) -> _Values:
    """The same, with what was found counted: the time of a request goes into it, so it is done in few steps."""

    def counted(answer: Sequence[Any], at_us: int) -> Iterable[Sequence[Any]]:
        for rows in answer if len(answer) <= _COUNTED else answer[:: len(answer) // _COUNTED + 1]:
            for row, (ttl_us, cells) in zip(rows, plan, strict=True):
                cells[LOOKED_UP] += 1
                if row is None:
                    cells[NOT_FOUND] += 1
                    continue
                age = at_us - row[0] if row[0] else 0  # facts without time have none
                seconds, rest = divmod(age, 1_000_000)
                cells[AGE_SUM] = min(cells[AGE_SUM] + seconds, _GREATEST)
                cells[AGE_REST] += rest
                if age > cells[AGE_MAX]:
                    cells[AGE_MAX] = age
                if ttl_us is not None and age > ttl_us:
                    cells[TOO_OLD] += 1
                if None in row[1]:
                    for index, value in enumerate(row[1], NULLS):
                        if value is None:
                            cells[index] += 1
        return values(answer, at_us)

    return counted


def _counting_windows(finish: Callable[[Sequence[WindowState]], list[Any]], cells: Cells) -> _Values:
    def counted(answer: Sequence[Any], at_us: int) -> Iterable[Sequence[Any]]:
        found = list(map(finish, answer))
        stride = len(answer) // _COUNTED + 1 if len(answer) > _COUNTED else 1
        for states, values in zip(answer[::stride], found[::stride], strict=True):
            cells[LOOKED_UP] += 1
            if not states[-1].rows:
                cells[NOT_FOUND] += 1
            if None in values:
                for index, value in enumerate(values, NULLS):
                    if value is None:
                        cells[index] += 1
        return found

    return counted


def _restored(view: View) -> list[tuple[int, Callable[[Any], Any]]]:
    """Which of a view's values change when they come back, and how."""
    return [(index, change) for index, f in enumerate(view.fields) if (change := restore(f.type)) is not None]
