"""Served beside offline: equal means the very same bits."""

import math

import numpy as np
import pytest

from slipway.flows.compare import compare_scores

KEYS = ["a", "b", "c"]


def test_equal_scores_are_equal() -> None:
    found = compare_scores(KEYS, np.array([0.1, 0.2, 0.3]), {"a": 0.1, "b": 0.2, "c": 0.3, "never offline": 1.0})
    assert (found.rows, found.equal, found.missing, found.first) == (3, 3, 0, ())
    assert found.sentence == "all 3 served answers equal the offline scores of the same rows, bit for bit"


def test_the_last_bit_counts() -> None:
    served = math.nextafter(0.2, 1)
    found = compare_scores(KEYS, np.array([0.1, 0.2, 0.3]), {"a": 0.1, "b": served, "c": 0.3})
    assert (found.equal, found.first) == (2, (("b", served, 0.2),))
    assert "1 of 3 served answers differ" in found.sentence
    assert repr(served) in found.sentence


def test_rows_that_were_never_served_are_told() -> None:
    found = compare_scores(KEYS, np.array([0.1, 0.2, 0.3]), {"a": 0.1})
    assert (found.rows, found.equal, found.missing) == (1, 1, 2)
    assert "2 rows were never served" in found.sentence
    assert "all" not in found.sentence


def test_nothing_compared_is_not_equal() -> None:
    assert "nothing" in compare_scores([], np.array([]), {}).sentence


def test_keys_and_scores_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        compare_scores(["a", "b"], np.array([0.1]), {})
