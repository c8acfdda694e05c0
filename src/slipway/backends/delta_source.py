"""Delta tables as a source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from slipway.backends.delta_table import DeltaTables
from slipway.backends.source_rows import newer
from slipway.errors import Corrupt, InvalidInput, Unavailable
from slipway.ports.source import Ask, Reading, masked, resolved
from slipway.records.sources import DeltaSource

__all__ = ["DeltaReader"]


class DeltaReader:
    """See `Source`. What is read is one version: writers may go on meanwhile.

    Args:
        spec: The declaration.
        folder: Where relative paths begin.
    """

    def __init__(self, spec: DeltaSource, folder: Path) -> None:
        self._spec = spec
        self._folder = folder

    def read(self, ask: Ask, scratch: Path) -> Reading | None:
        """See `Source.read`."""
        path = resolved(self._spec.path)
        address = path if "://" in path else str(self._folder / path)
        name = self._spec.path if path != self._spec.path else masked(path)
        try:
            found = DeltaTables().open(address, self._spec.version)
        except Corrupt as problem:
            raise InvalidInput(problem.what, why=problem.why, fix=problem.fix) from problem
        marker = f"version {found.number}, {found.digest}"
        if marker == ask.marker:
            return None
        rows = newer(found.rows, ask, name)
        return Reading(rows=rows, digest=found.digest, marker=marker, check=_there(found.files, name))


def _there(files: Sequence[Path], name: str) -> Callable[[], None]:
    def check() -> None:
        gone = [path for path in files if not path.is_file()]
        if gone:
            raise Unavailable(
                f"The Delta table {name} was vacuumed while it was read: {len(gone):,} of {len(files):,} files are gone.",
                fix="Read it again.",
            )

    return check
