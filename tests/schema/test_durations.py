"""Durations as people write and read them."""

from typing import Any

import pytest

from slipway.errors import InvalidDeclaration
from slipway.schema.durations import in_words, microseconds

HOUR_US = 3_600_000_000


@pytest.mark.parametrize(("written", "hours"), [("30m", 0.5), ("36h", 36), ("12d", 288), ("0d", 0)])
def test_a_duration_is_a_number_and_a_unit(written: str, hours: float) -> None:
    assert microseconds(written) == hours * HOUR_US


@pytest.mark.parametrize("written", ["1 day", "", "-1d", "1.5d", "d", 86400, None, "999999d", "٣d", "1w"])
def test_what_cannot_be_read_says_how_to_write_one(written: Any) -> None:
    with pytest.raises(InvalidDeclaration, match="'6h'"):
        microseconds(written)


@pytest.mark.parametrize(
    ("hours", "words"), [(24, "1 day"), (288, "12 days"), (36, "1.5 days"), (1, "1 hour"), (0.5, "30 minutes"), (0, "0 minutes")]
)  # fmt: skip
def test_a_duration_is_told_in_its_largest_unit(hours: float, words: str) -> None:
    assert in_words(round(hours * HOUR_US)) == words
