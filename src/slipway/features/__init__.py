"""Features: scalar functions, windows, feature views, and feature sets of them; one definition for every path.

Owns the declarations, the point-in-time join, the exact states that offline and online share, materialising into an
online store and the skew certificate. Does not own tables, models or endpoints. Called by projects (declarations), by
flows and by the endpoint's host. Declarations and the online path load no Polars.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import slipway.features.certificate as certificate
    import slipway.features.training as training

__all__ = ["certificate", "training"]


def __getattr__(name: str) -> ModuleType:
    """`training`, which a light declaration reaches only when it is used on data, and what it reaches itself."""
    if name in __all__:
        return import_module(f"slipway.features.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
