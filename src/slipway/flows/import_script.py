"""What a script left behind: the fitted estimators in its names, and rows that they take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipway.errors import InvalidInput, SlipwayError, near
from slipway.flows.import_model import take_columns
from slipway.models.frames import is_frame
from slipway.plugins import load

__all__ = ["fitted_in", "rows_in"]

_LIBRARIES = ("sklearn", "lightgbm", "xgboost")
_FIRST = ("X_train", "X", "X_test", "train", "df", "data")


def fitted_in(names: Mapping[str, Any], model: str = "") -> tuple[str, Any]:
    """The fitted estimator among a script's names.

    Args:
        names: The script's names at its end.
        model: Which one, where there are several.

    Raises:
        InvalidInput: There is none, or there are several and none is named.
    """
    found: dict[str, Any] = {}
    for name, value in names.items():
        if not name.startswith("_") and _is_fitted(value) and not any(value is one for one in found.values()):
            found[name] = value
    if model:
        if model not in found:
            raise InvalidInput(f"The script leaves no fitted {model!r}.", fix=near(model, found, what="models"))
        return model, found[model]
    if len(found) == 1:
        return next(iter(found.items()))
    if not found:
        raise InvalidInput(
            "The script leaves no fitted estimator in a name at its end.",
            why="A model of scikit-learn, LightGBM or XGBoost is looked for among its globals.",
            fix="Let it assign the model outside of functions: model = train()",
        )
    raise InvalidInput(
        f"The script leaves several models: {', '.join(found)}.", fix=f"Say which: --model {next(iter(found))}"
    )


def _is_fitted(value: Any) -> bool:
    if isinstance(value, type) or not callable(getattr(value, "predict", None)):
        return False
    homes = {one.__module__.partition(".")[0] for one in type(value).__mro__}
    if not homes & {*_LIBRARIES}:
        return False
    if hasattr(value, "steps"):  # a pipeline is as fitted as its last step
        return _is_fitted(value.steps[-1][1])
    says = getattr(value, "__sklearn_is_fitted__", None)  # as scikit-learn asks it
    if callable(says):
        return bool(says())
    return not hasattr(value, "fit") or any(name.endswith("_") and not name.startswith("_") for name in vars(value))


def rows_in(names: Mapping[str, Any], model: Any) -> Any:
    """Rows that a model takes, among a script's names: a pandas frame.

    Raises:
        InvalidInput: There are none.
    """
    order = [*(name for name in _FIRST if name in names), *names]
    for name in dict.fromkeys(order):
        value = names[name]
        if type(value).__name__ == "ndarray" and getattr(value, "ndim", 0) == 2 and value.dtype.kind in "biuf":
            value = load("sample", "array")(value)
        if not is_frame(value) or not len(value):
            continue
        try:
            return take_columns(model, load("sample", "frame")(value))
        except SlipwayError:  # not these rows: the next ones
            continue
    raise InvalidInput(
        "The script leaves no rows that its model takes.",
        why="Rows are looked for among its frames and arrays of numbers.",
        fix="Give some: --sample rows.csv",
    )
