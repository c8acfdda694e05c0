"""Log a model: two lines after a fit, from any notebook."""

from __future__ import annotations

from typing import Any

from slipway.flows.package import package
from slipway.models.model import Model
from slipway.ports.workspace import Workspace
from slipway.records.models import ModelVersion
from slipway.records.runs import Run

__all__ = ["log_model"]


def log_model(
    workspace: Workspace, run: Run, estimator: Any, *, sample: Any, name: str, **options: Any
) -> ModelVersion:
    """Package a fitted estimator, prove the package answers alike, and register it.

    Args:
        workspace: Where it goes.
        run: The run that made it.
        estimator: The fitted estimator, or a `sw.Model`.
        sample: Rows that it was fitted on: they give names, types and missing values of its inputs.
        name: The model's name.
        **options: What `sw.Model` takes besides: decision, task, trust, trust_pickle.

    Raises:
        InvalidInput: The estimator cannot be served, or the package does not answer as it does.
    """
    model = estimator if isinstance(estimator, Model) else Model(estimator, sample=sample, **options)
    return package(workspace, model, run, name=name)
