"""The trees of scikit-learn and LightGBM in one form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slipway.models.compiled.building import NotCompiled
from slipway.models.compiled.program import Array, Forest

__all__ = ["Tree", "booster_trees", "forest_of", "hist_trees", "plain_trees"]

_MOST_NODES = 3_000_000
_NAN_MISSING, _ZERO_MISSING = 2, 1  # LightGBM's kinds of missing values
_LARGEST_SET = 100_000


class Tree(NamedTuple):
    """One tree: arrays by node, the root first. A leaf's children are itself.

    Args:
        covers: How much of the training data reached a node.
        sets: For nodes that ask for categories: the node and the codes that go left.
    """

    features: NDArray[Any]
    thresholds: NDArray[Any]
    left: NDArray[Any]
    right: NDArray[Any]
    null_left: NDArray[Any]
    values: NDArray[Any]
    covers: NDArray[Any]
    sets: Sequence[tuple[int, Sequence[int]]] = ()


def forest_of(trees: Iterable[Tree], of: int, *, start: float = 0.0, flush: float = 0.0) -> Forest:
    """The step that sums trees.

    Raises:
        NotCompiled: They have too many nodes.
    """
    found = list(trees)
    sizes = [len(tree.features) for tree in found]
    if sum(sizes) > _MOST_NODES:
        raise NotCompiled(f"Its trees have {sum(sizes):,} nodes; at most {_MOST_NODES:,} are compiled.")
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]) if sizes else np.zeros(0)
    sets = [(int(root) + node, codes) for root, tree in zip(roots, found, strict=True) for node, codes in tree.sets]
    most = max((max(codes, default=0) + 1 for _, codes in sets), default=0)
    members = np.zeros((len(sets), most), dtype=bool)
    set_of = np.full(sum(sizes), -1)
    for index, (node, codes) in enumerate(sets):
        members[index, list(codes)] = True
        set_of[node] = index

    def joined(parts: list[NDArray[Any]], dtype: str) -> Array:
        return Array.of(np.concatenate(parts) if parts else np.zeros(0), dtype)

    return Forest(
        of=of,
        features=joined([tree.features for tree in found], "<i4"),
        thresholds=joined([tree.thresholds for tree in found], "<f8"),
        left=joined([tree.left + root for tree, root in zip(found, roots, strict=True)], "<i4"),
        right=joined([tree.right + root for tree, root in zip(found, roots, strict=True)], "<i4"),
        null_left=joined([tree.null_left for tree in found], "|b1"),
        values=joined([tree.values for tree in found], "<f8"),
        roots=Array.of(roots, "<i4"),
        sets=Array.of(members, "|b1"),
        set_of=Array.of(set_of, "<i4"),
        start=start,
        flush=flush,
        covers=_covers(found),
    )


def _covers(trees: list[Tree]) -> Array | None:
    """Numbers of rows or sums of their weights; None where a node has none, or no rows are known to have reached it."""
    if not trees or any(len(tree.covers) != len(tree.features) for tree in trees):
        return None
    covers = np.concatenate([tree.covers for tree in trees]).astype(np.float64)
    if not (np.isfinite(covers) & (covers > 0)).all():
        return None
    is_count = (covers == np.rint(covers)).all() and covers.max() < 2**31
    return Array.of(covers, "<i4" if is_count else "<f8")


def _tree(
    features: Any, thresholds: Any, left: Any, right: Any, null_left: Any, values: Any, covers: Any, leaf: Any,
    sets: Any = (),
) -> Tree:  # fmt: skip
    own = np.arange(len(leaf))
    return Tree(
        np.where(leaf, 0, features),
        np.where(leaf, np.inf, thresholds),
        np.where(leaf, own, left),
        np.where(leaf, own, right),
        np.where(leaf, True, null_left),
        np.where(leaf, values, 0.0),
        np.asarray(covers),
        sets,
    )


def plain_trees(estimators: Iterable[Any], output: int, scale: float = 1.0) -> list[Tree]:
    """The trees of DecisionTree estimators.

    Args:
        estimators: Fitted ones.
        output: Which column of a leaf's values counts: the positive class, or 0 for a regression.
        scale: What their values are multiplied with.
    """
    found = []
    for estimator in estimators:
        tree = estimator.tree_
        leaf = np.asarray(tree.children_left) == -1
        missing = getattr(tree, "missing_go_to_left", np.zeros(len(leaf)))
        found.append(
            _tree(
                tree.feature, tree.threshold, tree.children_left, tree.children_right, np.asarray(missing) != 0,
                tree.value[:, 0, output] * scale, tree.weighted_n_node_samples, leaf,
            )
        )  # fmt: skip
    return found


def hist_trees(predictors: Iterable[Sequence[Any]]) -> list[Tree]:
    """The trees of HistGradientBoosting for one output."""
    found = []
    for (predictor,) in predictors:
        nodes, bits = predictor.nodes, predictor.raw_left_cat_bitsets
        sets = [
            (int(node), _members(bits[nodes["bitset_idx"][node]]))
            for node in np.flatnonzero((nodes["is_categorical"] != 0) & (nodes["is_leaf"] == 0))
        ]
        found.append(
            _tree(
                nodes["feature_idx"].astype(np.int64), nodes["num_threshold"], nodes["left"].astype(np.int64),
                nodes["right"].astype(np.int64), nodes["missing_go_to_left"] != 0, nodes["value"],
                nodes["count"], nodes["is_leaf"] != 0, sets,
            )
        )  # fmt: skip
    return found


def _members(words: Any) -> list[int]:
    """The numbers in a set of 32-bit words."""
    return [32 * i + bit for i, word in enumerate(words) for bit in range(32) if int(word) >> bit & 1]


def booster_trees(text: str) -> tuple[dict[str, str], list[Tree]]:
    """The head and the trees of LightGBM's text format.

    Raises:
        NotCompiled: It has linear trees, or takes 0 for missing.
    """
    head, _, rest = text.partition("\nTree=")
    facts = dict(line.partition("=")[::2] for line in head.splitlines())
    facts["average_output"] = "1" if "average_output" in head.splitlines() else ""
    if not rest:
        return facts, []
    blocks = rest.partition("\nend of trees")[0].split("\nTree=")
    return facts, [_booster_tree(dict(line.partition("=")[::2] for line in block.splitlines())) for block in blocks]


def _booster_tree(facts: dict[str, str]) -> Tree:
    if facts.get("is_linear", "0") == "1":
        raise NotCompiled("The booster has linear trees (linear_tree).")

    def numbers(name: str, kind: type) -> NDArray[Any]:
        return np.array(facts.get(name, "").split(), dtype=kind)

    leaves, inner = numbers("leaf_value", np.float64), numbers("split_feature", np.int64)
    n, m = len(inner), len(leaves)
    if not n:
        zero = np.zeros(1, dtype=np.int64)
        return _tree(zero, zero, zero, zero, zero == 0, leaves[:1], zero + 1, zero == 0)  # all rows reach it
    kinds, thresholds = numbers("decision_type", np.int64), numbers("threshold", np.float64)
    missing, is_set = (kinds >> 2) & 3, (kinds & 1) == 1
    if (missing[~is_set] == _ZERO_MISSING).any():
        raise NotCompiled("The booster takes 0 for missing (zero_as_missing).")
    # Where nothing was missing in training, NaN counts as 0; at a set it goes right.
    null_left = np.where(missing == _NAN_MISSING, (kinds & 2) != 0, thresholds >= 0.0) & ~is_set
    left, right = (numbers(name, np.int64) for name in ("left_child", "right_child"))
    left, right = (np.where(child >= 0, child, n - 1 - child) for child in (left, right))  # leaves behind inner nodes
    ends = numbers("cat_boundaries", np.int64)
    words = numbers("cat_threshold", np.int64)
    sets = []
    for node in np.flatnonzero(is_set):
        start, end = ends[int(thresholds[node])], ends[int(thresholds[node]) + 1]
        codes = _members(words[start:end])
        if max(codes, default=0) > _LARGEST_SET:
            raise NotCompiled("The booster splits by categories with too great codes.")
        sets.append((int(node), codes))
    more = np.zeros(m, dtype=np.int64)
    leaf = np.arange(n + m) >= n
    values = np.concatenate([np.zeros(n), leaves])
    covers = np.concatenate([numbers("internal_count", np.float64), numbers("leaf_count", np.float64)])
    inner, thresholds, left, right, null_left = (
        np.concatenate([part, more]) for part in (inner, thresholds, left, right, null_left)
    )
    return _tree(inner, thresholds, left, right, null_left, values, covers, leaf, sets)
