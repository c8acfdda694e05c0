"""Opening a model of ONNX: the session of onnxruntime, and what the model takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as states

from slipway.backends.onnx_bytes import Facts, Malformed, facts_of
from slipway.errors import InvalidInput

__all__ = [
    "FAILURES", "FLOATS", "WHOLES", "Output", "Slot", "first_line", "open_session", "output_of", "read_facts", "several",
    "slot_of", "takes_one",
]  # fmt: skip

FAILURES = tuple(
    getattr(states, name)
    for name in ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException")
)
FLOATS = {"tensor(float)": np.float32, "tensor(double)": np.float64}
WHOLES = {
    f"tensor({name})": np.dtype(name) for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
}
_LABELS = ("tensor(int64)", "tensor(int32)", "tensor(string)", "tensor(bool)")


class Slot(NamedTuple):
    """One input of a model: its name, its tensor's type, how many columns it takes (0: any), whether rows lie in a vector."""

    name: str
    type: str
    width: int
    is_vector: bool


class Output(NamedTuple):
    """Where the answers are: their output's name, whether it is a list of maps, and whether a class is told beside it."""

    name: str
    is_map: bool
    has_label: bool


def read_facts(data: bytes) -> Facts:
    """What a model says of itself.

    Raises:
        InvalidInput: The bytes are no ONNX model, or its weights lie in files beside it.
    """
    try:
        facts = facts_of(data)
    except Malformed as problem:
        raise InvalidInput(
            f"The bytes are no ONNX model: {problem}.",
            fix="Give what was exported: onnx_model, or a path to an .onnx file.",
        ) from problem
    if facts.external:
        raise InvalidInput(
            f"The ONNX model keeps weights in files beside it: {', '.join(facts.external[:3])}.",
            why="A bundle holds one model whose bytes are signed; files beside it could be others tomorrow.",
            fix="Put them into it: onnx.save_model(onnx.load('model.onnx'), 'whole.onnx', save_as_external_data=False).",
        )
    return facts


def open_session(data: bytes, facts: Facts) -> Any:
    """A session of one thread.

    Raises:
        InvalidInput: onnxruntime does not load the model; the sentence says why, and what to do.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised, with its words
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except FAILURES as problem:
        told = first_line(problem)
        sets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in sorted(facts.opsets.items()))
        if "is not a registered function/op" in told or "No opset import for domain" in told:
            fix = "Export it with operators of ONNX alone; Slipway loads no libraries of operators (custom ops) into an endpoint."
        elif "opset" in told.lower() or "IR version" in told:
            fix = "Export it for an earlier set: to_onnx(..., target_opset=21), or torch.onnx.export(..., opset_version=17); or install a newer onnxruntime."
        else:
            fix = "Check it where it was exported: onnx.checker.check_model(model)."
        raise InvalidInput(
            f"onnxruntime {onnxruntime.__version__} does not load the ONNX model: {told}",
            why=f"It was written{' by ' + facts.producer if facts.producer else ''} for the operators {sets}.",
            fix=fix,
        ) from problem


def slot_of(given: Any, *, alone: bool) -> Slot:
    """One input; `alone` says that the model has no other.

    Raises:
        InvalidInput: It cannot be filled with columns of a table.
    """
    shape = list(given.shape)
    if given.type not in FLOATS and given.type not in WHOLES and given.type not in ("tensor(string)", "tensor(bool)"):
        raise InvalidInput(
            f"The ONNX model's input {given.name!r} is of type {given.type}.",
            why="Inputs are tensors of numbers, booleans or texts.",
            fix="Export it with inputs of float, double, int64, bool or string.",
        )
    width = shape[1] if len(shape) == 2 else 1
    if len(shape) not in (1, 2):
        raise InvalidInput(
            f"The ONNX model's input {given.name!r} has the shape {shape}.",
            why="A request's row is a row of a table: inputs have the shape [rows, columns] or [rows].",
            fix="Export it so that it takes a table and reshapes inside.",
        )
    if not alone and width != 1:
        raise InvalidInput(
            f"The ONNX model's input {given.name!r} takes {width if isinstance(width, int) else 'any number of'} columns beside other inputs.",
            why="Which of the sample's columns belong to which input is not said anywhere.",
            fix="Export it with one input of all columns, or with one input a column, named like it: ('carrier', StringTensorType([None, 1])).",
        )
    return Slot(given.name, given.type, width if isinstance(width, int) else 0, len(shape) == 1)


def takes_one(given: Sequence[Any]) -> bool:
    """Whether it takes one row at once, rather than any number.

    Raises:
        InvalidInput: It takes another fixed number.
    """
    fixed = {one.shape[0] for one in given if isinstance(one.shape[0], int)}
    if fixed - {1}:
        raise InvalidInput(
            f"The ONNX model takes exactly {max(fixed)} rows at once.",
            why="Requests hold any number of rows.",
            fix="Export it with a dynamic first axis: FloatTensorType([None, n]), or torch.onnx.export(..., dynamic_axes={'x': {0: 'rows'}}).",
        )
    return bool(fixed)


def output_of(outputs: Sequence[Any]) -> Output:
    """Where the answers are.

    Raises:
        InvalidInput: Nowhere, or in several places.
    """
    maps = [one.name for one in outputs if one.type.startswith("seq(map(")]
    floats = [one for one in outputs if one.type in FLOATS]
    labels = [one for one in outputs if one.type in _LABELS]
    found = maps + [one.name for one in floats]
    told = ", ".join(f"{one.name} {one.type}" for one in outputs)
    if not found:
        raise InvalidInput(
            f"The ONNX model gives {told}: classes without probabilities.",
            why="A gate, a threshold and a monitor need a probability, or a value.",
            fix="Export it with its probabilities or values as an output of floats.",
        )
    if len(found) > 1:
        raise InvalidInput(
            f"The ONNX model gives several answers: {told}.",
            why="One score a row is served, and nothing says which of them it is.",
            fix=f"Keep one: onnx.utils.extract_model('model.onnx', 'one.onnx', inputs, [{found[-1]!r}]).",
        )
    shape = [] if maps else list(floats[0].shape)
    if shape and (len(shape) > 2 or (len(shape) == 2 and isinstance(shape[1], int) and shape[1] not in (1, 2))):
        raise several(found[0], [one if isinstance(one, int) else 1 for one in shape], 1)
    return Output(found[0], bool(maps), bool(labels))


def first_line(problem: Exception) -> str:
    """What onnxruntime says, without its traces."""
    lines = [line for line in str(problem).strip().splitlines() if line.strip()]
    return (lines[0] if lines else type(problem).__name__)[:300].rstrip(".") + "."


def several(name: str, shape: Sequence[int], count: int) -> InvalidInput:
    """The refusal of answers that are more than one score a row."""
    return InvalidInput(
        f"The ONNX model's output {name!r} has the shape {tuple(shape)} for {count} rows.",
        why="Slipway serves one score a row: the probability of the second of two classes, or a value.",
        fix="Export one model a class, or join the classes into two; a network ends with one unit or with two.",
    )
