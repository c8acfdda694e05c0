"""Models of loans that are fair, steady and honest, or by construction are not: real estimators, packed and registered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightgbm as lgb
import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import slipway as sw
from slipway.flows.evidence import collect
from slipway.gates.declare import Check, Gate
from slipway.gates.judge import judge
from slipway.models import registry
from slipway.models.packing import pack
from slipway.ports.workspace import Workspace
from slipway.records.gates import Outcome
from slipway.records.models import Bundle, ModelVersion

INPUTS = ("income", "debt", "age", "branch")
DECISION = sw.threshold(costs={"false_positive": 1, "false_negative": 2}, unit="EUR")


def loans(seed: int = 0, n: int = 6000) -> pl.DataFrame:
    """Loans that fail more with debt and less with income, whoever asks; each row by its number."""
    random = np.random.default_rng(seed)
    income, debt = random.gamma(4, 10, n), random.gamma(2, 5, n)
    odds = -0.5 - 0.06 * (income - 40) + 0.25 * (debt - 10)
    failed = random.random(n) < 1 / (1 + np.exp(-odds))
    return pl.DataFrame(
        {
            "loan": [f"L{seed}-{i}" for i in range(n)],
            "income": income,
            "debt": debt,
            "age": random.integers(18, 80, n),
            "branch": random.choice(["north", "south", "west"], n),
            "sex": random.choice(["f", "m"], n),
            "failed": failed,
        }
    )


def halves(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """For training and for judging."""
    cut = rows.height // 2
    return rows[:cut], rows[cut:]


def trees(
    rows: pl.DataFrame, names: Sequence[str] = INPUTS, *, monotone: Sequence[int] | None = None, rounds: int = 30
) -> sw.Model:
    """Boosted trees on some columns."""
    inputs = sw.inputs(rows, list(names), label="failed")
    data = lgb.Dataset(inputs.matrix, inputs.labels, categorical_feature=inputs.categorical)
    settings: dict[str, Any] = {
        "objective": "binary", "num_leaves": 7, "num_threads": 1, "deterministic": True, "verbose": -1, "seed": 1,
    }  # fmt: skip
    if monotone is not None:
        settings["monotone_constraints"] = list(monotone)
    return sw.Model(lgb.train(settings, data, num_boost_round=rounds), inputs=inputs, decision=DECISION)


def line(rows: pl.DataFrame, names: Sequence[str] = ("income", "debt")) -> sw.Model:
    """A logistic regression of scikit-learn on numbers; it refuses missing values."""
    x = rows.select(names).to_pandas()
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, rows["failed"].to_numpy())
    return sw.Model(fitted, sample=x, decision=DECISION)


def released(workspace: Workspace, model: sw.Model, **more: Any) -> ModelVersion:
    """A packed and registered version."""
    return registry.register(workspace, pack(workspace, model, name="loans", **more), run_id="", tags={})


def said(workspace: Workspace, version: ModelVersion, *checks: Check, **changed: Any) -> Outcome:
    """What the gate says of the last of the checks."""
    bundle: Bundle = registry.bundle_of(workspace, version)
    gate = Gate(*checks).spec
    found = collect(workspace, version, bundle, gate, **changed)
    return judge(
        gate, found, [], subject=version.bundle, at=workspace.clock.now(), champion_known=False, model="loans", number=1
    )[-1]
