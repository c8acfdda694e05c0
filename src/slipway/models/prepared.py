"""Rows as a request carries them, made into what an estimator takes by the project's own function `prepare`."""

from __future__ import annotations

import inspect
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from slipway import code
from slipway.errors import Corrupt, InvalidDeclaration, InvalidInput
from slipway.hashing import combine, digest
from slipway.models.formats import format_named
from slipway.models.known import Known, decode_known, encode_known
from slipway.ports.model_format import FrameColumn

__all__ = ["PREPARE", "OwnFolder", "Prepared", "load_prepared", "row_tuples", "rows_in", "same_matrix", "take_rows"]

PREPARE = "prepare"
"""The folder of a model or bundle that holds the function's code, what it knows, and how its frame is built."""
_SPEC = "spec.json"
_KNOWN = "known.msgpack"
_CODE = "code"
_ROW = "slipway:row"
_TRIED = 200
Kind = Literal["pandas", "polars", "numpy"]


class OwnFolder:
    """A folder that is there as long as this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="slipway-prepare-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class _Spec(msgspec.Struct, frozen=True, kw_only=True):
    """How `prepare` is found and asked.

    Args:
        function: "module:name".
        kind: The library whose frame it takes.
        names: The columns that a request carries, in the order of the model's inputs.
        columns: All columns of the frame, in order: those of a request and those that are filled.
        layout: The pandas columns among `names`.
        takes_known: Whether its second argument is what is known.
    """

    function: str
    kind: Kind
    names: tuple[str, ...]
    columns: tuple[str, ...]
    layout: tuple[FrameColumn, ...] = ()
    takes_known: bool = False


class Prepared:
    """A `prepare` with all that it needs. Safe for threads, as far as the user's function is.

    Args:
        spec: How it is found and asked.
        sources: Its reduced modules by path.
        known: What it knows; the value `_ROW` is one row of the columns that are filled.
        folder: Where the modules lie; they may import each other later.
        keep: Whatever must live as long.
    """

    def __init__(self, spec: _Spec, sources: Mapping[str, str], known: Known, folder: Path, keep: Any = None) -> None:
        self.spec, self.sources, self.known, self._keep = spec, dict(sources), known, keep
        module, _, name = spec.function.partition(":")
        self._function: Callable[..., Any] = getattr(code.load_extracted(folder, (module,))[module], name)
        self._frames = format_named("pickle") if spec.kind == "pandas" else None  # for its frames of plain values

    @classmethod
    def of(
        cls, function: Callable[..., Any], known: Known | None, sample: Any, columns: Sequence[str] | None
    ) -> Prepared:
        """Take a function out of its project, and fix the frame that it is asked with.

        Args:
            function: `prepare(rows)` or `prepare(rows, known)`.
            known: What it knows from training.
            sample: Rows as it takes them: a pandas or Polars frame, or an array of numbers.
            columns: What a request carries; the other columns get one value that does not matter. All when None.

        Raises:
            InvalidDeclaration: It is no function of a module, or takes other arguments.
            InvalidInput: A column is not in the sample, or the frame cannot be built from a request.
        """
        takes = list(inspect.signature(function).parameters)
        if len(takes) not in (1, 2) or (len(takes) == 2) != (known is not None):
            raise InvalidDeclaration(
                f"prepare takes {', '.join(takes) or 'nothing'}, and it was given {'no ' if known is None else ''}known.",
                why="It is called with rows, and with what is known from training where there is such.",
                fix="def prepare(rows), or def prepare(rows, known) with sw.Model(..., known=known).",
            )
        sources = code.extract([function])
        kind, every = _kind_of(sample), _columns_of(sample)
        names = tuple(every if columns is None else columns)
        if lacking := [name for name in names if name not in every]:
            raise InvalidInput(
                f"The sample has no column {lacking[0]!r}.", why="A request could not be tried.", field=lacking[0]
            )
        layout: tuple[FrameColumn, ...] = ()
        if kind == "pandas":
            layout = format_named("pickle").layout(sample[list(names)])
        module, name = code.reference(function).split(":")
        spec = _Spec(
            function=f"{module}:{name}", kind=kind, names=names, columns=tuple(every), layout=layout, takes_known=bool(known)
        )  # fmt: skip
        held = Known(known.values, known.taken) if known is not None else Known()
        folder = OwnFolder()
        _write_sources(folder.path, sources)
        made = cls(spec, sources, held, folder.path, folder)
        if kind != "numpy":
            made._fill(sample)
        return made

    def _fill(self, sample: Any) -> None:
        """Choose the values of columns that a request does not carry; they must not matter."""
        others = [name for name in self.spec.columns if name not in self.spec.names]
        if not others and self.spec.kind == "pandas":
            return
        spread = np.linspace(0, len(sample) - 1, min(_TRIED, len(sample))).round().astype(int).tolist()
        kept = self.kept(sample, spread) or self.kept(sample, range(len(sample)))[:_TRIED]
        rows = take_rows(sample, kept)
        wanted = self.native(rows)
        for choose in (_neutral, _most_frequent):
            self.known.values[_ROW] = _one_row(sample, choose)
            try:
                if same_matrix(self.native(self._filled(rows)), wanted):
                    return
            except InvalidInput:
                continue
        raise InvalidInput(
            f"A request would not carry {', '.join(repr(name) for name in others)}, and it matters.",
            why="With another value there the prepared rows are others.",
            fix="Add it to columns=[...].",
        )

    def native(self, rows: Any) -> Any:
        """The prepared rows of a frame as it is in training.

        Raises:
            InvalidInput: The function fails; the sentence holds its own words.
        """
        try:
            if not self.spec.takes_known:
                return self._function(rows)
            return self._function(rows, self.known.replayed())
        except InvalidInput:
            raise
        except Exception as problem:
            raise InvalidInput(
                f"prepare fails on {'the row' if rows_in(rows) == 1 else f'one of {rows_in(rows)} rows'}: "
                f"{type(problem).__name__}: {problem}",
                why="Rows like it were not among those of training.",
                fix="Give values like those of training.",
            ) from problem

    def kept(self, rows: Any, positions: Sequence[int]) -> list[int]:
        """Those of some positions whose rows are not left out: by halves, since a row comes out alike beside others."""
        if len(positions) <= 1:
            return [position for position in positions if self.keeps(take_rows(rows, [position]))]
        try:
            chosen = take_rows(rows, positions)
            found = self.native(chosen)
            if rows_in(found) == len(positions):
                return list(positions)
            labels: Any = getattr(found, "index", None)
            before: Any = getattr(chosen, "index", None)
            has_both = labels is not None and before is not None
            if (
                has_both
                and before.is_unique
                and labels.isin(before).all()
                and list(labels) != list(range(len(labels)))  # they were not numbered anew
            ):
                return [p for p, is_kept in zip(positions, before.isin(labels), strict=True) if is_kept]
        except InvalidInput:  # what comes after a row was left out may want one row at least
            pass
        half = len(positions) // 2
        return self.kept(rows, positions[:half]) + self.kept(rows, positions[half:])

    def keeps(self, row: Any) -> bool:
        """Whether a frame of one row comes out as one row."""
        try:
            return rows_in(self.native(row)) == 1
        except InvalidInput:  # what is left out may fail further on, where a step wants at least one row
            return False

    def __call__(self, rows: Sequence[Sequence[Any]]) -> Any:
        """What the estimator takes for rows of plain values in the order of the model's inputs; one a row.

        Raises:
            InvalidInput: A value does not fit, or a row is one that training left out.
        """
        found = self.native(self.frame(rows))
        if rows_in(found) == len(rows):
            return found
        for row in rows if len(rows) > 1 else ():
            self([row])
        raise InvalidInput(
            "prepare leaves the row out.",
            why="Such rows, with a missing value or beyond a limit, were left out of training too: no answer is known.",
            fix="Give a complete row within the limits of training.",
        )

    def frame(self, rows: Sequence[Sequence[Any]]) -> Any:
        """The frame that `prepare` takes, out of plain values."""
        if self.spec.kind == "numpy":
            return np.asarray([[np.nan if value is None else value for value in row] for row in rows], dtype=np.float64)
        if self.spec.kind == "pandas":
            return self._filled(self._frames.frame(self.spec.layout, rows))  # type: ignore[union-attr]  # it is pandas
        return self._polars(rows)

    def _filled(self, frame: Any) -> Any:
        row = self.known.values.get(_ROW)
        if row is None:
            return frame
        if self.spec.kind == "polars":
            others = [name for name in self.spec.columns if name not in self.spec.names]
            repeated = row.select(others)[[0] * len(frame)]
            return frame.drop(others, strict=False).hstack(repeated.get_columns()).select(row.columns)
        held = {
            name: frame[name] if name in self.spec.names else row[name].iloc[[0] * len(frame)].set_axis(frame.index)
            for name in self.spec.columns
        }
        return type(frame)(held, index=frame.index)

    def _polars(self, rows: Sequence[Sequence[Any]]) -> Any:
        pl: Any = sys.modules["polars"]  # the function's module has imported it
        row = self.known.values[_ROW]
        schema = {name: row.schema[name] for name in self.spec.names}
        typed = [
            [float(v) if type(v) is int and t.is_float() else v for v, t in zip(r, schema.values(), strict=True)] for r in rows
        ]  # fmt: skip
        try:
            return self._filled(pl.DataFrame(typed, schema=schema, orient="row"))
        except (TypeError, pl.exceptions.PolarsError, OverflowError) as problem:
            raise InvalidInput(
                f"A value does not fit: {problem}", fix="Give values of the types of training."
            ) from problem

    def content(self) -> str:
        """Equal for the same code that knows the same."""
        return combine("prepare 1", *[f"{path}\n{text}" for path, text in self.sources.items()],
                       digest(msgspec.json.encode(self.spec)), self.known.slipway_fingerprint())  # fmt: skip

    def save(self, folder: Path) -> None:
        """Write it into an existing empty folder."""
        (folder / _SPEC).write_bytes(msgspec.json.encode(self.spec))
        (folder / _KNOWN).write_bytes(encode_known(self.known))
        _write_sources(folder / _CODE, self.sources)


def load_prepared(folder: Path, keep: Any = None) -> Prepared | None:
    """What `Prepared.save` wrote into `folder/prepare`; None where there is none.

    Args:
        folder: Of the model or bundle. Its code is imported from there, and must stay.
        keep: Whatever must live as long.

    Raises:
        Corrupt: It is not what `save` writes.
    """
    home = folder / PREPARE
    if not home.is_dir():
        return None
    try:
        spec = msgspec.json.decode((home / _SPEC).read_bytes(), type=_Spec)
        known = decode_known((home / _KNOWN).read_bytes())
    except (OSError, msgspec.DecodeError) as problem:
        raise Corrupt(f"{home} cannot be read: {problem}.", fix="Deploy the version again.") from problem
    sources = {
        p.relative_to(home / _CODE).as_posix(): p.read_text("utf-8") for p in sorted((home / _CODE).rglob("*.py"))
    }
    return Prepared(spec, sources, known, home / _CODE, keep)


def rows_in(matrix: Any) -> int:
    """How many rows a frame or matrix has."""
    shape = getattr(matrix, "shape", None)
    return int(shape[0]) if shape else len(matrix)


def row_tuples(matrix: Any) -> list[tuple[Any, ...]]:
    """The rows of a frame, series or matrix as plain values that can be held against each other.

    Numbers are rounded to 10 digits, since linear algebra may sum many rows in another order than one.
    """
    if hasattr(matrix, "toarray"):
        matrix = matrix.toarray()
    if hasattr(matrix, "iloc"):
        columns = (
            [matrix.iloc[:, i].tolist() for i in range(matrix.shape[1])] if matrix.ndim == 2 else [matrix.tolist()]
        )
        rows = list(zip(*columns, strict=True))
    elif hasattr(matrix, "rows"):
        rows = matrix.rows()
    elif hasattr(matrix, "to_list"):
        rows = [(value,) for value in matrix.to_list()]
    else:
        rows = [tuple(row) if isinstance(row, list) else (row,) for row in matrix.tolist()]
    return [tuple(_comparable(value) for value in row) for row in rows]


def _comparable(value: Any) -> Any:
    if value is None or value != value:
        return "missing"
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return float(f"{float(value):.10g}")
    return str(value)


def same_matrix(one: Any, other: Any) -> bool:
    """Whether two prepared frames hold the same values in the same columns, whatever the names of their rows."""
    if one is None or type(one) is not type(other) or rows_in(one) != rows_in(other):
        return False
    if hasattr(one, "toarray"):
        one, other = one.toarray(), other.toarray()
    if hasattr(one, "columns"):
        if [str(name) for name in one.columns] != [str(name) for name in other.columns]:
            return False
        return all(_same_values(one[name].to_numpy(), other[name].to_numpy()) for name in one.columns)
    return _same_values(np.asarray(one), np.asarray(other))


def _same_values(one: Any, other: Any) -> bool:
    if one.dtype.kind == "f" and other.dtype.kind == "f":
        return bool(np.array_equal(one, other, equal_nan=True))
    return all(
        a is b or a == b or (a != a and b != b)
        for a, b in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True)
    )


def _kind_of(sample: Any) -> Kind:
    home = type(sample).__module__.partition(".")[0]
    if type(sample).__name__ == "DataFrame" and home in ("pandas", "polars"):
        return "pandas" if home == "pandas" else "polars"
    if isinstance(sample, np.ndarray) and sample.ndim == 2 and sample.dtype.kind in "biuf":
        return "numpy"
    raise InvalidInput(
        f"The sample for prepare is a {type(sample).__module__}.{type(sample).__qualname__}.",
        why="A request becomes a pandas or Polars frame, or an array of numbers.",
        fix="Give the rows as they were loaded: sw.Model(..., sample=rows).",
    )


def _columns_of(sample: Any) -> list[str]:
    if isinstance(sample, np.ndarray):
        return [f"x{position}" for position in range(sample.shape[1])]
    if odd := [name for name in sample.columns if not isinstance(name, str)]:
        raise InvalidInput(
            f"The column {odd[0]!r} has no text as its name.", fix="Name columns by texts: df.columns = [...]."
        )
    return list(sample.columns)


def take_rows(sample: Any, positions: Sequence[int]) -> Any:
    """Some rows of a frame or array, by position."""
    return sample.iloc[list(positions)] if hasattr(sample, "iloc") else sample[list(positions)]


def _one_row(sample: Any, choose: Callable[[Any], Any]) -> Any:
    """One row of a sample's types with a value for each column that is not asked for."""
    first = take_rows(sample, [0])
    if hasattr(sample, "iloc"):
        return type(sample)({name: choose(sample[name]) for name in sample.columns}).reset_index(drop=True)
    return first.with_columns([choose(sample[name]).alias(name) for name in sample.columns])


def _neutral(series: Any) -> Any:
    """A series of one value that is nobody's: zero, an empty text, a category that there is."""
    kind = str(series.dtype).lower()
    plain = 0 if kind.startswith(("int", "uint", "float")) else False if kind.startswith("bool") else ""
    if plain == "" and not kind.startswith(("object", "str", "string", "utf8")):
        return _most_frequent(series)
    return type(series)([plain], dtype=series.dtype)


def _most_frequent(series: Any) -> Any:
    mode = series.drop_nulls().mode().sort().head(1) if hasattr(series, "drop_nulls") else series.mode().head(1)
    if len(mode):
        return mode
    return series.head(1)


def _write_sources(folder: Path, sources: Mapping[str, str]) -> None:
    for path, text in sources.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
