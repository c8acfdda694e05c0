"""Networks of PyTorch as a list of operations and their tensors: no class of the project and no pickle is loaded."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from slipway.backends import sealed_files
from slipway.backends.torch_program import Program, in_float64, traced
from slipway.errors import InvalidInput
from slipway.ports.model_format import FrameColumn, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TorchFormat"]

_OPERATIONS, _WEIGHTS = "program.json", "weights.safetensors"
_AT_ONCE = 4096
_ALONE = 16
_TOLERANCE = 1e-9


class TorchFormat:
    """Keeps a `torch.nn.Module` that takes the encoded rows as one tensor and gives one score a row."""

    name = "torch"

    def opened(self, estimator: Any) -> Any:
        """See `ModelFormat.opened`."""
        return estimator

    def task(self, estimator: Any) -> Task | None:
        """See `ModelFormat.task`: a network does not say."""
        return None

    def as_kept(self, estimator: Any, x: Any) -> Any:
        """See `ModelFormat.as_kept`: the operations of the network."""
        if isinstance(estimator, Program):
            return estimator
        rows = _numbers(x)
        program = traced(estimator, rows.shape[1])
        _scores(in_float64(estimator), rows)
        _check_alone(program, rows[:_ALONE])
        return program

    def save(self, estimator: Any, folder: Path, *, trust: Sequence[str] = ()) -> None:
        """See `ModelFormat.save`."""
        for name, data in zip((_OPERATIONS, _WEIGHTS), estimator.files(), strict=True):
            sealed_files.write(folder / name, data)

    def load(self, folder: Path) -> Any:
        """See `ModelFormat.load`."""
        operations, weights = (sealed_files.read(folder / name) for name in (_OPERATIONS, _WEIGHTS))
        return Program.of_files(operations, weights, str(folder))

    def predict(self, estimator: Any, x: Any, task: Task) -> NDArray[np.float64]:
        """See `ModelFormat.predict`; of a class, refuses what is no probability."""
        scores = _scores(estimator if isinstance(estimator, Program) else in_float64(estimator), _numbers(x))
        if task == "classification" and len(outside := scores[(scores < 0) | (scores > 1)]):
            raise InvalidInput(
                f"The network answers {outside[0]}, which is no probability.",
                why="It was said to be a classification, of which a score is the probability of the positive class.",
                fix="Let it end with a sigmoid: sw.Model(torch.nn.Sequential(network, torch.nn.Sigmoid()), ...).",
            )
        return scores

    def attributed(self, estimator: Any, x: Any) -> None:
        """See `ModelFormat.attributed`: a network cannot tell."""

    def layout(self, sample: Any) -> tuple[FrameColumn, ...]:
        """See `ModelFormat.layout`: networks take the encoded matrix."""
        return ()

    def frame(self, layout: Sequence[FrameColumn], rows: Sequence[Sequence[Any]]) -> Any:
        """See `ModelFormat.frame`: never asked for, because `layout` is empty.

        Raises:
            InvalidInput: Always.
        """
        raise InvalidInput(
            "A network takes the encoded matrix, not a frame.", fix="Encode the rows: slipway.schema.encoding."
        )

    def content(self, estimator: Any) -> bytes:
        """See `ModelFormat.content`."""
        return b"".join(estimator.files())


def _numbers(x: Any) -> NDArray[np.float64]:
    try:
        return np.ascontiguousarray(x, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise InvalidInput(
            f"A network takes numbers: {problem}.",
            fix="Fix its inputs: sw.Model(network, inputs=sw.inputs(rows, ...)).",
        ) from problem


def _scores(network: torch.nn.Module, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The answers to rows, a few thousand at a time, so that what lies between its layers does not grow with them."""
    found = np.empty(len(x))
    with torch.inference_mode(), _one_thread():
        for start in range(0, len(x), _AT_ONCE):
            part = torch.from_numpy(x[start : start + _AT_ONCE])
            try:
                made = network(part)
            except (RuntimeError, IndexError) as problem:
                told = (str(problem).strip() or type(problem).__name__).splitlines()[0]
                raise InvalidInput(
                    f"The network refuses {'the row' if len(part) == 1 else f'one of {len(part)} rows'}: {told}.",
                    why="It is asked in float64, with missing values as NaN.",
                    fix="In its forward say x.dtype rather than float32, and fill missing values: torch.nan_to_num(x).",
                ) from problem
            shape = tuple(made.shape) if isinstance(made, torch.Tensor) else None
            if shape not in ((len(part),), (len(part), 1)):
                raise InvalidInput(
                    f"The network gives {'a tensor of shape ' + str(shape) if shape else type(made).__name__} for {len(part)} rows.",
                    why="One score a row is served: a probability of one class, or a value.",
                    fix="Let it end with one unit; of two classes, with the probability of the second: y[:, 1].",
                )
            found[start : start + len(part)] = made.reshape(-1).numpy()
    return found


def _check_alone(program: Program, rows: NDArray[np.float64]) -> None:
    together = _scores(program, rows)
    for number, answer in enumerate(together):
        alone = float(_scores(program, rows[number : number + 1])[0])
        if abs(alone - answer) > _TOLERANCE * max(1.0, abs(answer)):
            raise InvalidInput(
                f"The network answers {float(answer)!r} for a row among others, and {alone!r} when it stands alone.",
                why="It looks at other rows: a request, which holds one, would get another answer.",
                fix="Take means over rows in training, and keep them: a buffer, or nn.BatchNorm1d.",
            )


_threads_lock = threading.Lock()
_threads: list[int] = []


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for each request; how many the process had for training is what it has after the last of them."""
    with _threads_lock:
        _threads.append(torch.get_num_threads() if not _threads else _threads[0])
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _threads_lock:
            torch.set_num_threads(_threads.pop())
