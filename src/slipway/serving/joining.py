"""Does it pay to score the rows of several requests by one call? Asked of the model itself, when it is loaded.

It pays where a call costs much and a row little, as with data frames. It is done only where the sample's rows have the very
same answers alone and together, to the last bit: who else asks must not change an answer.
"""

import time
from collections.abc import Sequence
from typing import Any

from slipway.errors import InvalidInput
from slipway.serving.active import Joining, Predict

__all__ = ["MEASURED_ROWS", "measured"]

MEASURED_ROWS = 16
_LEAST_ROWS = 4
_LEAST_S = 0.0005
_LEAST_GAIN = 2.0
_TRIES = 3


def measured(predict: Predict, rows: Sequence[Sequence[Any]]) -> Joining | None:
    """Measure a model.

    Args:
        predict: The model.
        rows: Some of its reference sample, at most `MEASURED_ROWS`; none where it is compiled, which has cheap calls.

    Returns:
        What was found, None where there was nothing to measure with.
    """
    if len(rows) < _LEAST_ROWS:
        return None
    try:
        one_s, _ = _timed(predict, rows[:1])
        if one_s < _LEAST_S:
            return Joining(False, f"a call costs {one_s * 1e3:.2g} ms only")
        many_s, together = _timed(predict, rows)
        gain = one_s * len(rows) / many_s
        if gain < _LEAST_GAIN:
            return Joining(False, f"{len(rows)} rows cost as much together as {many_s / one_s:.0f} alone")
        alone = [score for row in rows for score in predict([row])]
        halves = [score for half in (rows[:3], rows[3:]) for score in predict(half)]
    except InvalidInput as problem:
        return Joining(False, f"its sample cannot be scored together: {problem.what}")
    if alone != together or halves != together:
        return Joining(False, "a row's answer differs in its last bits with the rows beside it")
    return Joining(True, f"one row costs {one_s * 1e3:.2g} ms, {len(rows)} rows {many_s * 1e3:.2g} ms together")


def _timed(predict: Predict, rows: Sequence[Sequence[Any]]) -> tuple[float, list[float]]:
    """The shortest of some calls: others are interrupted by whatever else the machine does."""
    least, scores = float("inf"), []
    for _ in range(_TRIES):
        begun = time.perf_counter()
        scores = list(predict(rows))
        least = min(least, time.perf_counter() - begun)
    return least, scores
