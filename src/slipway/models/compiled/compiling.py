"""From a fitted estimator to a program, or the sentence of why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slipway.models.compiled import program as steps
from slipway.models.compiled.boosters import booster_score
from slipway.models.compiled.building import Block, Builder, NotCompiled, Raw
from slipway.models.compiled.estimators import probability, value_of
from slipway.models.compiled.program import WHOLE, Array, Program
from slipway.ports.model_format import FrameColumn, ModelFormat, Task
from slipway.records.schema import Field

__all__ = ["NotCompiled", "compile_estimator"]


def compile_estimator(
    format: ModelFormat, estimator: Any, task: Task, fields: Sequence[Field], layout: Sequence[FrameColumn]
) -> Program:
    """The program that answers as an estimator does.

    Args:
        format: The estimator's.
        estimator: As it is kept.
        task: What is asked of it.
        fields: The model's inputs, in order.
        layout: The pandas columns that it was fitted on, () where it takes the encoded matrix.

    Raises:
        NotCompiled: It has no compiled form; the sentence names the part that has none.
    """
    builder = Builder(fields, layout, format.frame)
    value = Raw(tuple(range(len(layout)))) if layout else _encoded(builder)
    try:
        if format.name == "lightgbm":
            return builder.program(booster_score(builder, builder.numbers(value), format.content(estimator).decode()))
        if format.name == "onnx":
            raise NotCompiled("onnxruntime itself is its fast path, and is given rows without a frame")
        if format.name not in ("skops", "pickle"):
            raise NotCompiled(f"A model kept as {format.name} has no compiled form.")
        score = probability if task == "classification" else value_of
        return builder.program(score(builder, value, estimator))
    except (AttributeError, IndexError, KeyError, ValueError, TypeError) as problem:
        # Another version of the framework may keep its facts elsewhere; the estimator itself still answers.
        raise NotCompiled(
            f"The {type(estimator).__name__} is not read by this Slipway: {type(problem).__name__}: {problem}"
        ) from problem


def _encoded(builder: Builder) -> Block:
    """The encoded matrix, as `schema.encoding.Encoder` makes it."""
    blocks = []
    for place, field in enumerate(builder.fields):
        if field.type in ("float", "int", "bool"):
            # Whatever is a number stands as it is, whichever kind the signature names.
            blocks.append(builder.add(steps.Numbers((place,), (field.type,), (WHOLE,)), 1))
        else:
            codes = [*range(len(field.categories)), float("nan"), float("nan")]
            rows = Array.of([[float(code)] for code in codes])
            blocks.append(builder.add(steps.Table(place, "text", field.categories, rows), 1))
    return builder.join(_together(builder, blocks))


def _together(builder: Builder, blocks: list[Block]) -> list[Block]:
    """Neighbouring numbers as one step."""
    written, builder.steps = builder.steps, []
    found: list[Block] = []
    for block in blocks:
        step = written[block.number]
        last = builder.steps[-1] if builder.steps else None
        if isinstance(step, steps.Numbers) and isinstance(last, steps.Numbers):
            builder.steps[-1] = steps.Numbers(
                last.inputs + step.inputs, last.kinds + step.kinds, last.ranges + step.ranges
            )
            found[-1] = Block(found[-1].number, found[-1].width + 1)
        else:
            found.append(builder.add(step, 1))
    return found
