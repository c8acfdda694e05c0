"""LightGBM's boosters as steps, out of their own text."""

from __future__ import annotations

from slipway.models.compiled.building import Block, Builder, NotCompiled
from slipway.models.compiled.trees import booster_trees, forest_of

__all__ = ["booster_raw", "booster_score"]

_NEAR_ZERO = float.fromhex("0x1.a95a5c0000000p-117")  # 1e-35 as float32: LightGBM takes values as near to 0 for 0
_IDENTITY = ("regression", "regression_l1", "huber", "fair", "quantile", "mape")
_EXP = ("poisson", "gamma", "tweedie")


def booster_raw(builder: Builder, block: Block, text: str) -> tuple[Block, list[str]]:
    """The raw score of a booster, and its objective with its parameters.

    Args:
        builder: Gets the steps.
        block: The booster's inputs.
        text: The booster in LightGBM's text format, up to its best iteration.

    Raises:
        NotCompiled: It gives several values, or its trees have no compiled form.
    """
    facts, trees = booster_trees(text)
    if facts.get("num_class", "1") != "1" or facts.get("num_tree_per_iteration", "1") != "1":
        raise NotCompiled("The booster gives several values a row.")
    if not trees:
        raise NotCompiled("The booster has no trees.")
    total = builder.add(forest_of(trees, block.number, flush=_NEAR_ZERO), 1)
    if facts["average_output"]:
        total = builder.arithmetic(total, "divide", float(len(trees)))
    return total, facts.get("objective", "").split() or [""]


def booster_score(builder: Builder, block: Block, text: str) -> Block:
    """The score of a booster; see `booster_raw`.

    Raises:
        NotCompiled: Its objective has no compiled form.
    """
    total, (objective, *parameters) = booster_raw(builder, block, text)
    if objective in ("binary", "cross_entropy"):
        slope = dict(part.partition(":")[::2] for part in parameters).get("sigmoid", "1")
        return builder.link(builder.blend([total], [float(slope)]), "expit")
    if objective in _EXP:
        return builder.link(total, "exp")
    if objective in _IDENTITY:
        return builder.link(total, "signed_square") if "sqrt" in parameters else total
    raise NotCompiled(f"The booster has the objective {objective!r}.")
