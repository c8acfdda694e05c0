"""An interval as a line of text, for where no picture can be: a comment on a change, a terminal."""

import math

__all__ = ["interval_text"]


def interval_text(low: float, value: float, high: float, *, reach: float, cells: int = 21) -> str:
    """Zero in the middle, the interval as a line, the value as a dot.

    Args:
        low: The interval's lower bound.
        value: The value.
        high: Its upper bound.
        reach: What the ends of the text stand for: -reach and reach.
        cells: How many letters, an odd number.

    Returns:
        "" where nothing can be drawn.

    Example:
        >>> interval_text(-0.5, 0.5, 1.0, reach=1.0, cells=9)
        '  ──┼─●──'
    """
    if not all(map(math.isfinite, (low, value, high))) or not reach > 0:
        return ""
    middle = cells // 2
    first, at, last = (middle + round(max(-1.0, min(1.0, x / reach)) * middle) for x in (low, value, high))
    line = ["─" if first <= place <= last else " " for place in range(cells)]
    line[middle] = "┼" if first <= middle <= last else "│"
    line[at] = "●"
    return "".join(line)
