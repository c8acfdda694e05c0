from xml.etree import ElementTree

import pytest

from slipway.charts.sparks import spark_bars, spark_text


@pytest.mark.parametrize(
    ("counts", "shown"), [([], ""), ([0, 0], ""), ([1], "█"), ([1, 1000], "▁█"), ([8, 0, 4, -1], "█ ▄ ")]
)
def test_bars_in_a_line_of_text(counts: list[int], shown: str) -> None:
    assert spark_text(counts) == shown


def test_bars_in_a_cell() -> None:
    drawn = ElementTree.fromstring(spark_bars([1, 0, 4], title="Rows of <x>"))
    heights = [float(bar.get("height", "")) for bar in drawn.iter("{http://www.w3.org/2000/svg}rect")]
    assert heights == [5.5, 0, 22]
    assert drawn[0].text == "Rows of <x>"
    assert spark_bars([0], title="nothing") == ""
