"""A step handed to another process: what goes in and what comes out, as files.

A task folder holds `task.json` (a `StepTask`), `code.zip` (a project snapshot), `artifacts/<digest>` (inputs, and later
outputs), and in the end `result.json` (a `StepAnswer`), which appears last and whole.
"""

from typing import Literal

from msgspec import Struct

from slipway.records.runs import Artifact, RunError

__all__ = ["PROTOCOL", "StepAnswer", "StepTask"]

PROTOCOL = 1


class StepTask(Struct, frozen=True, kw_only=True):
    """What a worker shall do.

    Args:
        protocol: The version of this file protocol; a worker refuses any other than its own.
        step: The step's name, for sentences.
        function: `module:qualname`.
        code: The digest of `code.zip`, "" where the code is installed.
        inputs: Each argument as artifacts, by name.
        returns: The names of a returned tuple's items, () for one result.
    """

    protocol: int = PROTOCOL
    step: str
    function: str
    code: str = ""
    inputs: dict[str, tuple[Artifact, ...]] = {}
    returns: tuple[str, ...] = ()


class StepAnswer(Struct, frozen=True, kw_only=True):
    """What a worker did.

    Args:
        protocol: The version of this file protocol.
        state: How it ended.
        outputs: The result as artifacts.
        error: Why it failed.
        seconds: Machine time of the function itself.
    """

    protocol: int = PROTOCOL
    state: Literal["finished", "failed"]
    outputs: tuple[Artifact, ...] = ()
    error: RunError | None = None
    seconds: float = 0.0
