"""scikit-learn estimators in the skops format: loading it builds named types and runs no pickled code.

skops writes Python's addresses and the time of day into its files. They are replaced by positions here, so that equal
estimators are equal bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import skops.io
from skops.io.exceptions import UnsupportedTypeException, UntrustedTypesFoundException

from slipway.backends import sealed_files
from slipway.backends.pandas_frames import build, layout_of
from slipway.backends.sklearn_scores import scores, task_of
from slipway.backends.sklearn_terms import terms
from slipway.errors import Corrupt, InvalidInput
from slipway.ports.model_format import Attributed, FrameColumn, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SkopsFormat"]

_FILE = "model.skops"
_TRUSTED = "trusted.json"
# Parts of the frameworks themselves that skops does not list as safe yet: compiled trees, losses, boosters.
_FRAMEWORKS = ("sklearn", "numpy", "scipy", "lightgbm")
# A function of which some arguments are fixed: the function itself is named beside it, and needs trust of its own. And a
# dictionary: what it holds is named too.
_HARMLESS = ("functools.partial", "collections.OrderedDict")
_EPOCH = (1980, 1, 1, 0, 0, 0)


class SkopsFormat:
    """Keeps estimators and pipelines of scikit-learn."""

    name = "skops"

    def opened(self, estimator: Any) -> Any:
        """See `ModelFormat.opened`."""
        return estimator

    def task(self, estimator: Any) -> Task | None:
        """See `ModelFormat.task`."""
        return task_of(estimator)

    def as_kept(self, estimator: Any, x: Any) -> Any:
        """See `ModelFormat.as_kept`."""
        return estimator

    def save(self, estimator: Any, folder: Path, *, trust: Sequence[str] = ()) -> None:
        """See `ModelFormat.save`. Types of scikit-learn, LightGBM, NumPy and SciPy need no trust; all others do."""
        data = self.content(estimator)
        untrusted = skops.io.get_untrusted_types(data=data)
        known = (*_HARMLESS, *trust)
        foreign = [name for name in untrusted if name.partition(".")[0] not in _FRAMEWORKS and name not in known]
        if nameless := [name for name in foreign if "<" in name]:
            raise InvalidInput(
                f"The estimator holds functions without a name: {', '.join(nameless)}.",
                why="They are kept by their names, and imported again.",
                fix="Define them with `def` at the top level of a module, and import them from there.",
            )
        if foreign:
            raise InvalidInput(
                f"The estimator holds types that nobody trusted: {', '.join(foreign)}.",
                why="Loading them runs their code, in the endpoint too.",
                fix=f"Read them, then say so: sw.Model(..., trust={foreign!r}).",
            )
        sealed_files.write(folder / _FILE, data)
        sealed_files.write(folder / _TRUSTED, msgspec.json.encode(sorted(untrusted)))

    def load(self, folder: Path) -> Any:
        """See `ModelFormat.load`. Only the types named when it was saved are built."""
        try:
            trusted = msgspec.json.decode(sealed_files.read(folder / _TRUSTED), type=list[str])
            return skops.io.loads(sealed_files.read(folder / _FILE), trusted=trusted)
        except UntrustedTypesFoundException as problem:
            raise Corrupt(
                f"{folder / _FILE} holds types that were not trusted when it was saved: {problem}"
            ) from problem
        except (zipfile.BadZipFile, msgspec.DecodeError, KeyError, json.JSONDecodeError) as problem:
            raise Corrupt(f"{folder / _FILE} is not a skops file: {problem}.") from problem

    def predict(self, estimator: Any, x: Any, task: Task) -> NDArray[np.float64]:
        """See `ModelFormat.predict`."""
        return scores(estimator, x, task)

    def attributed(self, estimator: Any, x: Any) -> Attributed | None:
        """See `ModelFormat.attributed`: the terms of a linear model, after the steps before it."""
        return terms(estimator, x)

    def layout(self, sample: Any) -> tuple[FrameColumn, ...]:
        """See `ModelFormat.layout`."""
        return layout_of(sample)

    def frame(self, layout: Sequence[FrameColumn], rows: Sequence[Sequence[Any]]) -> Any:
        """See `ModelFormat.frame`."""
        return build(layout, rows)

    def content(self, estimator: Any) -> bytes:
        """See `ModelFormat.content`: the file without addresses and times."""
        try:
            return _without_traces(skops.io.dumps(estimator))
        except (UnsupportedTypeException, TypeError) as problem:
            raise InvalidInput(
                f"The {type(estimator).__name__} cannot be kept in the skops format: {problem}.",
                fix="Use types that skops knows, or accept a pickle: sw.Model(..., trust_pickle=True).",
            ) from problem


def _without_traces(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = json.loads(archive.read("schema.json"))
        names: dict[str, str] = {}
        _renumber(schema, {}, names)
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as stable:
            for old, new in sorted(names.items(), key=lambda item: item[1]):
                stable.writestr(zipfile.ZipInfo(new, _EPOCH), _without_padding(archive.read(old), new))
            stable.writestr(zipfile.ZipInfo("schema.json", _EPOCH), json.dumps(schema, indent=1))
    return out.getvalue()


def _without_padding(data: bytes, name: str) -> bytes:
    """An array's file with zeros between the fields of its records, where NumPy leaves what memory held."""
    if not name.endswith(".npy"):
        return data
    array = np.load(io.BytesIO(data), allow_pickle=False)
    if not array.dtype.names:
        return data
    clean = np.zeros(array.shape, array.dtype)
    for field in array.dtype.names:
        clean[field] = array[field]
    out = io.BytesIO()
    np.save(out, clean)
    return out.getvalue()


def _renumber(node: Any, ids: dict[int, int], names: dict[str, str]) -> None:
    """Number the parts and their files in the order in which they come.

    Shared parts keep one number; texts and numbers get one each, because Python decides by chance which of them it shares.
    """
    if isinstance(node, list):
        for item in node:
            _renumber(item, ids, names)
        return
    if not isinstance(node, dict):
        return
    if isinstance(node.get("__id__"), int):
        key = -len(ids) - 1 if node.get("is_json") else node["__id__"]
        node["__id__"] = ids.setdefault(key, len(ids) + 1)
    if "file" in node and isinstance(node["file"], str):
        old = node["file"]
        suffix = Path(old).suffix
        node["file"] = names.setdefault(old, f"{len(names) + 1:06d}{suffix}")
    for part, value in node.items():
        if part not in ("__id__", "file"):
            _renumber(value, ids, names)
