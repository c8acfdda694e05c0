"""Models for roll-outs that go wrong on purpose: each but the first is bad in one way, once it is asked by live callers."""

import time
from typing import Any

import numpy as np

__all__ = ["KINDS", "Scorer"]

KINDS = ("sound", "equal", "raises", "slow", "constant", "inverted", "costly", "sleeps")
_LIVE = 0.85
_TAKES_S = 0.004


class Scorer:
    """A probability by the first of two numbers; the second is above 1 in no row of a sample, and says how far in it is.

    Args:
        kind: In which way it is bad: "raises" on rows whose second number is above 0.85, "slow" takes five times as long,
            "constant", "inverted", "costly" decides the middling rows wrongly, "sleeps" 40 ms a row; "equal" in none.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.classes_ = np.array([0, 1])

    def predict_proba(self, rows: Any) -> Any:
        """The probability of both classes, `(n_rows, 2)`."""
        given = np.asarray(rows, dtype=np.float64)
        likely = 1 / (1 + np.exp(-(2.0 * given[:, 0] - 0.4)))
        if self.kind != "sleeps":
            time.sleep(_TAKES_S * (5 if self.kind == "slow" else 1))
        elif len(given) < 50:  # not while it is packaged
            time.sleep(0.04 * len(given))
        if self.kind == "raises" and (given[:, 1] > _LIVE).any():
            raise ValueError("of this customer nothing is known")
        if self.kind == "constant":
            likely = 0.4 + 0 * likely  # what is missing stays so: who takes more has another contract
        elif self.kind == "inverted":
            likely = 1 - likely
        elif self.kind == "costly":  # as many scores of each height as before, given to the wrong rows
            likely = np.where(np.abs(likely - 0.5) < 0.35, 1 - likely, likely)
        elif self.kind == "equal":
            likely = likely * 0.999
        return np.column_stack([1 - likely, likely])
