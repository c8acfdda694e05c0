"""LightGBM's trees on rows of which it holds one part at a time, where it cannot hold all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import lightgbm
import numpy as np

from slipway.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["lightgbm_in_parts"]

_SEEDS = ("seed", "random_seed", "random_state")
_KINDS = ("boosting", "boosting_type", "boost")
_END, _FIRST = "end of trees\n", "Tree=0\n"
_SAMPLED = 200_000  # as many rows as LightGBM itself takes its bins from


class _Inputs(Protocol):
    @property
    def matrix(self) -> Any: ...
    @property
    def labels(self) -> NDArray[np.float64] | None: ...
    @property
    def categorical(self) -> list[int]: ...
    def batches(self) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]: ...
    def parts(self, count: int, *, seed: int = 0) -> Iterator[Any]: ...


def lightgbm_in_parts(
    settings: Mapping[str, Any], inputs: _Inputs, num_boost_round: int = 100, *, parts: int, seed: int = 0
) -> lightgbm.Booster:
    """Train LightGBM on rows of which it holds one part at a time.

    Each row is in one part, by chance. The first part teaches the first trees, the next part the next ones, which go on
    from the scores of those before: stochastic gradient boosting, whose sample is drawn anew for every few trees and not
    for each. The booster is another one than `lightgbm.train` gives of all rows at once; compare their evaluations.

    Source: J. Friedman, Stochastic gradient boosting, 2002.

    Args:
        settings: LightGBM's parameters, of a booster with one score a row. From the second part on their `seed` is
            another one for each, so that features and rows are not sampled alike.
        inputs: What `sw.inputs(rows, ..., label=...)` gives, of a frame or of batches.
        num_boost_round: How many trees, over all parts.
        parts: How many parts. LightGBM holds about 90 bytes a row of one part where there are 36 inputs.
        seed: Of the chance.

    Returns:
        The booster, without the rows.

    Raises:
        InvalidInput: The label is missing, there are more parts than trees or rows, or the trees do not follow each other
            (`boosting` is "dart" or "rf").

    Example:
        >>> booster = sw.lightgbm_in_parts({"objective": "binary"}, inputs, 120, parts=6)  # doctest: +SKIP
    """
    _check(settings, num_boost_round, parts)
    bins = _dataset(next(inputs.parts(max(len(inputs.matrix) // _SAMPLED, 1), seed=seed)), settings)
    text = ""
    for number, part in enumerate(inputs.parts(parts, seed=seed)):
        rounds = (number + 1) * num_boost_round // parts - number * num_boost_round // parts
        data = _dataset(part, settings, bins, _scores(text, part) if text else None)
        booster = lightgbm.train(_reseeded(settings, number), data, rounds)
        text = _joined(text, booster.model_to_string())
        del data, booster, part  # before the next part is read
    return lightgbm.Booster(model_str=text)


def _check(settings: Mapping[str, Any], rounds: int, parts: int) -> None:
    if isinstance(parts, bool) or not isinstance(parts, int) or not 1 <= parts <= rounds:
        raise InvalidInput(
            f"{rounds} trees cannot learn from {parts!r} parts.",
            why="Each part teaches at least one tree.",
            fix=f"Give a whole number of parts from 1 to {rounds}.",
            field="parts",
        )
    kind = next((str(settings[name]) for name in _KINDS if name in settings), "gbdt")
    if kind not in ("gbdt", "gbrt"):
        raise InvalidInput(
            f"LightGBM's {kind!r} cannot learn in parts.",
            why="Its trees do not just add to those before them.",
            fix="Use boosting='gbdt', LightGBM's default.",
            field="boosting",
        )


def _dataset(
    part: _Inputs,
    settings: Mapping[str, Any],
    bins: lightgbm.Dataset | None = None,
    scores: NDArray[np.float64] | None = None,
) -> lightgbm.Dataset:
    labels = part.labels
    if labels is None:
        raise InvalidInput(
            "The inputs have no label.", fix="Name it: sw.inputs(rows, features, label='late').", field="label"
        )
    given = {"reference": bins, "init_score": scores, "categorical_feature": part.categorical, "params": dict(settings)}
    return lightgbm.Dataset(part.matrix, labels, **given).construct()


def _scores(text: str, part: _Inputs) -> NDArray[np.float64]:
    """What the trees so far give the part's rows, before any link function."""
    booster, found, start = lightgbm.Booster(model_str=text), np.empty(len(part.matrix)), 0
    for rows, _ in part.batches():
        found[start : start + len(rows)] = booster.predict(rows, raw_score=True, num_threads=1)
        start += len(rows)
    return found


def _reseeded(settings: Mapping[str, Any], number: int) -> dict[str, Any]:
    if not number:
        return dict(settings)
    own = {name: value for name, value in settings.items() if name not in _SEEDS}
    return own | {"seed": next((int(settings[name]) for name in _SEEDS if name in settings), 0) + number}


def _joined(text: str, more: str) -> str:
    """Both boosters' trees in one: LightGBM joins boosters itself only where it reads all rows for their scores.

    Without the line `tree_sizes`, which is there to read a file faster, LightGBM reads the trees one after the other.
    """
    if not text:
        return re.sub(r"^tree_sizes=.*\n", "", more, flags=re.M)
    head, _, tail = text.partition(_END)
    count = head.count("\nTree=")
    trees = _FIRST + more.partition(_FIRST)[2].partition(_END)[0]
    return (
        head + re.sub(r"^Tree=(\d+)$", lambda found: f"Tree={int(found[1]) + count}", trees, flags=re.M) + _END + tail
    )
