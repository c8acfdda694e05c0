"""Asking many decision trees at once with NumPy, for a row and for many.

Small trees are asked as QuickScorer does it. A tree's leaves are the bits of a word; a comparison that sends the row right
strikes its left leaves off, and the first leaf that is left over is the answer. All comparisons of one column are ordered
by their thresholds: the rank of the row's value among them says which of them send it right, and what those strike off,
in every tree, is one row of a table made when the model is loaded. So a row costs one look-up a column, whatever the
trees' depth. Trees of more leaves are walked down level by level, all rows in all trees together.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slipway.models.compiled.program import Forest

__all__ = ["Group", "Looked", "Nodes", "Question", "Trees", "is_looked_up"]

_LEAVES = 64
_TREES = 128  # in one table
_FEW = 8  # rows, up to which each is ranked by itself
_MOST_NODES = 200_000  # that are looked up: a table takes half a kilobyte a node
_ROWS = 256  # that are looked up at once
_LANES = 50_000  # rows times trees that walk at once
_CROWDED = 2_000  # lanes, from which those that arrived are taken out
_HALF = 32  # leaves, up to which half a word is enough
_ALL = 2**64 - 1
_MANTISSA, _BIAS = 52, 1023  # of float64: behind the one lie the bits of the exponent
_Floats = NDArray[Any]
_Places = NDArray[np.intp]


class Looked(NamedTuple):
    """Columns that come out of one look-up: what they are is known by the row of its table.

    Args:
        columns: Their numbers in the forest.
        rows: What they hold, by the table's row.
    """

    columns: tuple[int, ...]
    rows: _Floats


def is_looked_up(forest: Forest) -> bool:
    """Whether its trees are small and few enough to be looked up; only then it may be given rows of tables."""
    return _fits(Nodes(forest))


class Trees:
    """From an array of shape `(n_rows, width)` to the trees' sum, of shape `(n_rows, 1)`.

    Args:
        forest: The trees.
        looked: Columns that are not in the array; it then takes the rows of their tables too, one list each.

    Attributes:
        start: What the sum starts from.
        flush: Values as near to 0 as this count as 0.
        groups: The tables of trees that are looked up, None where they are walked.
    """

    def __init__(self, forest: Forest, looked: Sequence[Looked] = ()) -> None:
        nodes = Nodes(forest)
        self.start, self.flush = forest.start, forest.flush
        self.groups = _groups_of(nodes, looked) if _fits(nodes) else None
        self._walk = nodes.values_of
        self._size = _ROWS if self.groups is not None else max(1, _LANES // len(nodes.roots))

    def __call__(self, x: _Floats, *places: Sequence[int]) -> _Floats:
        """The sum of each row."""
        x, size = np.ascontiguousarray(x, dtype=np.float64), self._size
        if self.flush:
            x = np.where(np.abs(x) <= self.flush, 0.0, x)
        if len(x) <= size:
            return _sum(self._values(x, places), self.start)
        parts = [slice(first, first + size) for first in range(0, len(x), size)]
        return np.concatenate(
            [_sum(self._values(x[part], [each[part] for each in places]), self.start) for part in parts]
        )

    def _values(self, x: _Floats, places: Sequence[Sequence[int]]) -> _Floats:
        if self.groups is None:
            return self._walk(x)
        has_null = len(x) > _FEW and bool(np.isnan(x).any())
        found = [group(x, places, has_null) for group in self.groups]
        return found[0] if len(found) == 1 else np.concatenate(found, axis=1)


def _fits(nodes: Nodes) -> bool:
    return nodes.most_leaves <= _LEAVES and len(nodes.left) <= _MOST_NODES


def _sum(values: _Floats, start: float) -> _Floats:
    """The sum of each row, one after the other: NumPy's own sum along a row adds by halves and differs in the last bits."""
    if start:
        values[:, 0] += start
    if len(values) <= _FEW:
        found: _Floats = values.cumsum(axis=1)[:, -1:]
        return found
    # All rows at once, tree by tree: whole arrays are added one after the other.
    total: _Floats = np.add.reduce(np.ascontiguousarray(values.T), axis=0)[:, None]
    return total


class Nodes:
    """The nodes of all trees, and the way down them."""

    def __init__(self, forest: Forest) -> None:
        self.features = forest.features.numpy().astype(np.intp)
        self.thresholds = forest.thresholds.numpy()
        self.left, self.right = forest.left.numpy().astype(np.intp), forest.right.numpy().astype(np.intp)
        self.null_left = forest.null_left.numpy()
        self.values = forest.values.numpy()
        self.roots = forest.roots.numpy().astype(np.intp)
        self.set_of = forest.set_of.numpy().astype(np.intp)
        # The last column holds for codes that are in no set, the last row is never asked for itself.
        self.sets = np.pad(forest.sets.numpy(), ((0, 1), (0, 1)))
        self.has_sets = bool((self.set_of >= 0).any())
        self.children = np.stack([self.right, self.left], axis=1).ravel()
        self.is_leaf = self.left == np.arange(len(self.left))
        ends = np.append(self.roots[1:], len(self.left))
        leaves = [int(self.is_leaf[start:end].sum()) for start, end in zip(self.roots, ends, strict=True)]
        self.most_leaves = max(leaves, default=0)

    def values_of(self, x: _Floats) -> _Floats:
        """The value of each tree for each row, by walking: shape `(n_rows, n_trees)`."""
        (n, width), trees = x.shape, len(self.roots)
        flat, has_null = x.ravel(), bool(np.isnan(x).any())
        nodes, first = np.tile(self.roots, n), np.repeat(np.arange(n) * width, trees)
        ends, lanes = nodes.copy(), np.arange(n * trees)
        while True:
            on_way = ~self.is_leaf.take(nodes)
            if not on_way.any():
                break
            if len(lanes) > _CROWDED:
                ends[lanes] = nodes
                lanes, nodes, first = lanes[on_way], nodes[on_way], first[on_way]
            found = flat.take(self.features.take(nodes) + first)
            nodes = self.children.take(nodes * 2 + self.go_left(nodes, found, has_null))
        ends[lanes] = nodes
        return self.values.take(ends).reshape(n, trees)

    def go_left(self, nodes: _Places, found: _Floats, has_null: bool) -> NDArray[np.bool_]:
        """Which of some nodes send the values that they look at to the left."""
        left: NDArray[np.bool_] = found <= self.thresholds.take(nodes)
        if self.has_sets:
            sets = self.set_of.take(nodes)
            left = np.where(sets >= 0, self.sets[sets, self.codes(found)], left)
        if has_null:
            left = np.where(np.isnan(found), self.null_left.take(nodes), left)
        return left

    def codes(self, found: _Floats) -> _Places:
        """Values cut to whole numbers; those that can be in no set are the last column's."""
        none = self.sets.shape[1] - 1
        whole = np.trunc(found)
        return np.where((whole >= 0) & (whole < none), whole, none).astype(np.intp)


class Question(NamedTuple):
    """All comparisons of one column in some trees.

    Args:
        column: Which one.
        edges: The thresholds, ascending; () where codes are compared with sets.
        ranks: `edges` for look-ups of many values.
        codes: How many codes there are, 0 for thresholds.
        start: The first of its rows in the table: by rank or code, then for other codes, then for NaN.
        null: The row for NaN.
    """

    column: int
    edges: list[float]
    ranks: _Floats
    codes: int
    start: int
    null: int

    def row(self, value: float) -> int:
        """Which row of the table holds for a value."""
        if value != value:
            return self.null
        if self.codes:
            return self.start + (int(value) if -1 < value < self.codes else self.codes)
        return self.start + bisect_left(self.edges, value)

    def rows(self, values: _Floats, has_null: bool) -> _Places:
        """As `row`, for many."""
        if self.codes:
            inside = (values > -1) & (values < self.codes)
            found = np.where(inside, np.trunc(np.where(inside, values, 0)), self.codes).astype(np.intp)
        else:
            found = np.searchsorted(self.ranks, values, side="left")
        found += self.start
        if has_null:
            found[np.isnan(values)] = self.null
        return found


def _groups_of(nodes: Nodes, looked: Sequence[Looked]) -> list[Group]:
    return [Group(nodes, nodes.roots[first : first + _TREES], looked) for first in range(0, len(nodes.roots), _TREES)]


class Group:
    """The table of what is struck off some trees of at most 64 leaves.

    Attributes:
        questions: What is asked of numbers.
        starts: Which of the looked-up columns it asks for, and the first of their rows in the table.
    """

    def __init__(self, nodes: Nodes, roots: _Places, looked: Sequence[Looked]) -> None:
        struck: dict[tuple[int, bool], list[tuple[int, int, int]]] = {}
        leaves: list[float] = []
        offsets = []
        for tree, root in enumerate(roots.tolist()):
            offsets.append(len(leaves))
            for node, mask in _strikes(nodes, root, leaves):
                key = (int(nodes.features[node]), bool(nodes.set_of[node] >= 0))
                struck.setdefault(key, []).append((node, tree, mask))
        self._offsets, self._leaves = np.array(offsets) - _BIAS, np.array(leaves)
        most = int(np.diff([*offsets, len(leaves)]).max())
        self._word: type[np.unsignedinteger[Any]] = np.uint32 if most <= _HALF else np.uint64
        asked: list[tuple[Question, NDArray[Any]]] = []
        for (column, is_set), found in sorted(struck.items()):
            edges = [] if is_set else sorted({float(nodes.thresholds[node]) for node, _, _ in found})
            codes = nodes.sets.shape[1] - 1 if is_set else 0
            rows = (codes if is_set else len(edges)) + 2
            part = _table(nodes, found, edges, codes, (rows, len(roots)), self._word)
            asked.append((Question(column, edges, np.array(edges), codes, 0, rows - 1), part))
        self._gather(asked, looked, len(roots))

    def _gather(self, asked: list[tuple[Question, NDArray[Any]]], looked: Sequence[Looked], trees: int) -> None:
        """One table of all questions; those of columns that one look-up makes are answered once for each of its rows."""
        of = {column: each for each, one in enumerate(looked) for column in one.columns}
        parts: list[NDArray[Any]] = []
        self.questions: list[Question] = []
        self.starts: list[tuple[int, int]] = []
        start = 0
        for question, part in asked:
            if question.column not in of:
                self.questions.append(question._replace(start=start, null=start + question.null))
                parts.append(part)
                start += len(part)
        for each, one in enumerate(looked):
            mine = [(question, part) for question, part in asked if of.get(question.column) == each]
            if mine:
                words = np.full((len(one.rows), trees), np.iinfo(self._word).max, dtype=self._word)
                for question, part in mine:
                    values = one.rows[:, one.columns.index(question.column)]
                    words &= part[[question.row(value) for value in values.tolist()]]
                self.starts.append((each, start))
                parts.append(words)
                start += len(words)
        # Trees that ask nothing have one leaf, the first.
        self._table = (
            np.concatenate(parts) if parts else np.full((1, trees), np.iinfo(self._word).max, dtype=self._word)
        )

    def __call__(self, x: _Floats, places: Sequence[Sequence[int]], has_null: bool) -> _Floats:
        """The value of each tree for each row."""
        if not self.questions and not self.starts:
            words = self._table.repeat(len(x), axis=0)
        elif len(x) <= _FEW:
            questions, starts = self.questions, self.starts
            words = np.empty((len(x), len(self._offsets)), dtype=self._word)
            for index, row in enumerate(x.tolist()):
                chosen = [question.row(row[question.column]) for question in questions]
                chosen += [start + places[each][index] for each, start in starts]
                np.bitwise_and.reduce(self._table.take(chosen, axis=0), axis=0, out=words[index])
        else:
            words = self._words(x, places, has_null)
        return self._leaves_of(words)

    def values_of(self, chosen: list[int]) -> _Floats:
        """The value of each tree for one row, by the rows of the table that hold for it."""
        words: NDArray[Any] = np.bitwise_and.reduce(self._table.take(chosen, axis=0))
        return self._leaves_of(words)

    def _leaves_of(self, words: NDArray[Any]) -> _Floats:
        words &= -words  # the lowest bit alone: a power of two, whose exponent is the leaf's number
        leaf = words.astype(np.float64).view(np.int64)
        leaf >>= _MANTISSA
        leaf += self._offsets
        found: _Floats = self._leaves.take(leaf)
        return found

    def _words(self, x: _Floats, places: Sequence[Sequence[int]], has_null: bool) -> NDArray[Any]:
        found = [question.rows(x[:, question.column], has_null) for question in self.questions]
        found += [np.add(places[each], start, dtype=np.intp) for each, start in self.starts]
        words = self._table.take(found[0], axis=0)
        room = np.empty_like(words)
        for rows in found[1:]:
            # Each row is one of the table's; said so ("clip"), NumPy does not look at each of them again.
            words &= self._table.take(rows, axis=0, out=room, mode="clip")
        return words


def _table(
    nodes: Nodes,
    found: Iterable[tuple[int, int, int]],
    edges: list[float],
    codes: int,
    shape: tuple[int, int],
    kind: type[np.unsignedinteger[Any]],
) -> NDArray[Any]:
    """What the comparisons of one column strike off, by the rank or code of its value."""
    table = np.full(shape, np.iinfo(kind).max, dtype=kind)
    places = {edge: place for place, edge in enumerate(edges)}
    for node, tree, mask in found:
        word = kind(mask & int(np.iinfo(kind).max))
        if codes:  # what is not in the set goes right, other codes among them
            table[:-1, tree][~nodes.sets[nodes.set_of[node]]] &= word
        else:  # what is greater than the threshold goes right
            table[places[float(nodes.thresholds[node])] + 1 : -1, tree] &= word
        if not nodes.null_left[node]:
            table[-1, tree] &= word
    return table


def _strikes(nodes: Nodes, root: int, leaves: list[float]) -> list[tuple[int, int]]:
    """Number a tree's leaves from left to right; for each node the word without those on its left side."""
    first, found = len(leaves), []
    stack: list[tuple[int, int]] = [(root, -1)]
    while stack:
        node, started = stack.pop()
        if nodes.is_leaf[node]:
            leaves.append(float(nodes.values[node]))
        elif started < 0:  # before its left side
            stack += [(node, len(leaves) - first), (int(nodes.left[node]), -1)]
        else:  # between its sides: the leaves since then are its left ones
            left = ((1 << (len(leaves) - first)) - 1) & ~((1 << started) - 1)
            found.append((node, ~left & _ALL))
            stack.append((int(nodes.right[node]), -1))
    return found
