"""Encoders of single columns as look-ups, found by asking them.

What an encoder, or a chain of them, makes of one column does not depend on the others; so its answers for every value it
knows, for null and for a value it never saw are all that it can say. Asking the fitted encoders themselves spares this
module their many parameters: drop, min_frequency, encoded_missing_value, the numbers a target gave each category.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slipway.models.compiled import program as steps
from slipway.models.compiled.building import Block, Builder, NotCompiled, Raw, kind_of, name_of, range_of
from slipway.models.compiled.program import Array, CellKind, Key
from slipway.schema.encoding import is_null

__all__ = ["ENCODERS", "IMPUTER", "look_up"]

ENCODERS = ("OneHotEncoder", "OrdinalEncoder", "TargetEncoder")
IMPUTER = "SimpleImputer"
_MOST_CELLS = 2_000_000
_NEVER_SEEN = "slipway: never seen"
_REFUSALS = (ValueError, TypeError, KeyError)
_Floats = NDArray[Any]
_Ask = Callable[[list[list[Any]]], _Floats]


class _Column(NamedTuple):
    """One column's answers: for each known value, for null and for another, each None where it is refused."""

    kind: CellKind | Literal["text"]
    keys: list[Key]
    known: _Floats
    null: _Floats | None
    other: _Floats | None


def look_up(builder: Builder, value: Raw | Block, parts: Sequence[Any]) -> Block:
    """The steps that do what a chain of encoders does.

    Args:
        builder: Gets the steps.
        value: What the first of the chain is given.
        parts: Fitted encoders and imputers of single columns.

    Raises:
        NotCompiled: A column's answers depend on another column, or there are too many of them.
    """
    label = " and ".join(type(part).__name__ for part in parts)
    width = len(value.columns) if isinstance(value, Raw) else value.width
    ask = _asker(builder, value, parts)
    kinds = [_kind(builder, value, index) for index in range(width)]
    domains = [_domain(builder, value, parts, index, kinds[index], label) for index in range(width)]
    base: list[Any] = [next(iter(domain), None) for domain in domains]
    rows = [[*base[:i], key, *base[i + 1 :]] for i, domain in enumerate(domains) for key in domain] or [base]
    try:
        answers = ask(rows)
    except _REFUSALS as problem:
        raise NotCompiled(f"{label} refuses values that it was fitted on: {problem}") from problem
    if answers.size > 20 * _MOST_CELLS:
        raise NotCompiled(f"{label} makes {answers.shape[1]} columns of {len(rows)} values, too many to look up.")
    columns, start = [], 0
    for index, domain in enumerate(domains):
        known = answers[start : start + len(domain)]
        start += len(domain)
        null = _alone(ask, [*base[:index], None, *base[index + 1 :]])
        unseen = _unseen(kinds[index], domain)
        other = None if unseen is None else _alone(ask, [*base[:index], unseen, *base[index + 1 :]])
        columns.append(_Column(kinds[index], domain, known, null, other))
    return _tables(builder, value, columns, answers[:1] if domains and domains[0] else ask([base]), label)


def _tables(builder: Builder, value: Raw | Block, columns: Sequence[_Column], base: _Floats, label: str) -> Block:
    """Give each column the outputs that change with it; an output that changes with two is none's."""
    owners = [_changed(column, base[0]) for column in columns]
    total = base.shape[1]
    owned = np.zeros(total, dtype=int)
    for mine in owners:
        owned += mine
    if (owned > 1).any():
        raise NotCompiled(f"{label} makes a column out of several.")
    owners[0] |= owned == 0  # what never changes comes with the first column
    single = base.dtype == np.float32
    orders = [np.flatnonzero(mine) for mine in owners]
    blocks = []
    for index, (column, order) in enumerate(zip(columns, orders, strict=True)):
        if column.known.shape[0] * len(order) > _MOST_CELLS:
            raise NotCompiled(f"{label} makes {len(order)} columns of {len(column.keys)} values, too many to look up.")
        if isinstance(value, Raw):
            blocks.append(_table(builder, value.columns[index], column, order, single))
    if isinstance(value, Block):
        blocks = [_on_block(builder, value, columns, orders, single)]
    back = np.argsort(np.concatenate(orders), kind="stable")
    # A column that no output depends on still declines what the encoder refuses: its table is of width 0.
    joined = builder.add(steps.Join(tuple(b.number for b in blocks)), total, single)
    return builder.pick(joined, back.tolist())


def _rows_of(column: _Column, mine: NDArray[np.intp]) -> _Floats:
    empty = np.zeros((1, len(mine)))
    ends = [empty if found is None else found[:, mine] for found in (column.null, column.other)]
    return np.concatenate([column.known[:, mine], *ends])


def _table(builder: Builder, place: int, column: _Column, mine: NDArray[np.intp], single: bool) -> Block:
    step = steps.Table(
        place,
        column.kind,
        tuple(column.keys),
        Array.of(_rows_of(column, mine), "<f4" if single else "<f8"),
        column.null is not None,
        column.other is not None,
        range_of(builder.layout[place].dtype),
    )
    return builder.add(step, len(mine), single)


def _on_block(
    builder: Builder, value: Block, columns: Sequence[_Column], orders: Sequence[NDArray[np.intp]], single: bool
) -> Block:
    keys, rows = [], []
    for column, mine in zip(columns, orders, strict=True):
        order = np.argsort(np.array(column.keys, dtype=np.float64))
        found = _rows_of(column, mine)
        rows.append(Array.of(np.concatenate([found[order], found[-2:]]), "<f4" if single else "<f8"))
        keys.append(Array.of(np.array(column.keys, dtype=np.float64)[order]))
    null, other = (tuple(part is not None for part in parts) for parts in zip(*((c.null, c.other) for c in columns), strict=True))  # fmt: skip
    checked = builder.check(value, nan=True)
    step = steps.Lookup(checked.number, tuple(keys), tuple(rows), null, other)
    return builder.add(step, sum(len(mine) for mine in orders), single)


def _changed(column: _Column, base: _Floats) -> NDArray[np.bool_]:
    found = [part for part in (column.known, column.null, column.other) if part is not None]
    answers = np.concatenate(found) if found else base[None]
    same = (answers == base) | (np.isnan(answers) & np.isnan(base))
    changed: NDArray[np.bool_] = ~same.all(axis=0)
    return changed


def _asker(builder: Builder, value: Raw | Block, parts: Sequence[Any]) -> _Ask:
    layout = [builder.layout[index] for index in value.columns] if isinstance(value, Raw) else ()
    known = [found for part in parts for found in getattr(part, "categories_", ())]
    objects = any(found.dtype == object for found in known)

    def ask(rows: list[list[Any]]) -> _Floats:
        if isinstance(value, Raw):
            x = builder.frame(layout, rows)
        else:
            x = np.array(rows, dtype=np.float32 if value.single else np.float64)
            x = x.astype(object) if objects else x
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an unknown category, on purpose
            for part in parts:
                x = part.transform(x)
        found = np.asarray(x.toarray() if hasattr(x, "toarray") else x)
        return found if found.dtype == np.float32 else found.astype(np.float64)

    return ask


def _alone(ask: _Ask, row: list[Any]) -> _Floats | None:
    try:
        return ask([row])
    except _REFUSALS:
        return None


def _kind(builder: Builder, value: Raw | Block, index: int) -> CellKind | Literal["text"]:
    if isinstance(value, Block):
        return "float"
    place = value.columns[index]
    return kind_of(builder.fields[place], builder.layout[place].dtype) or "text"


def _domain(builder: Builder, value: Raw | Block, parts: Sequence[Any], index: int, kind: str, label: str) -> list[Key]:
    """The values of a column that a chain of encoders may treat in a way of their own, in an order that stays."""
    found: list[Any] = [True, False] if kind == "bool" else []
    if isinstance(value, Raw):
        found += builder.layout[value.columns[index]].categories
    for part in parts:
        if name_of(part) == IMPUTER:
            found += [part.missing_values, part.fill_value, part.statistics_[index]]
            continue
        if len(part.categories_) <= index:
            raise NotCompiled(f"{label} drops a column that was always missing in training.")
        found += list(part.categories_[index])
        break  # what comes behind it sees its codes
    wanted = str if kind == "text" else (bool if kind == "bool" else (int, float))
    keys: dict[Key, None] = {}
    for item in found:
        plain = item.item() if hasattr(item, "item") else item
        if kind == "int" and isinstance(plain, float) and plain.is_integer():
            plain = int(plain)
        if not is_null(plain) and isinstance(plain, wanted) and (kind != "int" or isinstance(plain, int)):
            keys.setdefault(plain)
    return list(keys)


def _unseen(kind: str, domain: Sequence[Any]) -> Key | None:
    if kind == "bool":
        return None
    if kind == "text":
        text = _NEVER_SEEN
        while text in domain:
            text += "."
        return text
    beyond = max((abs(key) for key in domain), default=0) + 1
    return int(beyond) if kind == "int" else float(beyond) + 0.5
