"""What an estimator of scikit-learn or LightGBM consists of: its class, its parameters, and all that fitting gave it.

These classes are written to be pickled, so that what they hand to `pickle` is all that their methods can read. Nothing is
pickled here: the parts are looked at one by one, and what is unknown among them has no fingerprint.
"""

from types import BuiltinFunctionType, FunctionType
from typing import Any

__all__ = ["is_estimator_part", "name_of", "state_of"]

_HOMES = frozenset({"sklearn", "lightgbm", "scipy"})
_FUNCTIONS = (FunctionType, BuiltinFunctionType)
_KNOWN = (*_HOMES, "numpy", "builtins", "collections", "copyreg", "functools")


def is_estimator_part(value: object) -> bool:
    """Whether it is an instance of one of these libraries' own classes, or of numpy's random states."""
    kind = type(value)
    home = kind.__module__.partition(".")[0]
    if isinstance(value, type):
        return False
    return (home in _HOMES and kind not in _FUNCTIONS) or kind.__module__.startswith("numpy.random")


_TREE_ITEMS = 13
_TREE_COUNTERS = range(7, 11)  # trims, leaves, splits and calls, as sklearn.neighbors._binary_tree has them


def state_of(value: Any) -> tuple[Any, ...]:
    """What it hands to `pickle`: how it is made, out of what, and what it then holds.

    A tree of neighbours counts its questions, and hands that to `pickle` too: it is no state, for no answer depends on it.
    """
    reduced = value.__reduce_ex__(4)
    if isinstance(reduced, str):
        return (reduced,)
    if hasattr(value, "reset_n_calls") and len(reduced) > 2 and len(reduced[2]) == _TREE_ITEMS:
        made, given, held, *rest = reduced
        reduced = (made, given, tuple(item for place, item in enumerate(held) if place not in _TREE_COUNTERS), *rest)
    return tuple(list(part) if index in (3, 4) and part is not None else part for index, part in enumerate(reduced))


def name_of(value: Any) -> str | None:
    """The name of a class or function of an installed library, which stands for it; None for anything else."""
    is_function = type(value).__name__ in ("ufunc", "cython_function_or_method", "cyfunction")
    if isinstance(value, type | FunctionType | BuiltinFunctionType) or is_function:
        home = str(getattr(value, "__module__", None) or "numpy")
        if home.partition(".")[0] in _KNOWN:
            return f"{home}:{getattr(value, '__qualname__', value.__name__)}"
    if type(value).__module__.partition(".")[0] == "numpy" and type(value).__name__.endswith("DType"):
        return f"dtype {value.str}"
    if type(value) is slice:
        return repr(value)
    return None
