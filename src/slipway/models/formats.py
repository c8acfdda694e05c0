"""Which format keeps which estimator."""

from __future__ import annotations

from typing import Any, cast

from slipway.errors import InvalidInput
from slipway.plugins import load
from slipway.ports.model_format import ModelFormat

__all__ = ["format_for", "format_named"]


def format_for(estimator: Any, *, trust_pickle: bool) -> ModelFormat:
    """The safest format that keeps an estimator, judged by where its classes come from.

    Raises:
        InvalidInput: Only a pickle could keep it, and nobody said that pickles may be trusted.
    """
    homes = {cls.__module__.partition(".")[0] for cls in type(estimator).__mro__}
    if "lightgbm" in homes:
        return format_named("lightgbm")
    if "xgboost" in homes:
        return format_named("xgboost")
    if "torch" in homes and not trust_pickle:
        return format_named("torch")
    if trust_pickle:
        return format_named("pickle")
    if "sklearn" in homes:
        return format_named("skops")
    raise InvalidInput(
        f"A {type(estimator).__module__}.{type(estimator).__qualname__} can only be kept as a pickle.",
        why="Loading a pickle may run any code, so Slipway never chooses it by itself.",
        fix="Say sw.Model(..., trust_pickle=True) if you trust where it comes from, or use LightGBM, XGBoost, PyTorch or scikit-learn.",
    )


def format_named(name: str) -> ModelFormat:
    """The format with a name.

    Raises:
        NotFound: There is none.
        MissingExtra: Its framework is not installed.
    """
    return cast("ModelFormat", load("format", name)())
