"""Models of ONNX: a graph of operators and their numbers, asked by onnxruntime. Loading one runs no code of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from slipway.backends import sealed_files
from slipway.backends.onnx_model import Asked, OnnxModel, Rows
from slipway.errors import Corrupt, InvalidInput
from slipway.ports.model_format import FrameColumn, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OnnxFormat"]

_FILE, _ASKED = "model.onnx", "asked.json"
_SIZES = (1, 3, 16)
_ROUNDING = 1e-4
_WHOLE = 1e-4  # how far two probabilities of float32 may be from adding up to 1


class OnnxFormat:
    """Keeps an `onnx.ModelProto`, the bytes of one, or the file at a path."""

    name = "onnx"

    def opened(self, estimator: Any) -> Any:
        """See `ModelFormat.opened`: the model with a session of onnxruntime."""
        return self._model(estimator)

    def _model(self, estimator: Any) -> OnnxModel:
        return estimator if isinstance(estimator, OnnxModel) else OnnxModel(_bytes_of(estimator))

    def task(self, estimator: Any) -> Task | None:
        """See `ModelFormat.task`: of two classes where classes are told, a value where a regressor makes it."""
        model = self._model(estimator)
        if model.output.is_map or model.output.has_label:
            return "classification"
        return "regression" if model.facts.makers.get(model.output.name, "").endswith("Regressor") else None

    def as_kept(self, estimator: Any, x: Any) -> Any:
        """See `ModelFormat.as_kept`: with what the rows tell of missing values, and of rows alone and together."""
        model, rows = self._model(estimator), _rows(x)
        nulls = tuple(any(_is_null(value) for value in column) for column in zip(*rows.rows, strict=True))
        kept = OnnxModel(model.data, Asked(nulls or None))
        if _is_same(kept, rows):
            return kept
        return OnnxModel(model.data, Asked(nulls or None, alone=True))

    def save(self, estimator: Any, folder: Path, *, trust: Sequence[str] = ()) -> None:
        """See `ModelFormat.save`."""
        sealed_files.write(folder / _FILE, estimator.data)
        sealed_files.write(folder / _ASKED, msgspec.json.encode(estimator.asked))

    def load(self, folder: Path) -> Any:
        """See `ModelFormat.load`."""
        try:
            asked = msgspec.json.decode(sealed_files.read(folder / _ASKED), type=Asked)
            return OnnxModel(sealed_files.read(folder / _FILE), asked)
        except (InvalidInput, msgspec.DecodeError) as problem:
            raise Corrupt(f"{folder / _FILE} cannot be loaded: {problem}") from problem

    def predict(self, estimator: Any, x: Any, task: Task) -> NDArray[np.float64]:
        """See `ModelFormat.predict`; of a class, refuses what is no probability."""
        values = self._model(estimator).ask(_rows(x))
        if task == "regression":
            if values.shape[1] != 1:
                raise InvalidInput(
                    "The ONNX model gives two values a row.",
                    why="It was said to be a regression, of which one value is served.",
                    fix="Say task='classification' if they are the probabilities of two classes; else export the one value.",
                )
            return values[:, 0]
        found = _no_probability(values)
        if found is not None:
            raise InvalidInput(
                f"The ONNX model answers {found}, which is no probability.",
                why="It is a classification, of which the score is the probability of the second of two classes.",
                fix="Export it with probabilities (a calibrated classifier, a sigmoid or softmax at the end), or say task='regression'.",
            )
        return values[:, -1]

    def attributed(self, estimator: Any, x: Any) -> None:
        """See `ModelFormat.attributed`: a graph cannot tell."""

    def layout(self, sample: Any) -> tuple[FrameColumn, ...]:
        """See `ModelFormat.layout`: names and types; rows stay plain values, so no frame is ever built."""
        return tuple(FrameColumn(str(name), "plain") for name in sample.columns)

    def frame(self, layout: Sequence[FrameColumn], rows: Sequence[Sequence[Any]]) -> Any:
        """See `ModelFormat.frame`: the rows with their columns' names."""
        return Rows(tuple(column.name for column in layout), rows)

    def content(self, estimator: Any) -> bytes:
        """See `ModelFormat.content`."""
        data: bytes = msgspec.json.encode(estimator.asked) + estimator.data
        return data


def _no_probability(values: NDArray[np.float64]) -> list[float] | None:
    """The first answer that is no probability of a class; NaN is left to whoever asked."""
    for row in values.tolist():
        if row[-1] < 0 or row[-1] > 1 or (len(row) == 2 and abs(row[0] + row[1] - 1) > _WHOLE):
            return list(row)
    return None


def _bytes_of(given: Any) -> bytes:
    if isinstance(given, bytes | bytearray):
        return bytes(given)
    if isinstance(given, str | Path):
        try:
            return Path(given).read_bytes()
        except OSError as problem:
            raise InvalidInput(
                f"There is no ONNX model at {str(given)[:200]!r}: {problem.strerror or problem}.",
                fix="Give the path of an .onnx file, its bytes, or the model itself.",
            ) from problem
    try:
        return bytes(given.SerializeToString(deterministic=True))
    except ValueError as problem:  # of protobuf, beyond 2 GB
        raise InvalidInput(
            f"The ONNX model cannot be written as one file: {problem}.", fix="Keep it below 2 GB."
        ) from problem


def _rows(x: Any) -> Rows:
    if isinstance(x, Rows):
        return x
    if hasattr(x, "columns"):
        names = tuple(str(name) for name in x.columns)
        columns = [[_plain(value) for value in x[name].to_list()] for name in x.columns]
        return Rows(names, list(zip(*columns, strict=True)) if columns else [])
    return Rows((), [[None if value != value else value for value in row] for row in np.asarray(x).tolist()])


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    return None if _is_null(value) else value


def _is_null(value: Any) -> bool:
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def _is_same(model: OnnxModel, rows: Rows) -> bool:
    """Whether each row gets the same answer to the last bit, however many are asked at once.

    Raises:
        InvalidInput: It gets quite another one.
    """
    wanted, same = model.ask(rows), True
    for size in _SIZES:
        for start in range(0, len(rows), size):
            found = model.ask(Rows(rows.columns, rows.rows[start : start + size]))
            among = wanted[start : start + size]
            same = same and np.array_equal(found, among, equal_nan=True)
            far = ~np.isclose(found, among, rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True).all(axis=1)
            if far.any():
                row = int(np.flatnonzero(far)[0])
                raise InvalidInput(
                    f"The ONNX model answers row {start + row} of the sample with {found[row].tolist()} "
                    f"{'alone' if size == 1 else 'among a few'}, and with {among[row].tolist()} among all.",
                    why="A request's answer must not depend on the rows beside it, nor on chance.",
                    fix="Export it for inference (no batch statistics, no dropout), without operators over the rows' axis.",
                )
    return same
