"""Where the boxes and edges of a directed graph lie: layers from left to right.

Longest-path layering, dummy nodes and median ordering after K. Sugiyama et al., IEEE Transactions on Systems, Man and
Cybernetics 11, 1981, and E. Gansner et al., IEEE Transactions on Software Engineering 19, 1993. An edge over several
layers has a lane of its own (a dummy node) in each layer between, so it never runs behind a box. An edge that would
close a cycle is laid out the other way round.
"""

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["BOX_HEIGHT", "Box", "Layout", "Route", "lay_out"]

BOX_HEIGHT = 40.0
_GAP_ACROSS, _STEEPEST, _MARGIN = 40.0, 3.5, 4.0
_GAP_BOXES, _GAP_LANES = 14.0, 12.0
_SWEEPS = 12


@dataclass(frozen=True)
class Box:
    """A node's box in pixels, from its upper left corner."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Route:
    """An edge: corners in pixels from the side of its source to that of its target.

    From each even corner a curve leads across a gap to the next one; from each odd corner a straight lane leads through
    a layer.
    """

    source: str
    target: str
    corners: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Layout:
    """A graph laid out: boxes by node, routes in the order of the edges, and how many pixels it takes."""

    boxes: dict[str, Box]
    routes: tuple[Route, ...]
    width: float
    height: float


@dataclass(frozen=True)
class _Chains:
    """Places (the nodes, then the dummies) in layers, with their neighbours, and the places along each edge.

    An edge's chain runs from left to right, also where the edge itself was turned.
    """

    nodes: int
    layers: list[list[int]]
    left: list[list[int]]
    right: list[list[int]]
    chains: list[list[int]]

    def is_lane(self, place: int) -> bool:
        return place >= self.nodes


def lay_out(widths: Mapping[str, float], edges: Sequence[tuple[str, str]]) -> Layout:
    """Lay out a graph; the same input always gives the same layout.

    Args:
        widths: The nodes, each with the pixels that its text needs. The boxes of a layer are all as wide as its widest.
        edges: Source and target, both among the nodes. One given twice is laid out once, and an edge from a node to
            itself not at all.
    """
    names = list(widths)
    number = {name: index for index, name in enumerate(names)}
    kept = list(dict.fromkeys((number[a], number[b]) for a, b in edges if a != b))
    turned = _closing_cycles(len(names), kept)
    forward = [(b, a) if (a, b) in turned else (a, b) for a, b in kept]
    chains = _chained(_layered(len(names), forward), forward)
    _order(chains)
    middle = _placed(chains)
    wide = [
        max((widths[names[place]] for place in layer if place < len(names)), default=0.0) for layer in chains.layers
    ]
    left, end = _across(chains, middle, wide)
    boxes, spans = {}, {}
    for depth, layer in enumerate(chains.layers):
        for place in layer:
            spans[place] = (left[depth], left[depth] + wide[depth])
            if not chains.is_lane(place):
                boxes[names[place]] = Box(left[depth], middle[place] - BOX_HEIGHT / 2, wide[depth], BOX_HEIGHT)
    routes = []
    for (source, target), chain in zip(kept, chains.chains, strict=True):
        corners = [(x, middle[place]) for place in chain for x in spans[place]][1:-1]
        if (source, target) in turned:
            corners.reverse()
        routes.append(Route(names[source], names[target], tuple(corners)))
    lowest = max((middle[place] + _half(chains, place) for layer in chains.layers for place in layer), default=0.0)
    return Layout({name: boxes[name] for name in names}, tuple(routes), end + _MARGIN, lowest + _MARGIN)


def _closing_cycles(count: int, edges: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """The edges that lead back to a node from which a depth-first walk is still under way."""
    targets: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        targets[source].append(target)
    found: set[tuple[int, int]] = set()
    seen: set[int] = set()
    under_way: set[int] = set()
    for start in range(count):
        walk = [] if start in seen else [(start, iter(targets[start]))]
        seen.add(start)
        under_way.add(start)
        while walk:
            node, rest = walk[-1]
            for target in rest:
                if target in under_way:
                    found.add((node, target))
                elif target not in seen:
                    seen.add(target)
                    under_way.add(target)
                    walk.append((target, iter(targets[target])))
                    break
            else:
                under_way.discard(node)
                walk.pop()
        under_way.discard(start)
    return found


def _layered(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Each node's layer: as far left as its sources allow, but a node without sources next to its nearest target."""
    targets: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for source, target in edges:
        targets[source].append(target)
        waiting[target] += 1
    first = [node for node in range(count) if not waiting[node]]
    layer, ready = [0] * count, list(first)
    for node in ready:
        for target in targets[node]:
            layer[target] = max(layer[target], layer[node] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    for node in first:
        if targets[node]:
            layer[node] = min(layer[target] for target in targets[node]) - 1
    return layer


def _chained(layer: Sequence[int], edges: Sequence[tuple[int, int]]) -> _Chains:
    """The graph with a dummy in each layer that an edge passes."""
    layers: list[list[int]] = [[] for _ in range(max(layer, default=-1) + 1)]
    for node, depth in enumerate(layer):
        layers[depth].append(node)
    left: list[list[int]] = [[] for _ in layer]
    right: list[list[int]] = [[] for _ in layer]
    chains = []
    for source, target in edges:
        chain = [source]
        for depth in range(layer[source] + 1, layer[target]):
            chain.append(len(left))
            layers[depth].append(len(left))
            left.append([])
            right.append([])
        chain.append(target)
        for one, other in pairwise(chain):
            right[one].append(other)
            left[other].append(one)
        chains.append(chain)
    return _Chains(len(layer), layers, left, right, chains)


def _order(chains: _Chains) -> None:
    """Order each layer by the medians of its neighbours, from left and from right in turn; keep the fewest crossings."""
    best, fewest = [list(layer) for layer in chains.layers], _crossings(chains)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        neighbours, step = (chains.left, 1) if sweep % 2 == 0 else (chains.right, -1)
        for fixed, layer in pairwise(chains.layers[::step]):
            rank = {place: index for index, place in enumerate(fixed)}
            _sort_by_median(layer, neighbours, rank)
        crossings = _crossings(chains)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in chains.layers], crossings
    chains.layers[:] = best


def _sort_by_median(layer: list[int], neighbours: list[list[int]], rank: Mapping[int, int]) -> None:
    """Sort those that have neighbours among the places where they stand; the others keep their own."""
    slots = [index for index, place in enumerate(layer) if neighbours[place]]
    moving = sorted((layer[index] for index in slots), key=lambda place: _median([rank[n] for n in neighbours[place]]))
    for index, place in zip(slots, moving, strict=True):
        layer[index] = place


def _median(values: Sequence[float]) -> float:
    ranked = sorted(values)
    return (ranked[(len(ranked) - 1) // 2] + ranked[len(ranked) // 2]) / 2


def _crossings(chains: _Chains) -> int:
    total = 0
    for one, other in pairwise(chains.layers):
        rank = {place: index for index, place in enumerate(other)}
        seen: list[int] = []
        for place in one:
            ends = [rank[target] for target in chains.right[place]]
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _half(chains: _Chains, place: int) -> float:
    return 0.0 if chains.is_lane(place) else BOX_HEIGHT / 2


def _placed(chains: _Chains) -> list[float]:
    """Each place's middle, top to bottom: edges as straight as the order allows, long ones before short ones.

    Gansner's aim (section 4: the weighted sum of the edges' vertical extents) by sweeps: a layer at a time is placed
    best for its neighbours to the left, to the right, or on both sides. The best of all sweeps counts.
    """
    middle = [0.0] * len(chains.left)
    for layer in chains.layers:
        _spread(chains, layer, [[(0.0, 1.0)] for _ in layer], middle)
    sides: list[tuple[list[list[int]], ...]] = [(chains.left,), (chains.right,), (chains.left, chains.right)]
    best, least = list(middle), float("inf")
    for sweep in range(_SWEEPS):
        for layer in chains.layers[:: -1 if sweep % 3 == 1 else 1]:
            wanted = [
                [(middle[near], _weight(chains, near, place)) for side in sides[sweep % 3] for near in side[place]]
                or [(middle[place], 0.1)]
                for place in layer
            ]
            _spread(chains, layer, wanted, middle)
        extent = sum(
            abs(middle[one] - middle[other]) * _weight(chains, one, other)
            for chain in chains.chains
            for one, other in pairwise(chain)
        )
        if extent < least - 0.01:
            best, least = list(middle), extent
    top = min((best[place] - _half(chains, place) for layer in chains.layers for place in layer), default=0.0)
    return [value - top + _MARGIN for value in best]


def _weight(chains: _Chains, one: int, other: int) -> float:
    return (1.0, 2.0, 8.0)[chains.is_lane(one) + chains.is_lane(other)]


def _spread(
    chains: _Chains, layer: Sequence[int], wanted: Sequence[list[tuple[float, float]]], middle: list[float]
) -> None:
    """The places of a layer in their order, with room between, nearest by weight to where their neighbours want them.

    Isotonic regression by pooling (M. Ayer et al., Annals of Mathematical Statistics 26, 1955), with weighted medians.
    """
    offsets, total = [], 0.0
    for index, place in enumerate(layer):
        if index:
            before = layer[index - 1]
            gap = _GAP_LANES if chains.is_lane(before) and chains.is_lane(place) else _GAP_BOXES
            total += _half(chains, before) + _half(chains, place) + gap
        offsets.append(total)
    blocks: list[tuple[float, int, list[tuple[float, float]]]] = []  # where it lies, how many places, their wishes
    for wishes, offset in zip(wanted, offsets, strict=True):
        pooled, count = sorted((at - offset, weight) for at, weight in wishes), 1
        while blocks and blocks[-1][0] > _weighted_median(pooled):
            _, more, earlier = blocks.pop()
            pooled, count = sorted(earlier + pooled), count + more
        blocks.append((_weighted_median(pooled), count, pooled))
    found = [base for base, count, _ in blocks for _ in range(count)]
    for place, base, offset in zip(layer, found, offsets, strict=True):
        middle[place] = base + offset


def _weighted_median(ranked: Sequence[tuple[float, float]]) -> float:
    """The middle of all values that divide the weights in two halves."""
    half, below = sum(weight for _, weight in ranked) / 2, 0.0
    for index, (value, weight) in enumerate(ranked):
        below += weight
        if abs(below - half) < 1e-9:
            return (value + ranked[index + 1][0]) / 2
        if below > half:
            return value
    return ranked[-1][0]


def _across(chains: _Chains, middle: Sequence[float], wide: Sequence[float]) -> tuple[list[float], float]:
    """Where each layer begins, and where the last one ends: the steeper the edges between two, the wider the gap."""
    left, x = [], _MARGIN
    for depth, layer in enumerate(chains.layers):
        left.append(x)
        x += wide[depth]
        if depth + 1 < len(chains.layers):
            steep = max((abs(middle[a] - middle[b]) for a in layer for b in chains.right[a]), default=0.0)
            x += min(3 * _GAP_ACROSS, max(_GAP_ACROSS, steep / _STEEPEST))
    return left, x
