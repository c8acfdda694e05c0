"""Which format keeps which estimator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from slipway.errors import InvalidDeclaration, InvalidInput
from slipway.plugins import load, names
from slipway.ports.model_format import ModelFormat

__all__ = ["format_for", "format_named"]


def format_for(estimator: Any, *, trust_pickle: bool, trust: Sequence[str] = (), plugin: str = "") -> ModelFormat:
    """The safest format that keeps an estimator, judged by where its classes come from.

    Args:
        estimator: A fitted one.
        trust_pickle: Whether a person said that a pickle may be loaded.
        trust: Full names of types that may be loaded, beside those of the frameworks.
        plugin: The name of the installed plug-in that keeps it, "" for a format of Slipway's own.

    Raises:
        InvalidDeclaration: The plug-in is none.
        NotFound: No installed package brings the plug-in.
        InvalidInput: It is of no known framework, and nobody trusts its class; or it has no `predict`.
    """
    if plugin:
        if plugin in names("format"):
            raise InvalidDeclaration(
                f"sw.Model was given format={plugin!r}, which is Slipway's own.",
                fix="Leave it out: the format follows from the estimator's class.",
            )
        return format_named(plugin)
    if isinstance(estimator, bytes | bytearray | str | Path):
        return format_named("onnx")  # a file, or the bytes of one
    homes = {cls.__module__.partition(".")[0] for cls in type(estimator).__mro__}
    if "lightgbm" in homes:
        return format_named("lightgbm")
    if "xgboost" in homes:
        return format_named("xgboost")
    if "onnx" in homes:
        return format_named("onnx")
    if "torch" in homes and not trust_pickle:
        return format_named("torch")
    if trust_pickle:
        return format_named("pickle")
    if "sklearn" in homes:
        return format_named("skops")
    name = f"{type(estimator).__module__}.{type(estimator).__qualname__}"
    if not callable(getattr(estimator, "predict", None)) and not callable(getattr(estimator, "predict_proba", None)):
        raise InvalidInput(
            f"A {name} has no predict and no predict_proba.",
            why="A model is asked by one of them: rows in, one value a row out.",
            fix="Give the fitted estimator, or an object of a class with `def predict(self, rows)`.",
        )
    if name in trust:
        return format_named("skops")
    raise InvalidInput(
        f"A {name} is of no framework that Slipway knows.",
        why="Loading it runs the code of its class, in the endpoint too, so somebody must trust that class.",
        fix=f"Read it, then say so: sw.Model(..., trust=[{name!r}]); or trust_pickle=True, if skops cannot keep what it holds.",
    )


def format_named(name: str) -> ModelFormat:
    """The format with a name.

    Raises:
        NotFound: There is none.
        MissingExtra: Its framework is not installed.
    """
    return cast("ModelFormat", load("format", name)())
