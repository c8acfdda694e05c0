"""Loans that are not paid back, by income and debt: small enough that the work is Slipway's, not the model's."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

import slipway as sw


def rows() -> pd.DataFrame:
    """Six hundred loans with their end."""
    random = np.random.default_rng(5)
    income, debt = random.normal(40, 12, 600).round(2), random.gamma(2, 4, 600).round(2)
    failed = 3 * debt - income + random.normal(0, 8, 600) > -16
    return pd.DataFrame({"income": income, "debt": debt, "failed": failed.astype(int)})


def train(rows: pd.DataFrame) -> LogisticRegression:
    """A plain model."""
    return LogisticRegression().fit(rows[["income", "debt"]], rows["failed"])


loans = sw.endpoint_of(
    "loans", train, rows, label="failed", metric="auc", labels=10_000_000, workers=2, log=sw.Log(sync=True)
)


@sw.step
def counted(number: int) -> int:
    """Something to store."""
    return number + 1


@sw.pipeline
def count(number: int = 0) -> int:
    """One short step, with a result of its own for each number."""
    return counted(number)
