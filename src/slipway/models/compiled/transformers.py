"""Transformers of scikit-learn as steps. None of them is imported: their classes are known by name, and read only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from slipway.models.compiled import program as steps
from slipway.models.compiled.building import Block, Builder, NotCompiled, Raw, kind_of, name_of, plain_array
from slipway.models.compiled.program import Array
from slipway.models.compiled.running import UFUNCS
from slipway.models.compiled.tables import ENCODERS, IMPUTER, look_up

__all__ = ["flat_steps", "transform", "transform_all"]

_Value = Raw | Block
_SMALL = ("int8", "int16", "uint8", "uint16", "bool")
_SKIPPED = (None, "passthrough")


def flat_steps(pipeline: Any) -> list[Any]:
    """The parts of a pipeline in order, those of pipelines within it among them; what passes through is left out."""
    found = []
    for _, part in pipeline.steps:
        if name_of(part) == "Pipeline":
            found += flat_steps(part)
        elif part not in _SKIPPED:
            found.append(part)
    return found


def transform_all(builder: Builder, value: _Value, parts: Sequence[Any]) -> _Value:
    """What a chain of transformers makes of a value.

    Raises:
        NotCompiled: One of them has no compiled form.
    """
    parts = list(parts)
    while parts:
        size = _encoded_together(builder, value, parts)
        if size:
            value, parts = look_up(builder, value, parts[:size]), parts[size:]
        else:
            value, parts = transform(builder, value, parts[0]), parts[1:]
    return value


def _encoded_together(builder: Builder, value: _Value, parts: Sequence[Any]) -> int:
    """How many parts at the front are a chain of encoders of single columns, to be looked up as one; 0 for none."""
    names = [name_of(part) for part in parts]
    chain = next((i for i, name in enumerate(names) if name not in (*ENCODERS, IMPUTER)), len(names))
    ends = [i + 1 for i in range(chain) if names[i] in ENCODERS]
    if isinstance(value, Block):
        return 1 if ends and ends[0] == 1 else 0
    if ends:
        return ends[-1]
    texts = any(kind_of(builder.fields[i], builder.layout[i].dtype) is None for i in value.columns)
    if chain and texts:
        raise NotCompiled("A SimpleImputer fills in texts, and no encoder of categories follows it.")
    return 0


def transform(builder: Builder, value: _Value, part: Any) -> _Value:
    """What one transformer makes of a value; see `transform_all`."""
    if part in _SKIPPED:
        return value
    name = name_of(part)
    if name == "Pipeline":
        return transform_all(builder, value, flat_steps(part))
    if name in ENCODERS:
        return transform_all(builder, value, [part])
    if name == "FunctionTransformer":
        return _function(builder, value, part)
    if name == "ColumnTransformer":
        return _columns(builder, value, part)
    if name == "FeatureUnion":
        return _union(builder, value, part)
    known = _ON_NUMBERS.get(name)
    if known is None:
        raise NotCompiled(f"The transformer {type(part).__name__} has no compiled form.")
    if name == IMPUTER:
        _encoded_together(builder, value, [part])
    return known(builder, builder.numbers(value), part)


def _columns(builder: Builder, value: _Value, part: Any) -> Block:
    if part.transformer_weights:
        raise NotCompiled("A ColumnTransformer weighs its parts (transformer_weights).")
    places: Mapping[str, Sequence[int]] = part._transformer_to_input_indices
    blocks = []
    for name, inner, columns in part.transformers_:
        chosen = [int(place) for place in places[name]]
        if inner == "drop" or not chosen:
            continue
        if isinstance(columns, str) or np.isscalar(columns):
            raise NotCompiled(f"The part {name!r} of a ColumnTransformer is given a series, not a frame.")
        made = transform(builder, _some(builder, value, chosen), inner)
        blocks.append(_stacked(builder, made))
    return builder.join(blocks)


def _stacked(builder: Builder, value: _Value) -> Block:
    """A part beside others. Columns with pandas' NA that reach it as they are become objects, and NA no number."""
    block = builder.numbers(value)
    if isinstance(value, Raw):
        extended = [i for i, place in enumerate(value.columns) if builder.layout[place].missing == "na"]
        if extended:
            builder.check(builder.pick(block, extended), nan=False)
    return block


def _some(builder: Builder, value: _Value, places: Sequence[int]) -> _Value:
    return Raw(tuple(value.columns[i] for i in places)) if isinstance(value, Raw) else builder.pick(value, places)


def _union(builder: Builder, value: _Value, part: Any) -> Block:
    if part.transformer_weights:
        raise NotCompiled("A FeatureUnion weighs its parts (transformer_weights).")
    inner = [inner for _, inner in part.transformer_list if inner != "drop"]
    return builder.join([builder.numbers(transform(builder, value, each)) for each in inner])


def _function(builder: Builder, value: _Value, part: Any) -> _Value:
    if part.kw_args:
        raise NotCompiled("A FunctionTransformer has arguments of its own (kw_args).")
    name = getattr(part.func, "__name__", "")
    if part.func is None:
        return builder.check(builder.numbers(value), nan=False) if part.validate else value
    if isinstance(part.func, partial) and part.func.func.__name__ == "check_array":  # of HistGradientBoosting
        if part.func.keywords.get("ensure_all_finite") is not False:
            raise NotCompiled("A FunctionTransformer calls check_array.")
        return builder.numbers(value)
    if UFUNCS.get(name) is not part.func:
        raise NotCompiled(f"A FunctionTransformer calls {name or part.func!r}, which is no known function of NumPy.")
    if isinstance(value, Raw) and any(builder.layout[i].dtype in _SMALL for i in value.columns):
        raise NotCompiled(f"A FunctionTransformer calls {name!r} on small whole numbers, for which NumPy rounds it.")
    block = builder.numbers(value)
    if part.validate:
        block = builder.check(block, nan=False)
    return builder.add(steps.Ufunc(block.number, name), block.width, block.single)


def _imputer(builder: Builder, block: Block, part: Any) -> Block:
    own = part.missing_values
    missing = None if isinstance(own, float) and own != own else own
    if missing is not None and not isinstance(missing, int | float):
        raise NotCompiled(f"A SimpleImputer looks for missing_values={own!r} among numbers.")
    missing = None if missing is None else float(missing)
    block = builder.check(block, nan=missing is None)
    statistics = np.asarray(part.statistics_, dtype=np.float64)
    kept = np.arange(block.width) if part.keep_empty_features else np.flatnonzero(~np.isnan(statistics))
    chosen = builder.pick(block, kept.tolist())
    filled = builder.add(
        steps.Fill(chosen.number, Array.of(statistics[kept]), missing), chosen.width, chosen.single
    )  # fmt: skip
    if not part.add_indicator or part.indicator_ is None:
        return filled
    features = tuple(int(index) for index in part.indicator_.features_)
    told = builder.add(steps.Missing(block.number, features, missing), len(features), block.single)
    return builder.join([filled, told])


def _standard(builder: Builder, block: Block, part: Any) -> Block:
    block = builder.check(block, nan=True)
    if part.with_mean:
        block = builder.arithmetic(block, "subtract", part.mean_, cast=True)
    return builder.arithmetic(block, "divide", part.scale_, cast=True) if part.with_std else block


def _min_max(builder: Builder, block: Block, part: Any) -> Block:
    block = builder.arithmetic(builder.check(block, nan=True), "multiply", part.scale_)
    block = builder.arithmetic(block, "add", part.min_)
    if not part.clip:
        return block
    low, high = part.feature_range
    return builder.add(steps.Clip(block.number, float(low), float(high)), block.width, block.single)


def _robust(builder: Builder, block: Block, part: Any) -> Block:
    block = builder.check(block, nan=True)
    if part.with_centering:
        block = builder.arithmetic(block, "subtract", part.center_)
    return builder.arithmetic(block, "divide", part.scale_) if part.with_scaling else block


def _max_abs(builder: Builder, block: Block, part: Any) -> Block:
    block = builder.arithmetic(builder.check(block, nan=True), "divide", part.scale_)
    if not getattr(part, "clip", False):
        return block
    return builder.add(steps.Clip(block.number, -1.0, 1.0), block.width, block.single)


def _bins(builder: Builder, block: Block, part: Any) -> Block:
    if part.dtype is not None:
        raise NotCompiled("A KBinsDiscretizer has a dtype of its own.")
    block = builder.check(block, nan=False)
    edges = tuple(Array.of(np.asarray(found, dtype=np.float64)[1:-1]) for found in part.bin_edges_)
    found = builder.add(steps.Bins(block.number, edges), block.width, block.single)
    if part.encode == "ordinal":
        return found
    keys = tuple(Array.of(np.arange(int(n))) for n in part.n_bins_)
    rows = tuple(Array.of(np.vstack([np.eye(int(n)), np.zeros((2, int(n)))])) for n in part.n_bins_)
    no = (False,) * block.width
    return builder.add(steps.Lookup(found.number, keys, rows, no, no), int(sum(part.n_bins_)), block.single)


def _polynomial(builder: Builder, block: Block, part: Any) -> Block:
    block = builder.check(block, nan=False)
    powers = np.asarray(part.powers_)
    columns = tuple(tuple(i for i, power in enumerate(row) for _ in range(int(power))) for row in powers.tolist())
    return builder.add(steps.Products(block.number, columns), len(columns), block.single)


def _selected(builder: Builder, block: Block, part: Any) -> Block:
    tags = part.__sklearn_tags__() if hasattr(part, "__sklearn_tags__") else None
    block = builder.check(block, nan=tags is None or bool(tags.input_tags.allow_nan))
    return builder.pick(block, np.flatnonzero(part.get_support()).tolist())


def _pca(builder: Builder, block: Block, part: Any) -> Block:
    components = plain_array(part.components_)
    offset = -(np.reshape(part.mean_, (1, -1)) @ components.T)[0]
    block = builder.matrix(builder.check(block, nan=False), components.T, offset)
    if not part.whiten:
        return block
    scale = np.sqrt(part.explained_variance_)
    least = np.finfo(scale.dtype).eps
    return builder.arithmetic(block, "divide", np.where(scale < least, least, scale))


def _svd(builder: Builder, block: Block, part: Any) -> Block:
    components = plain_array(part.components_)
    zeros = np.zeros(len(components), dtype=components.dtype)
    return builder.matrix(builder.check(block, nan=False), components.T, zeros)


def _indicator(builder: Builder, block: Block, part: Any) -> Block:
    if not (isinstance(part.missing_values, float) and part.missing_values != part.missing_values):
        raise NotCompiled(f"A MissingIndicator looks for missing_values={part.missing_values!r}.")
    block = builder.check(block, nan=True)
    features = tuple(int(index) for index in part.features_)
    if part.features == "missing-only" and part.error_on_new:
        others = tuple(index for index in range(block.width) if index not in features)
        if others:
            builder.check(builder.pick(block, others), nan=False)
    return builder.add(steps.Missing(block.number, features), len(features), block.single)


_ON_NUMBERS: Mapping[str, Callable[[Builder, Block, Any], Block]] = {
    IMPUTER: _imputer,
    "MissingIndicator": _indicator,
    "StandardScaler": _standard,
    "MinMaxScaler": _min_max,
    "RobustScaler": _robust,
    "MaxAbsScaler": _max_abs,
    "KBinsDiscretizer": _bins,
    "PolynomialFeatures": _polynomial,
    "PCA": _pca,
    "TruncatedSVD": _svd,
    **dict.fromkeys(
        (
            "GenericUnivariateSelect", "RFE", "RFECV", "SelectFdr", "SelectFpr", "SelectFromModel", "SelectFwe", "SelectKBest",
            "SelectPercentile", "SequentialFeatureSelector", "VarianceThreshold",
        ),
        _selected,
    ),
}  # fmt: skip
