"""The rows of one version of a table in batches: what a step is given where they are more than memory holds.

A step takes and returns a reference of a few kilobytes. What it stands for is fixed by the version's hash and the chosen
rows' positions, so that no row is read to know it again.
"""

from __future__ import annotations

import atexit
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway import plugins
from slipway.errors import Corrupt, InvalidInput
from slipway.hashing import digest, fingerprint
from slipway.ledger.run_log import current_run
from slipway.ports.workspace import Workspace, current_workspace, workspace
from slipway.records.tables import Manifest, TableVersion
from slipway.tables import catalog, scans, versions
from slipway.tables.commits import again_on_conflict
from slipway.tables.part_cache import part_folder
from slipway.tables.part_folders import PartFolder, table_folder
from slipway.tables.staging import stage

__all__ = ["BATCH_ROWS", "Batches", "Reference", "batches_of", "check_batch_rows", "part_numbers", "referred", "store"]

BATCH_ROWS = 100_000
_KEPT = "slipway:kept"
_STRETCH = 1 << 16
_ATTEMPTS = 5
_REFERENCE_FILE, _CHOSEN_FILE = "batches.json", "chosen.bits"


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a version of a table in the place of its rows.

    Args:
        project: Whose table.
        table: Its name.
        version: The version's hash.
        fingerprint: Of all its rows.
        manifest: Its parts, without their statistics.
        folder: Where these lie on the machine that made the reference.
        place: The URL of the object store that keeps them, "" where the folder does.
    """

    project: str
    table: str
    version: str
    fingerprint: str
    manifest: Manifest
    folder: str
    place: str = ""


def check_batch_rows(given: object) -> None:
    """Refuse what is no number of rows.

    Raises:
        InvalidInput: It is none, or less than 1.
    """
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise InvalidInput(
            f"Batches of {given!r} rows were asked for.",
            why="A batch has at least one row.",
            fix="For example batch_rows=100_000.",
            field="batch_rows",
        )


class Batches:
    """Rows of a stored table. Iterating it gives them in frames, in order, the same ones each time.

    A frame is read when it is asked for, so that going through all of them needs the memory of one. It is a reference to
    a version of a table: a step takes and returns it as such, also where steps run in processes of their own.

    Args:
        reference: Which version, and where its files lie.
        batch_rows: How many rows a frame has; the last one may have fewer.
        chosen: A bit a row of the version, 1 for those that are meant; None for all.

    Attributes:
        table: The table's name.
        version: The version's hash.
        rows: How many rows are meant.
        batch_rows: How many a frame has.

    Example:
        >>> for frame in features.training_batches(flights, label="late"):      # doctest: +SKIP
        ...     print(frame["late"].mean())
    """

    slipway_format = "training-batches"

    def __init__(
        self, reference: Reference, batch_rows: int = BATCH_ROWS, chosen: NDArray[np.uint8] | None = None
    ) -> None:
        check_batch_rows(batch_rows)
        self._reference = reference
        self._chosen = chosen
        self.table = reference.table
        self.version = reference.version
        self.rows = reference.manifest.rows if chosen is None else int(np.bitwise_count(chosen).sum())
        self.batch_rows = batch_rows

    @property
    def fingerprint(self) -> str:
        """The logical fingerprint of the table's rows, and of which of them are meant where that is not all."""
        if self._chosen is None:
            return self._reference.fingerprint
        return fingerprint((self._reference.fingerprint, digest(self._chosen.tobytes())))

    @property
    def node(self) -> str:
        """The version as a lineage node."""
        return catalog.node(self._reference.project, self.table, self.version)

    @property
    def schema(self) -> pl.Schema:
        """Names and types of the columns."""
        return scans.schema_of(self._reference.manifest)

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in order."""
        return self.schema.names()

    @property
    def time(self) -> str:
        """The table's time column, "" for none."""
        return self._reference.manifest.time

    def by(self, batch_rows: int) -> Batches:
        """The same rows in batches of another size.

        Raises:
            InvalidInput: It is less than 1.
        """
        return Batches(self._reference, batch_rows, self._chosen)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        return self.select(None)

    def select(self, columns: list[str] | None) -> Iterator[pl.DataFrame]:
        """The batches with some of the columns, None for all; no other is read."""
        for start in range(0, self.rows, self.batch_rows):
            yield self.slice(start, self.batch_rows, columns)

    def __len__(self) -> int:
        """How many batches there are."""
        return -(-self.rows // self.batch_rows)

    def slice(self, offset: int, length: int, columns: list[str] | None = None) -> pl.DataFrame:
        """Rows from a position on, read from the files that hold them and no others; of the columns all, or some.

        Raises:
            Corrupt: A file is missing or was changed.
        """
        start, stop = min(offset, self.rows), min(offset + length, self.rows)
        if self._chosen is None or start == stop:
            return self._between(start, stop, columns)
        first = int(np.searchsorted(self._before, start, side="right")) - 1
        last = int(np.searchsorted(self._before, stop, side="left"))
        bits = np.unpackbits(self._chosen[first * _STRETCH // 8 : last * _STRETCH // 8])
        places = np.flatnonzero(bits)[start - int(self._before[first]) :][: stop - start] + first * _STRETCH
        low, high = int(places[0]), int(places[-1]) + 1
        frame = self._between(low, high, columns)
        return frame if high - low == stop - start else frame[(places - low).tolist()]

    def lazy(self) -> pl.LazyFrame:
        """All rows, lazily, in order.

        Raises:
            Corrupt: A file is missing or was changed.
        """
        rows = scans.scan_parts(self._folder(), self._reference.manifest, self._words)
        if self._chosen is None:
            return rows
        places = np.flatnonzero(np.unpackbits(self._chosen, count=self._reference.manifest.rows))
        low, high = (int(places[0]), int(places[-1]) + 1) if places.size else (0, 0)
        if high - low == places.size:
            return rows.slice(low, high - low)
        kept = pl.LazyFrame({_KEPT: self._kept})
        return pl.concat([rows, kept], how="horizontal").filter(_KEPT).drop(_KEPT)

    def scan(self) -> pl.LazyFrame:
        """The same as `lazy`."""
        return self.lazy()

    def filter(self, *predicates: pl.Expr) -> Batches:
        """The rows that meet all of some conditions, as `pl.DataFrame.filter` would keep them.

        The columns that the conditions name are read, once, in parts; what is kept of it is a bit a row.

        Raises:
            InvalidInput: A column is missing, or a condition is none.
        """
        try:
            made = self.lazy().with_columns(pl.all_horizontal(*predicates).fill_null(value=False).alias(_KEPT))
            kept = made.select(_KEPT).collect(engine="streaming").to_series()
        except pl.exceptions.PolarsError as problem:
            raise InvalidInput(
                f"The rows of {self.table!r} cannot be filtered: {str(problem).splitlines()[0]}.",
                why=f"Its columns are: {', '.join(self.columns)}.",
                fix="Give conditions on these, for example rows.filter(pl.col('distance') > 100).",
            ) from problem
        found = kept.to_numpy()
        if self._chosen is not None:
            whole = self._kept.to_numpy(writable=True)
            whole[whole] = found
            found = whole
        return Batches(self._reference, self.batch_rows, None if found.all() else np.packbits(found))

    def at(self, places: NDArray[np.bool_]) -> Batches:
        """The rows at some places of the version: one truth value a row of it."""
        return Batches(self._reference, self.batch_rows, np.packbits(places))

    def part(self, number: int, count: int, seed: int = 0) -> Batches:
        """One of so many parts of the rows. Which part a row lies in is chance, the same each time, and reads nothing.

        A part's rows lie among all others: its batches have as many rows fewer, so that no more is read at once.

        Args:
            number: Which part, from 0.
            count: How many there are.
            seed: Of the chance.
        """
        if count == 1:
            return self
        found = np.concatenate(
            [np.empty(0, dtype=bool), *(one == number for one in part_numbers(self.rows, count, seed))]
        )
        if self._chosen is not None:
            whole = self._kept.to_numpy(writable=True)
            whole[whole] = found
            found = whole
        return Batches(self._reference, max(self.batch_rows // count, 1), np.packbits(found))

    def _between(self, start: int, stop: int, columns: list[str] | None) -> pl.DataFrame:
        return scans.rows_between(self._folder(), self._reference.manifest, self._words, start, stop, columns)

    def map(
        self,
        function: Callable[[pl.DataFrame], pl.DataFrame],
        *,
        table: str,
        key: str | Sequence[str] = (),
        time: str = "",
    ) -> Batches:
        """What a function makes of each frame, written as it comes: the content of a table, and a reference to it.

        One frame is in memory. The same rows again are the same version; a run that is only compared makes none.

        Args:
            function: Gives a frame of the same columns for each.
            table: The table's name.
            key: The column or columns that identify a row.
            time: The column of event times, "" for none.

        Raises:
            UserError: No project is open: in a step that runs in a process of its own, for example.
            InvalidInput: The name does not fit, the frames' columns differ, or one cannot be kept.
            BackendError: The disk is full; nothing is visible of it.

        Example:
            >>> rows.map(lambda frame: frame.select("id", score=model.predict(frame)), table="scores")  # doctest: +SKIP
        """
        run = current_run.get()
        is_repeat = run is not None and run.is_repeat
        origin = versions.Origin(
            source=f"batches of {self.table!r}",
            run_id="" if run is None or is_repeat else run.id,
            inputs=(self.node,),
        )
        frames = (function(frame) for frame in (self if self.rows else [self.slice(0, 0)]))
        keys = (key,) if isinstance(key, str) else tuple(key)
        made = store(workspace(), table, frames, key=keys, time=time, origin=origin, is_repeat=is_repeat)
        return made.by(self.batch_rows)

    @cached_property
    def _before(self) -> NDArray[np.int64]:
        """How many chosen rows lie before each stretch of 65,536 rows, and after the last."""
        assert self._chosen is not None, "asked only there"
        each = np.add.reduceat(
            np.bitwise_count(self._chosen), range(0, self._chosen.size, _STRETCH // 8), dtype=np.int64
        )
        return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(each)])

    @property
    def _kept(self) -> pl.Series:
        assert self._chosen is not None, "asked only there"
        return pl.Series(np.unpackbits(self._chosen, count=self._reference.manifest.rows).astype(bool))

    @property
    def _words(self) -> str:
        return f"The stored rows of {self.table!r} ({self.version[:12]})"

    def _folder(self) -> PartFolder:
        opened, kept = current_workspace.get(), self._reference
        if opened is not None:
            return part_folder(opened, kept.table, project=kept.project)
        # A process that runs a step of its own has no store open: the files lie where they lay, or are fetched.
        if not kept.place or Path(kept.folder).is_dir():
            return PartFolder(Path(kept.folder))
        objects: Any = plugins.load("blobs", "objects")(kept.place)
        return PartFolder(_fetched() / kept.project / kept.table, objects.parts(kept.project, kept.table))

    def whole(self) -> Batches:
        """All rows of the version."""
        return Batches(self._reference, self.batch_rows)

    def positions(self) -> NDArray[np.bool_]:
        """For each row of the version whether it is meant."""
        if self._chosen is None:
            return np.ones(self._reference.manifest.rows, dtype=bool)
        return self._kept.to_numpy()

    def slipway_fingerprint(self) -> str:
        """Of which rows are meant, and of the size of batches."""
        return fingerprint((self.fingerprint, self.batch_rows))

    def slipway_save(self, folder: Path) -> None:
        """Keep the reference in a folder; the rows stay where they are."""
        if current_workspace.get() is not None:  # whoever loads it may have no store open
            self.lazy()
        self.keep_in(folder)

    def keep_in(self, folder: Path) -> None:
        """The same, whether the rows are still there or not."""
        opened, kept = current_workspace.get(), self._reference
        if opened is not None:
            here = table_folder(opened, kept.table, project=kept.project).resolve()
            place = str(getattr(opened.blobs, "url", "")) if opened.open_parts else ""
            kept = msgspec.structs.replace(kept, folder=str(here), place=place)
        (folder / _REFERENCE_FILE).write_bytes(msgspec.json.encode((kept, self.batch_rows)))
        if self._chosen is not None:
            (folder / _CHOSEN_FILE).write_bytes(zlib.compress(self._chosen.tobytes(), 1))

    @classmethod
    def slipway_load(cls, folder: Path) -> Batches:
        """What `slipway_save` kept.

        Raises:
            Corrupt: A file of the rows is gone, or what was kept is damaged.
        """
        found = cls.kept_in(folder)
        found.lazy()  # looks for every file
        return found

    @classmethod
    def kept_in(cls, folder: Path) -> Batches:
        """What `slipway_save` kept, whether its rows are still there or not.

        Raises:
            Corrupt: What was kept is damaged.
        """
        written = (folder / _REFERENCE_FILE).read_bytes()
        reference, batch_rows = msgspec.json.decode(written, type=tuple[Reference, int])
        if not (folder / _CHOSEN_FILE).exists():
            return cls(reference, batch_rows)
        chosen = np.frombuffer(zlib.decompress((folder / _CHOSEN_FILE).read_bytes()), dtype=np.uint8)
        if chosen.size != -(-reference.manifest.rows // 8):
            raise Corrupt(f"Which rows of {reference.table!r} are meant was kept for another number of rows.")
        return cls(reference, batch_rows, chosen)

    def __repr__(self) -> str:
        some = "" if self._chosen is None else f" of {self._reference.manifest.rows:,}"
        return f"<{self.table}@{self.version[:12]}: {self.rows:,}{some} rows in {len(self):,} batches>"

    def __reduce__(self) -> tuple[Any, ...]:
        """For engines that carry objects by pickle: the same reference, without what was remembered of it."""
        return Batches, (self._reference, self.batch_rows, self._chosen)


def part_numbers(rows: int, count: int, seed: int) -> Iterator[NDArray[np.uint32]]:
    """For each row, in order, the number of its part by chance; in stretches of 65,536 rows.

    Args:
        rows: How many rows there are.
        count: How many parts.
        seed: Of the chance.
    """
    for start in range(0, rows, _STRETCH):
        random = np.random.default_rng((seed, start))
        yield random.integers(0, count, min(_STRETCH, rows - start), dtype=np.uint32)


@cache
def _fetched() -> Path:
    """Where parts that were fetched lie until this process ends."""
    folder = tempfile.TemporaryDirectory(prefix="slipway-parts-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def batches_of(workspace: Workspace, version: TableVersion, *, batch_rows: int = BATCH_ROWS) -> Batches:
    """The rows of a version of a table in batches.

    Args:
        workspace: Whose store.
        version: Which.
        batch_rows: How many rows a frame has.
    """
    found = referred(
        workspace,
        version.name,
        version.version,
        version.fingerprint,
        catalog.manifest_of(workspace, version),
        project=version.project,
    )
    return found.by(batch_rows)


def referred(
    workspace: Workspace, table: str, version: str, content: str, manifest: Manifest, *, project: str | None = None
) -> Batches:
    """Rows that lie in a table's folder, whether a version of that name is recorded or not.

    Args:
        workspace: Whose store.
        table: The table's name.
        version: The version's hash.
        content: The rows' logical fingerprint.
        manifest: What they consist of.
        project: Whose table; the workspace's own when None.
    """
    bare = tuple(msgspec.structs.replace(part, stats={}) for part in manifest.parts)
    return Batches(
        Reference(
            project=project or workspace.project,
            table=table,
            version=version,
            fingerprint=content,
            manifest=msgspec.structs.replace(manifest, parts=bare, blocks=()),
            folder=str(table_folder(workspace, table, project=project).resolve()),
        )
    )


def store(
    workspace: Workspace,
    table: str,
    frames: Iterable[pl.DataFrame],
    *,
    key: tuple[str, ...],
    time: str,
    origin: versions.Origin,
    is_repeat: bool = False,
) -> Batches:
    """Make frames the content of a version of a table, as they come. The same content again is the same version.

    Args:
        workspace: Whose store is written.
        table: The table's name.
        frames: At least one, of one schema.
        key: The columns that identify a row.
        time: The column of decision times.
        origin: Where it comes from.
        is_repeat: Whether it is made only to be compared: then no version is made of it.

    Raises:
        InvalidInput: The name does not fit, or a column cannot be kept.
        Conflict: Others write the table again and again.
        BackendError: The file system failed; nothing is visible of it.
    """
    staged = stage(workspace, table, frames)
    if is_repeat:
        manifest = msgspec.structs.replace(staged.manifest, key=key, time=time)
        version = digest(msgspec.json.encode(manifest))  # what it would be called
        return referred(workspace, table, version, staged.fingerprint, manifest)

    def attempt() -> TableVersion:  # where somebody else wrote it meanwhile, what is staged is the content all the same
        return versions.overwrite(workspace, table, staged, key=key, time=time, origin=origin)

    return batches_of(workspace, again_on_conflict(table, attempt, attempts=_ATTEMPTS))
