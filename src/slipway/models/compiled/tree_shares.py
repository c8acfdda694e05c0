"""Shapley values of decision trees, exact, for one row in all trees at once, with NumPy alone.

What is not known of a row is known by where the training rows went: a tree's worth of some inputs follows the row at nodes
that ask for them, and elsewhere goes both ways by the shares of the training rows (path-dependent TreeSHAP: Lundberg et
al. 2020). All columns that are made of one input become known together.

A leaf of value v lies behind nodes of some inputs j: z_j is the product of the shares at the nodes of j, and o_j is 1 where
the row passes all of them, else 0. It adds to input i, over all orders in which inputs become known,

    v (o_i - z_i)  times the integral over t in 0..1 of the product over j other than i of  z_j (1 - t) + o_j t

which is a polynomial in t: Gauss's rule of half as many points as inputs is exact (as Linear TreeSHAP has it: Yu et al.
2022). At each point the products are carried down the trees edge by edge, and the leaves' shares up again: a node costs a
few multiplications a point, whatever its depth, and all nodes of a level are reckoned together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from slipway.models.compiled.forests import Nodes
from slipway.models.compiled.program import Forest, Program
from slipway.models.compiled.running import array_before
from slipway.models.compiled.tracing import Way, inputs_of, way_to_score

__all__ = ["Shares", "TreeShares", "tree_shares"]

_MOST_NODES = 500_000
"""Laid out they take some 150 bytes a node, which stay, and an answer some 50 ms."""
_MOST_CELLS = 20_000_000
"""Nodes of the greatest tree times inputs: four bytes each while the trees are laid out."""
_TOGETHER = 20_000
"""Nodes that are reckoned together: more would not stay in the processor's cache."""
_Floats = NDArray[np.float64]
_Places = NDArray[np.intp]


class TreeShares(NamedTuple):
    """What a score is made of, before its link.

    Args:
        values: What each input adds.
        base: What the trees say where nothing is known.
        link: The link's kind, None where the sum is the score.
    """

    values: _Floats
    base: float
    link: str | None


Shares: TypeAlias = Callable[[Sequence[Any]], TreeShares | None]
"""From a row to what its score is made of; None for rows that the program leaves to the estimator."""


def tree_shares(program: Program) -> Shares | None:
    """What tells the trees' shares of a program; None where it rests on none, or on more than one sum of them."""
    found = [(number, step) for number, step in enumerate(program.steps) if isinstance(step, Forest)]
    if len(found) != 1:
        return None
    number, forest = found[0]
    way = way_to_score(program, number)
    if way is None or forest.covers is None or not _fits(forest, program.inputs):
        return None
    owners = _owners(program, forest)
    return None if owners is None else _Shares(program, forest, owners, way)


def _fits(forest: Forest, inputs: int) -> bool:
    nodes = forest.left.shape[0]
    greatest = int(np.diff(np.append(forest.roots.numpy(), nodes)).max(initial=0))
    return nodes <= _MOST_NODES and greatest * inputs <= _MOST_CELLS


def _owners(program: Program, forest: Forest) -> _Places | None:
    """The input that each column is made of; None where the trees look at a column that is made of several."""
    features, left = forest.features.numpy(), forest.left.numpy()
    used = set(features[left != np.arange(len(left))].tolist())
    inputs = inputs_of(program, forest.of)
    if any(len(inputs[column]) != 1 for column in used):
        return None
    return np.array([min(found, default=0) for found in inputs], dtype=np.intp)


class _Shares:
    """The trees of a program, laid out. Safe for threads."""

    def __init__(self, program: Program, forest: Forest, owners: _Places, way: Way) -> None:
        assert forest.covers is not None
        self._width, self._flush, self._way = program.inputs, forest.flush, way
        self._array = array_before(program, forest.of)
        self._nodes = nodes = Nodes(forest)
        covers = forest.covers.numpy().astype(np.float64)
        sizes = np.diff(np.append(nodes.roots, len(nodes.left)))
        parts = np.cumsum(sizes) // _TOGETHER
        self._lots = [_lot(nodes, covers, owners, nodes.roots[parts == part]) for part in np.unique(parts)]
        self._base = forest.start + sum(lot.base for lot in self._lots)

    def __call__(self, row: Sequence[Any]) -> TreeShares | None:
        found = self._array(row)
        if found is None:
            return None
        x = np.asarray(found[0], dtype=np.float64)
        if self._flush:
            x = np.where(np.abs(x) <= self._flush, 0.0, x)
        total = np.zeros(self._width)
        for lot in self._lots:
            shares = _shares(lot, self._nodes, x)
            total += np.bincount(lot.players, weights=shares, minlength=self._width)
        factor, offset, link = self._way
        return TreeShares(total * factor, self._base * factor + offset, link)


class _Lot(NamedTuple):
    """Some trees, each node at a place: the roots first, then level by level all left children and all right ones.

    Args:
        asking: Inner nodes by their numbers in the forest, in order of place.
        columns: What these look at.
        levels: For each level below the roots: its first place, that of its right children, and its end.
        above: For each level the places of the parents, in the order of its left children and of its right ones alike.
        parents: Behind the roots, for each place: which of `asking` is its parent.
        is_left: Behind the roots, for each place: whether it is the left child.
        near: For each place the nearest edge above it whose node asks for the same input; 0 for none.
        players: For each place the input that the node above asks for; 0 at the roots, which share nothing.
        shares: z, of all edges of that input so far.
        values: Of the leaves, 0 elsewhere.
        points: Gauss's, in 0..1.
        weights: Of these.
        unknown: z (1 - t) for each place and point.
        base: What the trees say on average.
    """

    asking: _Places
    columns: _Places
    levels: tuple[tuple[int, int, int], ...]
    above: tuple[_Places, ...]
    parents: _Places
    is_left: NDArray[np.bool_]
    near: _Places
    players: _Places
    shares: _Floats
    values: _Floats
    points: _Floats
    weights: _Floats
    unknown: _Floats
    base: float


def _lot(nodes: Nodes, covers: _Floats, owners: _Places, roots: _Places) -> _Lot:
    """Lay trees out level by level."""
    none, zeros = np.zeros(0, dtype=np.intp), np.zeros(len(roots), dtype=np.intp)
    last = np.zeros((len(roots), int(owners.max(initial=0)) + 1), dtype=np.int32)  # the nearest edge of each input
    at, start, base, most = roots, 0, 0.0, 0
    reach, counts, shares = np.ones(len(roots)), zeros, np.ones(len(roots))
    placed, near, players, asking, parents, above = [roots], [zeros], [zeros], [none], [none], list[_Places]()
    levels: list[tuple[int, int, int]] = []
    asked = 0
    while True:
        is_leaf = nodes.is_leaf[at]
        base += float((reach * nodes.values[at])[is_leaf].sum())
        most = max(most, int(counts.max(initial=0)))
        inner = np.flatnonzero(~is_leaf)
        if not len(inner):
            break
        both = np.concatenate([inner, inner])
        above.append(inner + start)
        asking.append(at[inner])
        parents.append(asked + np.tile(np.arange(len(inner)), 2))
        asked += len(inner)
        start += len(at)
        levels.append((start, start + len(inner), start + len(both)))
        children = np.concatenate([nodes.left[at[inner]], nodes.right[at[inner]]])
        player, part = owners[nodes.features[at[both]]], covers[children] / covers[at[both]]
        lane, last = np.arange(len(both)), last[both]
        before = last[lane, player].astype(np.intp)
        last[lane, player] = start + lane
        at, reach, counts = children, reach[both] * part, counts[both] + (before == 0)
        shares = np.concatenate([shares, part * shares[before]])
        placed.append(children)
        near.append(before)
        players.append(player)
    order, asks = np.concatenate(placed), np.concatenate(asking)
    sides = [np.repeat([True, False], (middle - first, end - middle)) for first, middle, end in levels]
    points, weights = np.polynomial.legendre.leggauss(max(1, (most + 1) // 2))
    points, weights = (points + 1) / 2, weights / 2
    return _Lot(
        asks, nodes.features[asks], tuple(levels), tuple(above), np.concatenate(parents),
        np.concatenate([none.astype(bool), *sides]), np.concatenate(near), np.concatenate(players), shares,
        np.where(nodes.is_leaf[order], nodes.values[order], 0.0), points, weights, np.outer(shares, 1 - points), base,
    )  # fmt: skip


def _shares(lot: _Lot, nodes: Nodes, x: _Floats) -> _Floats:
    """What the edge above each place adds to its input, for one row."""
    found = x.take(lot.columns)
    left = nodes.go_left(lot.asking, found, bool(np.isnan(found).any()))
    roots = len(lot.shares) - len(lot.parents)
    passed = np.ones(len(lot.shares), dtype=bool)
    np.equal(left.take(lot.parents), lot.is_left, out=passed[roots:])
    for first, _, end in lot.levels:
        passed[first:end] &= passed.take(lot.near[first:end])
    factors = lot.unknown + np.multiply.outer(passed, lot.points)
    steps = factors / factors.take(lot.near, axis=0)
    for (first, middle, end), parents in zip(lot.levels, lot.above, strict=True):
        product = steps.take(parents, axis=0)
        steps[first:middle] *= product
        steps[middle:end] *= product
    below = np.multiply(steps, lot.values[:, None], out=steps)
    for (first, middle, end), parents in zip(reversed(lot.levels), reversed(lot.above), strict=True):
        below[parents] = below[first:middle] + below[middle:end]
    gains = (passed - lot.shares)[:, None] / factors
    gains -= gains.take(lot.near, axis=0)
    told: _Floats = np.einsum("nq,nq,q->n", below, gains, lot.weights)
    return told
