"""The project's classes that an estimator consists of, as they lie in a bundle: imported from there while it is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slipway.code.loading import imported_from

__all__ = ["OWN", "own_imports"]

OWN = "own"
"""The folder of a bundle with the code of the project's classes that its estimator consists of."""


@contextmanager
def own_imports(folder: Path) -> Iterator[None]:
    """While an estimator is loaded, the project's modules are those of `folder/own`."""
    if (folder / OWN).is_dir():
        with imported_from(folder / OWN):
            yield
    else:
        yield
