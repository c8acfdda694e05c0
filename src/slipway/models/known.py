"""What preparing a row knows from training: means, categories, fitted transformers, taken once and given back ever after."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from slipway.errors import Corrupt, InvalidInput, NotFound, near
from slipway.hashing import digest
from slipway.models.formats import format_named
from slipway.records.runs import Artifact

__all__ = ["FittedPart", "Known", "decode_known", "encode_known"]

_TAKEN = "taken"
_VALUES = "values"


class Known:
    """What a `prepare(rows, known)` takes from the training rows instead of from the rows at hand.

    While it learns, each place in the code that looks at other rows is computed and kept, in the order in which it
    comes. Afterwards the same places get the same values back, whatever the rows are.

    Args:
        values: Values by name, for `known["scaler"]`.
        taken: What each place was given, in order.
        is_learning: Whether places are computed and kept; False gives back what was kept.
    """

    slipway_format = "known"

    def __init__(
        self,
        values: Mapping[str, Any] | None = None,
        taken: Mapping[str, Sequence[Any]] | None = None,
        *,
        is_learning: bool = False,
    ) -> None:
        self.values = dict(values or {})
        self.taken: dict[str, list[Any]] = {place: list(kept) for place, kept in (taken or {}).items()}
        self._is_learning = is_learning
        self._next: dict[str, int] = {}

    @classmethod
    def of(cls, *learned: Known, **values: Any) -> Known:
        """What several parts of the code learned, and values by name, as one.

        Args:
            learned: In the order of the code.
            values: Values of training by name.
        """
        joined = cls(values)
        for part in learned:
            joined.values.update(part.values)
            for place, kept in part.taken.items():
                joined.taken.setdefault(place, []).extend(kept)
        return joined

    def __getitem__(self, name: str) -> Any:
        """A value that training gave, by name.

        Raises:
            NotFound: There is none of that name.
        """
        if name not in self.values:
            raise NotFound(f"Nothing called {name!r} is known.", fix=near(name, self.values, what="known values"))
        return self.values[name]

    def value(self, place: str, compute: Callable[[], Any]) -> Any:
        """A value that is computed from all training rows: a mean, a share, a table by key.

        Args:
            place: Where in the code, as people are told it.
            compute: Computes it from the training rows.
        """
        return self._keep(place, compute()) if self._is_learning else self._kept(place)

    def fitted(self, place: str, transformer: Any) -> Any:
        """What stands for a transformer: its `fit_transform` fits while learning, and afterwards transforms only."""
        if self._is_learning:
            return _Fits(transformer, lambda fitted: self._keep(place, fitted))
        return _Transforms(self._kept(place))

    def categories(self, place: str, rows: Any, columns: Sequence[str] | None = None) -> Any:
        """The rows with each column of texts as a category of the values that training had, in their order.

        Args:
            place: Where in the code.
            rows: A pandas frame or series.
            columns: Which columns, where they are said; else those that hold texts.
        """
        known = self._keep(place, _texts_of(rows, columns)) if self._is_learning else self._kept(place)
        return _with_categories(rows, known)

    def dummies(self, place: str, frame: Any) -> Any:
        """What Polars' `to_dummies` gives, with the columns that training had; those of a value that is not there are 0.

        Args:
            place: Where in the code.
            frame: What `to_dummies` gives for the rows at hand.

        Raises:
            InvalidInput: A row holds a value that training did not have, and so has a column that nobody knows.
        """
        if self._is_learning:
            return self._keep(place, frame)
        pl: Any = sys.modules["polars"]  # the frame is of it
        none = self._kept(place).clear()
        if others := [name for name in frame.columns if name not in none.columns]:
            raise InvalidInput(
                f"A row would have the column {others[0]!r}, which training did not have.",
                why=f"{place} makes a column of each value.",
                fix="Give a value that training had.",
            )
        lacking = [name for name in none.columns if name not in frame.columns]
        return frame.with_columns([pl.lit(0, dtype=none.schema[name]).alias(name) for name in lacking]).select(
            none.columns
        )

    def selected(self, place: str, rows: Any, select: Callable[[], Any]) -> Any:
        """What a selection among training rows gives while learning, afterwards all rows: it says nothing about one row.

        Args:
            place: Where in the code.
            rows: The rows before.
            select: Selects: drops what is there twice, sorts, takes a sample.
        """
        if not self._is_learning:
            return rows
        self._keep(place, None)
        return select()

    def expression(self, place: str, frame: Any, expression: Any) -> Any:
        """A Polars expression that comes to one value over all rows, as that value."""
        pl: Any = sys.modules["polars"]  # the frame is one of it
        if self._is_learning:
            return pl.lit(self._keep(place, frame.lazy().select(expression).collect().item()))
        return pl.lit(self._kept(place))

    def learning(self) -> Known:
        """The same values, with nothing taken yet."""
        return Known(self.values, is_learning=True)

    def replayed(self, values: Mapping[str, Any] | None = None) -> Known:
        """What was kept, to be given back from the beginning; each call of `prepare` needs one of its own."""
        other = Known.__new__(Known)
        other.values = {**self.values, **(values or {})}
        other.taken, other._is_learning, other._next = self.taken, False, {}
        return other

    def _keep(self, place: str, value: Any) -> Any:
        self.taken.setdefault(place, []).append(copy.deepcopy(value))
        return value

    def _kept(self, place: str) -> Any:
        number = self._next.get(place, 0)
        self._next[place] = number + 1
        kept = self.taken.get(place, [])
        if number >= len(kept):
            raise InvalidInput(
                f"The code comes to {place} {number + 1} times, in training {len(kept)} times.",
                why="What was learned there is given back in the order of training.",
                fix="Let the code take the same way for every row.",
            )
        return kept[number]

    def slipway_fingerprint(self) -> str:
        """Equal for what is equally known."""
        return digest(encode_known(self))

    def slipway_save(self, folder: Path) -> None:
        """Keep it in a folder; `slipway_load` reads it again."""
        (folder / "known.msgpack").write_bytes(encode_known(self))

    @classmethod
    def slipway_load(cls, folder: Path) -> Known:
        """What `slipway_save` kept."""
        return decode_known((folder / "known.msgpack").read_bytes())

    def __repr__(self) -> str:
        return f"<Known: {', '.join([*self.values, *self.taken]) or 'nothing'}>"


class _Fits:
    """A transformer that is kept as soon as it is fitted."""

    def __init__(self, transformer: Any, keep: Callable[[Any], Any]) -> None:
        self._transformer, self._keep = transformer, keep

    def fit_transform(self, rows: Any, *more: Any, **named: Any) -> Any:
        found = self._transformer.fit_transform(rows, *more, **named)
        self._keep(self._transformer)
        return found


class _Transforms:
    """A transformer that was fitted in training: fitting it again is transforming."""

    def __init__(self, transformer: Any) -> None:
        self._transformer = transformer

    def fit_transform(self, rows: Any, *more: Any, **named: Any) -> Any:
        return self._transformer.transform(rows)


class FittedPart:
    """An estimator inside of what is known, kept in the skops format so that loading it runs no pickled code."""

    slipway_format = "skops"

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def slipway_fingerprint(self) -> str:
        """Of what it holds."""
        return digest(format_named("skops").content(self.estimator))

    def slipway_save(self, folder: Path) -> None:
        """See `Model.slipway_save`."""
        format_named("skops").save(self.estimator, folder)

    @classmethod
    def slipway_load(cls, folder: Path) -> FittedPart:
        """What `slipway_save` kept."""
        return cls(format_named("skops").load(folder))


def encode_known(known: Known) -> bytes:
    """What is known as bytes.

    Raises:
        InvalidInput: Only a pickle could keep something of it; it is named.
    """
    written = []
    named = [(_VALUES, name, value) for name, value in known.values.items()]
    named += [(_TAKEN, place, kept) for place, kept in known.taken.items()]
    for kind, name, value in named:
        encoded = _formats().encode("known", _packed(value), _by_bytes)
        if encoded.pickled:
            raise InvalidInput(
                f"What preparing a row knows of {name!r} is a {encoded.pickled[0]}, which only a pickle could keep.",
                why="An endpoint loads no pickle that nobody trusted.",
                fix="Keep numbers, texts, lists, dictionaries, frames or transformers of scikit-learn.",
            )
        written.append((kind, name, encoded.parts))
    return msgspec.msgpack.encode(written)


def decode_known(data: bytes) -> Known:
    """What `encode_known` wrote.

    Raises:
        Corrupt: It is something else.
    """
    kinds = list[tuple[str, str, tuple[tuple[Artifact, bytes], ...]]]
    try:
        written = msgspec.msgpack.decode(data, type=kinds)
    except msgspec.DecodeError as problem:
        raise Corrupt(f"What preparing a row knows cannot be read: {problem}.") from problem
    known = Known()
    for kind, name, parts in written:
        if any(artifact.format == "pickle" for artifact, _ in parts):
            raise Corrupt(f"What preparing a row knows of {name!r} is a pickle, which is never loaded.")
        held = {artifact.name: content for artifact, content in parts}
        value = _unpacked(_formats().decode([artifact for artifact, _ in parts], _reader(held)))
        if kind == _VALUES:
            known.values[name] = value
        else:
            known.taken[name] = list(value)
    return known


def _formats() -> Any:
    """The formats of stored values; an endpoint whose model prepares no rows never loads them."""
    return import_module("slipway.ledger.artifacts")


def _reader(held: Mapping[str, bytes]) -> Callable[[Artifact], bytes]:
    return lambda artifact: held[artifact.name]


def _by_bytes(value: object) -> str:
    raise InvalidInput(
        f"A {type(value).__name__} is told apart by its bytes here.",
        why="An endpoint reads it without the library for frames.",
    )


def _packed(value: Any) -> Any:
    """The value with estimators as parts of their own."""
    if type(value) in (list, tuple):
        return type(value)(_packed(item) for item in value)
    if type(value) is dict:
        return {key: _packed(item) for key, item in value.items()}
    homes = {cls.__module__.partition(".")[0] for cls in type(value).__mro__}
    return FittedPart(value) if "sklearn" in homes and hasattr(value, "get_params") else value


def _unpacked(value: Any) -> Any:
    if isinstance(value, FittedPart):
        return value.estimator
    if type(value) in (list, tuple):
        return type(value)(_unpacked(item) for item in value)
    if type(value) is dict:
        return {key: _unpacked(item) for key, item in value.items()}
    return value


def _texts_of(rows: Any, columns: Sequence[str] | None) -> dict[str, list[Any]] | list[Any]:
    if not hasattr(rows, "columns"):
        return _categories_of(rows)
    names = [name for name in rows.columns if _holds_texts(rows[name])] if columns is None else columns
    return {name: _categories_of(rows[name]) for name in names}


def _holds_texts(series: Any) -> bool:
    return str(series.dtype) in ("object", "category", "str", "string")


def _categories_of(series: Any) -> list[Any]:
    if str(series.dtype) == "category":
        return list(series.cat.categories)
    return sorted(series.dropna().unique().tolist())


def _with_categories(rows: Any, known: Any) -> Any:
    if not hasattr(rows, "columns"):
        return _categorical(rows, known)
    return rows.assign(**{name: _categorical(rows[name], known[name]) for name in rows.columns if name in known})


def _categorical(series: Any, known: list[Any]) -> Any:
    """A series as categories; what training did not have is missing."""
    pd: Any = sys.modules["pandas"]  # the series is of it
    values = series.astype(object).where(series.isin(known), None)
    return pd.Series(pd.Categorical(values, categories=known), index=series.index, name=series.name)
