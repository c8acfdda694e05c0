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
    from slipway.tables import versions as versions

_HOMES = {
    "certificate": "slipway.features.certificate",
    "training": "slipway.features.training",
    "versions": "slipway.tables.versions",
}
__all__ = ["certificate", "training", "versions"]


def __getattr__(name: str) -> ModuleType:
    """What a light declaration reaches only when it is used on data, and training only when it proves."""
    if name in _HOMES:
        return import_module(_HOMES[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
