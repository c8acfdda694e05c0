"""A network of PyTorch as a list of operations: what `torch.export` finds, in a form of its own that runs no code.

PyTorch's own files for exported programs may hold pickles, and reading them evaluates texts. Here a program is data: the
operations are those of the Core ATen set by name, and nothing else is called.
"""

from __future__ import annotations

import copy
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec
import torch

from slipway.backends.torch_weights import packed, unpacked
from slipway.errors import Corrupt, InvalidInput

__all__ = ["Program", "in_float64", "traced"]

_FORM = 1
_WORDS = {"dtype": torch.dtype, "layout": torch.layout, "memory_format": torch.memory_format}
_ARITHMETIC = ("add", "floordiv", "getitem", "mod", "mul", "neg", "sub")
"""What is done with numbers of rows, and to take one of several results of an operation."""
_TRACED_ROWS = 7


class _Held(msgspec.Struct, frozen=True):
    """A tensor that the program holds, and of which type it computes with it."""

    name: str
    dtype: str


class _Step(msgspec.Struct, frozen=True):
    """One operation. An argument {"value": n} is the n-th value: the held tensors, the rows, then each step's result."""

    op: str
    args: list[Any]
    kwargs: dict[str, Any] = {}


class _Written(msgspec.Struct, frozen=True, kw_only=True):
    """The file of a program."""

    form: int
    torch: str
    inputs: int
    held: list[_Held]
    steps: list[_Step]
    output: int


class _Ref(msgspec.Struct, frozen=True):
    at: int


class _Ready(msgspec.Struct, frozen=True):
    """An operation that can be called, and the values that nothing after it needs."""

    call: Callable[..., Any]
    args: list[Any]
    kwargs: dict[str, Any]
    over: list[int]


class Program(torch.nn.Module):  # type: ignore[misc]  # PyTorch is an extra: type checkers may not see it
    """A network as it is kept and asked: encoded rows in, one score a row out, computed in float64.

    Args:
        written: The operations.
        weights: The tensors that it holds, by name, of the types that they were trained in.

    Raises:
        Corrupt: It names what is no operation of the Core ATen set, or a tensor or value that is not there.
    """

    def __init__(self, written: _Written, weights: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self._written, self._weights = written, dict(weights)
        self.inputs = written.inputs
        try:
            self._held = [weights[one.name].to(_word("dtype", one.dtype)) for one in written.held]
        except KeyError as problem:
            raise Corrupt(f"The network's tensor {problem} is not there.") from problem
        self._steps = _ready(written)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The scores of rows.

        Args:
            x: float64 of shape `(n_rows, n_inputs)`.
        """
        values: list[Any] = [*self._held, x]
        for step in self._steps:
            values.append(step.call(*_filled(step.args, values), **_filled(step.kwargs, values)))
            for number in step.over:
                values[number] = None
        scores: torch.Tensor = values[self._written.output]
        return scores

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The network's own tensors by name, for `load_state_dict` of one that is to be trained on."""
        return dict(self._weights)

    def files(self) -> tuple[bytes, bytes]:
        """The operations and the tensors, equal for equal programs."""
        return msgspec.json.format(msgspec.json.encode(self._written), indent=1), packed(self._weights)

    @classmethod
    def of_files(cls, operations: bytes, weights: bytes, place: str) -> Program:
        """What `files` gave.

        Args:
            operations: The first of them.
            weights: The second.
            place: Where they lie, for errors.

        Raises:
            Corrupt: They are not what `files` gives.
        """
        try:
            written = msgspec.json.decode(operations, type=_Written)
        except msgspec.MsgspecError as problem:
            raise Corrupt(f"{place} is not a network: {problem}.") from problem
        if written.form != _FORM:
            raise Corrupt(f"{place} is a network in form {written.form}.", why=f"This release reads form {_FORM}.")
        return cls(written, unpacked(weights, place))


def in_float64(network: torch.nn.Module) -> torch.nn.Module:
    """A copy of a network as it answers: on the processor, in float64, without dropout and the like.

    In float32 a row's answer would change in its last digits with the number of rows beside it.
    """
    own = getattr(network, "_orig_mod", network)  # what `torch.compile` was given
    with torch.no_grad():
        return copy.deepcopy(own).cpu().double().eval()


def traced(network: torch.nn.Module, inputs: int) -> Program:
    """The operations of a network.

    Args:
        network: Takes a tensor of shape `(n_rows, inputs)`, gives one of shape `(n_rows,)` or `(n_rows, 1)`.
        inputs: How many inputs a row has.

    Raises:
        InvalidInput: It cannot be traced, or does what is not the same for each row at each time.
    """
    told = f"The network {type(network).__name__} cannot be kept:"
    example = (torch.zeros(_TRACED_ROWS, inputs, dtype=torch.float64),)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch's own parts about each other
            found = torch.export.export(
                in_float64(network), example, dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)
            ).run_decompositions()
    except Exception as problem:  # the network's own code runs here, and may raise anything
        raise InvalidInput(
            f"{told} it cannot be traced: {(str(problem).strip() or type(problem).__name__).splitlines()[0].rstrip('.')}.",
            why="Its forward is traced by torch.export, on float64 of shape (rows, inputs), with any number of rows.",
            fix="Let forward take one tensor, and not decide by values; for a type say x.dtype rather than float32.",
        ) from problem
    outputs = [one.kind.name for one in found.graph_signature.output_specs]
    if outputs != ["USER_OUTPUT"]:
        raise InvalidInput(
            f"{told} it gives {len(outputs)} results or changes its own tensors.",
            why="An answer must not change the next one.",
            fix="Let forward return one tensor, and change nothing of the network in evaluation.",
        )
    return _translated(found, getattr(network, "_orig_mod", network).state_dict(), inputs, told)


def _translated(found: Any, trained: Mapping[str, torch.Tensor], inputs: int, told: str) -> Program:
    """The program of what `torch.export` found, whose tensors are those that were trained."""
    numbers: dict[Any, int] = {}
    held, weights, steps = [], {**trained}, []
    nodes = list(found.graph.nodes)
    for node, spec in zip(nodes, found.graph_signature.input_specs, strict=False):
        numbers[node] = len(numbers)
        if spec.kind.name == "USER_INPUT":
            continue
        tensor = found.state_dict.get(spec.target, found.constants.get(spec.target))
        if not isinstance(tensor, torch.Tensor):
            raise InvalidInput(
                f"{told} it holds {spec.target!r}, which is no tensor.", fix="Keep tensors and plain numbers in it."
            )
        weights.setdefault(spec.target, tensor)
        held.append(_Held(spec.target, _name(tensor.dtype)))
    output = nodes[-1].args[0][0]
    for node in _needed(nodes[len(numbers) : -1], output):
        steps.append(_Step(_op_name(node.target, told), _plain(node.args, numbers), _plain(node.kwargs, numbers)))
        numbers[node] = len(numbers)
    used = {one.name for one in held} | set(trained)
    return Program(
        _Written(
            form=_FORM, torch=torch.__version__.partition("+")[0], inputs=inputs, held=held, steps=steps,
            output=numbers[output],
        ),
        {name: tensor.detach().cpu().clone() for name, tensor in weights.items() if name in used},
    )  # fmt: skip


def _needed(nodes: list[Any], output: Any) -> list[Any]:
    """The operations that the result needs: checks of sizes and types are not among them."""
    needed = {output}
    for node in reversed(nodes):
        if node in needed:
            needed.update(node.all_input_nodes)
    return [node for node in nodes if node in needed]


def _op_name(target: Any, told: str) -> str:
    if isinstance(target, torch._ops.OpOverload):
        if torch.Tag.nondeterministic_seeded in target.tags:
            raise InvalidInput(
                f"{told} it draws random numbers ({target}).",
                why="The same row must have the same answer.",
                fix="Draw them in training only: if self.training, or nn.Dropout.",
            )
        if _is_function(target):
            return str(target)
    for name in _ARITHMETIC:
        if target is getattr(operator, name):
            return f"operator.{name}"
    raise InvalidInput(
        f"{told} it uses {target}, which is none of PyTorch's Core ATen operations.",
        fix="Write that part with others, or accept a pickle: sw.Model(..., trust_pickle=True) with a class with predict.",
    )


def _is_function(op: Any) -> bool:
    """Whether an operation is of the Core ATen set and gives what depends on its arguments alone, which it leaves as they are."""
    return torch.Tag.core in op.tags and torch.Tag.nondeterministic_seeded not in op.tags and not op._schema.is_mutable


def _plain(value: Any, numbers: Mapping[Any, int]) -> Any:
    """An argument as JSON holds it."""
    if isinstance(value, torch.fx.Node):
        return {"value": numbers[value]}
    if isinstance(value, list | tuple):
        return [_plain(one, numbers) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one, numbers) for name, one in value.items() if name not in ("device", "pin_memory")}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    for word, kind in _WORDS.items():
        if isinstance(value, kind):
            return {word: _name(value)}
    raise InvalidInput(
        f"The network cannot be kept: one of its operations is given {value!r}.",
        why="What is kept of it are tensors, numbers, texts and types.",
    )


def _name(value: Any) -> str:
    return str(value).removeprefix("torch.")


def _word(word: str, name: str) -> Any:
    found = getattr(torch, name, None)
    if not isinstance(found, _WORDS[word]):
        raise Corrupt(f"The network names a {word} {name!r}, which this PyTorch ({torch.__version__}) does not know.")
    return found


def _ready(written: _Written) -> list[_Ready]:
    """The operations with what they call, found in the Core ATen set only."""
    steps, last = [], {}
    known = len(written.held) + 1
    for number, step in enumerate(written.steps):
        refs: list[int] = []
        args = _read(step.args, refs)
        kwargs = {name: _read(value, refs) for name, value in step.kwargs.items()}
        if any(not 0 <= at < known + number for at in refs):
            raise Corrupt(f"Step {number} of the network takes a value that no step before it makes.")
        last.update(dict.fromkeys(refs, number))
        steps.append((_called(step.op), args, kwargs))
    if not 0 <= written.output < known + len(steps):
        raise Corrupt(f"The network's result is value {written.output}, which no step makes.")
    last.pop(written.output, None)
    over: list[list[int]] = [[] for _ in steps]
    for at, number in last.items():
        over[number].append(at)
    return [_Ready(*step, done) for step, done in zip(steps, over, strict=True)]


def _called(name: str) -> Callable[..., Any]:
    home, _, rest = name.partition(".")
    if home == "operator" and rest in _ARITHMETIC:
        found: Callable[..., Any] = getattr(operator, rest)
        return found
    packet, _, overload = rest.partition(".")
    op = (
        getattr(getattr(torch.ops.aten, packet, None), overload, None)
        if home == "aten" and packet and overload
        else None
    )
    if not isinstance(op, torch._ops.OpOverload) or not _is_function(op):
        raise Corrupt(
            f"The network asks for {name!r}, which is no Core ATen operation of this PyTorch ({torch.__version__})."
        )
    return cast("Callable[..., Any]", op)


def _read(value: Any, refs: list[int]) -> Any:
    if isinstance(value, list):
        return [_read(one, refs) for one in value]
    if not isinstance(value, dict):
        return value
    (word, held), *more = value.items()
    if more or word not in ("value", "float", *_WORDS):
        raise Corrupt(f"The network has an argument {value!r}.")
    if word == "value":
        refs.append(int(held))
        return _Ref(int(held))
    return float(held) if word == "float" else _word(word, str(held))


def _filled(value: Any, values: list[Any]) -> Any:
    if type(value) is _Ref:
        return values[value.at]
    if type(value) is list:
        return [_filled(one, values) for one in value]
    if type(value) is dict:
        return {name: _filled(one, values) for name, one in value.items()}
    return value
