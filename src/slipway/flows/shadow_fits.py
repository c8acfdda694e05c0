"""Whether a declared shadow can compare what a version answers."""

from __future__ import annotations

from slipway.errors import InvalidInput
from slipway.models import registry
from slipway.ports.workspace import Workspace
from slipway.records.models import ModelVersion
from slipway.records.rollouts import ShadowSpec

__all__ = ["check_shadow"]


def check_shadow(workspace: Workspace, shadow: ShadowSpec, version: ModelVersion) -> None:
    """Refuse a shadow that could never be decided.

    Raises:
        InvalidInput: It compares by what the version's answers are not.
    """
    bundle = registry.bundle_of(workspace, version)
    task, name = bundle.task, f"{version.name} {version.number}"
    fitting = {"classification": ("brier", "log_loss"), "regression": ("absolute_error", "squared_error")}.get(task, ())
    if shadow.metric not in fitting:
        known = " or ".join(f"metric={metric!r}" for metric in fitting)
        shown = f"Declare sw.Shadow({known}, margin=...), the margin in its unit; or" if fitting else "Declare"
        raise InvalidInput(
            f"{name} is a {task}, and its shadow compares by {shadow.metric!r}.",
            why="It would never be decided: that metric is none of such a model.",
            fix=f"{shown} rollout=[sw.Canary()], or deploy it with --at-once.",
        )
    if shadow.most_flips is not None and bundle.decision.threshold is None:
        raise InvalidInput(
            f"{name} has no threshold, and its shadow is to be stopped by most_flips={shadow.most_flips:g}.",
            why="Without a decision nothing can be decided otherwise.",
            fix="Give the model a threshold, or declare most_moved in place of most_flips.",
        )
