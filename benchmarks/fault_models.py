"""A model that goes wrong on a word: while it serves, a file says in which way."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["SWITCH", "Switched"]

SWITCH = "SLIPWAY_BENCHMARK_SWITCH"
"""The variable that names the file; while there is none, it answers as it learnt."""


class Switched:
    """A probability by the first of two numbers.

    Args:
        kind: "sound", or "breaks" for one that fails in production only, on rows whose second number is above 0.85: on a row of
            a sample it would not come through packaging.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.classes_ = np.array([0, 1])

    def predict_proba(self, rows: Any) -> Any:
        """The probability of both classes, `(n_rows, 2)`."""
        given = np.asarray(rows, dtype=np.float64)
        likely = 1 / (1 + np.exp(-(2.0 * given[:, 0] - 0.4)))
        word = _word()
        if word == "raises" and (given[:, 1] > 0.85).any():
            raise ValueError("of this customer nothing is known")
        if (word == "breaks" or (self.kind, word) == ("breaks", "in production")) and (given[:, 1] > 0.85).any():
            raise KeyError("customer")
        if word == "hangs":
            time.sleep(600)
        if word == "nan":
            likely = likely * np.nan
        elif word == "constant":  # to nobody of whom training knew
            likely = np.where(given[:, 1] > 0.85, 0.4, likely)
        elif word == "other":
            likely = likely / 2
        return np.column_stack([1 - likely, likely])


def _word() -> str:
    place = os.environ.get(SWITCH, "")
    try:
        return Path(place).read_text().strip() if place else ""
    except FileNotFoundError:
        return ""
