"""The code closure: which code of a project a function reaches.

One walk serves two uses: `closure` hashes what is reached, for the keys of caches and the identity of definitions;
`extract` writes it down as reduced modules, for bundles, and `load_extracted` imports these side by side. Owns no
storage and knows no stage. Called by pipelines, features, models and flows.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slipway.code.closures import CodeClosure as CodeClosure
    from slipway.code.closures import closure as closure
    from slipway.code.closures import explain_change as explain_change
    from slipway.code.closures import reference as reference
    from slipway.code.loading import load_extracted as load_extracted
    from slipway.code.reduction import extract as extract

_HOMES = {
    "CodeClosure": "closures",
    "closure": "closures",
    "explain_change": "closures",
    "extract": "reduction",
    "load_extracted": "loading",
    "reference": "closures",
}

__all__ = ["CodeClosure", "closure", "explain_change", "extract", "load_extracted", "reference"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
