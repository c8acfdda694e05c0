"""Histograms as small as a word: bars in a line of text, and as SVG for a table's cell."""

from collections.abc import Sequence

from slipway.charts.svg import ACCENT, Svg, document, element

__all__ = ["spark_bars", "spark_text"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDTH, _HEIGHT = 100.0, 22.0


def spark_text(counts: Sequence[int]) -> str:
    """Bars as letters, the highest a full block; a stretch without rows is a blank.

    Example:
        >>> spark_text([1, 4, 8, 0, 2])
        '▁▄█ ▂'
    """
    most = max(counts, default=0)
    if most <= 0:
        return ""
    return "".join(" " if count <= 0 else _BLOCKS[max(0, -(-count * len(_BLOCKS) // most) - 1)] for count in counts)


def spark_bars(counts: Sequence[int], *, title: str) -> str:
    """Bars for a table's cell: a fixed small size, no axes. The title says what is seen.

    Args:
        counts: Rows a bar.
        title: Read aloud in its place.

    Returns:
        An SVG element; "" where there is nothing to draw.
    """
    most = max(counts, default=0)
    if most <= 0:
        return ""
    step = _WIDTH / len(counts)
    gap = min(1.0, step / 5)
    bars: list[Svg] = []
    for place, count in enumerate(counts):
        tall = 0.0 if count <= 0 else max(1.0, count / most * _HEIGHT)
        bars.append(element("rect", x=place * step, y=_HEIGHT - tall, width=step - gap, height=tall, fill=ACCENT))
    return document("spark", title, _HEIGHT, *bars, width=_WIDTH, is_fixed=True)
