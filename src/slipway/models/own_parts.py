"""Classes and functions of the project that an estimator consists of: their code travels with the model.

Both skops and pickle keep names of classes, and import them when a model is loaded. An endpoint does not have the project.
So what an estimator needs of it is taken out, as it is for features and `prepare`, and lies signed in the bundle; it is
imported from there, apart from other modules of the same names.
"""

from __future__ import annotations

import io
import pickle
import sys
from pathlib import Path
from types import FunctionType
from typing import Any

from slipway import code
from slipway.code.libraries import is_standard
from slipway.code.project import is_installed, is_slipway
from slipway.errors import InvalidInput
from slipway.models.own_code import OWN

__all__ = ["save_own"]


def save_own(estimator: Any, folder: Path) -> None:
    """Write the code of the project's parts of an estimator into `folder/own`, where it has any.

    Raises:
        InvalidInput: One is defined where nothing can import it: in a notebook's cell, or in a script that is run.
        InvalidDeclaration: One cannot be taken out of the project; the sentence says why.
    """
    parts = _own_parts(estimator)
    for name, text in (code.extract(parts) if parts else {}).items():
        target = folder / OWN / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def _own_parts(estimator: Any) -> list[Any]:
    found = _Parts()
    try:
        found.dump(estimator)
    except (pickle.PicklingError, TypeError, AttributeError):
        if not found.parts:  # what cannot be kept is said when it is saved
            return []
    for part in found.parts.values():
        if part.__module__ == "__main__":
            raise InvalidInput(
                f"The model holds {part.__qualname__}, which is defined in a notebook's cell or in the script that is run.",
                why="An endpoint imports it by the name of its module, and `__main__` is another one there.",
                fix=f"Move it into a module, import it from there and fit again: from my_model import {part.__qualname__.partition('.')[0]}",
            )
    return list(found.parts.values())


class _Parts(pickle.Pickler):
    """Notes the classes and functions that come up when an object is pickled. The bytes are thrown away."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), protocol=5)
        self.parts: dict[tuple[str, str], Any] = {}

    def reducer_override(self, value: Any) -> Any:
        """Look at whatever is about to be pickled, and leave it to the usual way."""
        part = value if isinstance(value, type | FunctionType) else type(value)
        if _is_own(part):
            self.parts.setdefault((part.__module__, part.__qualname__), part)
        return NotImplemented


def _is_own(part: Any) -> bool:
    name = getattr(part, "__module__", None)
    if name == "__main__":
        return True
    module = sys.modules.get(name or "")
    if module is None or getattr(module, "__file__", None) is None:
        return False
    return not (is_installed(module) or is_slipway(name or "") or is_standard(name or ""))
