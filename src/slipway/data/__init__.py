"""Data: declared tables, their checks, and ingesting them as versions.

`declare` is what projects write (no Polars), `check_run` looks at a frame once for all checks, `ingest` calls a table's
function, reports what it found and commits a version. Storing versions belongs to `tables/`. Called by projects
(declarations) and by flows.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slipway.data import write as write
    from slipway.tables import diffs as diffs
    from slipway.tables import file_folders as file_folders
    from slipway.tables import filesets as filesets
    from slipway.tables import refs as refs
    from slipway.tables import versions as versions

__all__ = ["diffs", "file_folders", "filesets", "refs", "versions", "write"]


def __getattr__(name: str) -> ModuleType:
    """The modules that a light declaration reaches only when it is read or named."""
    if name in __all__:
        return import_module("slipway.data.write" if name == "write" else f"slipway.tables.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
