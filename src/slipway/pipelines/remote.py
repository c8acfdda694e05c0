"""A step handed to another process by files, and what came of it as a value or a sentence."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from slipway.code import reference
from slipway.errors import Corrupt, InvalidInput, NotFound, RunStopped, StepFailed
from slipway.hashing import digest
from slipway.ledger import artifacts
from slipway.ledger.run_log import RunLog
from slipway.ledger.run_notes import STOPPED
from slipway.ledger.step_scope import StepCall
from slipway.pipelines import cache
from slipway.pipelines.following import Following, bytes_in
from slipway.pipelines.hidden.recorder import Recorder, current
from slipway.ports.executor import Ending, Executor
from slipway.records.tasks import PROTOCOL, StepAnswer, StepTask
from slipway.schema.fingerprints import of_value

__all__ = ["Remote"]

_RESULT = "result.json"


def _target(call: StepCall) -> str:
    """Where another process finds the step's function; one of a script is in the module of the script's name there."""
    module, _, name = reference(call.function).partition(":")
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if module == "__main__" and script:
        module = Path(script).stem
    return f"{module}:{name}"


class Remote:
    """Runs step calls elsewhere. Safe for threads.

    Args:
        executor: Where.
        code: The project's snapshot, as `snapshot.pack` makes it; b"" where the code is installed there.
        folder: Where task folders are made; each is removed when its step has ended.
        timeout_s: After how many seconds a step is ended, None for never.
    """

    def __init__(self, executor: Executor, *, code: bytes, folder: Path, timeout_s: float | None = None) -> None:
        self._executor = executor
        self._code = code
        self._folder = folder
        self._timeout_s = timeout_s

    def __call__(self, call: StepCall, log: RunLog) -> Any:
        """The step's result. What it logs reaches the run while it runs.

        Args:
            call: The step.
            log: The pipeline's run.

        Raises:
            RunStopped: A watch of the run ended the step.
            StepFailed: The step raised, or its process crashed, was killed, took too long or answered nonsense.
            InvalidInput: The call cannot be handed over: its function is local, or an argument cannot be stored.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        recorder = current.get()
        # What the step reads, its own process records.
        with current.filled(None), tempfile.TemporaryDirectory(prefix=f"{call.name}-", dir=self._folder) as made:
            folder = Path(made)
            self._write(call, log, folder)
            with Following(log, folder):
                ending = self._executor.execute(folder, timeout_s=call.limits.timeout_s or self._timeout_s)
            return self._result(call, log, folder, ending, recorder)

    def _write(self, call: StepCall, log: RunLog, folder: Path) -> None:
        target = _target(call)
        if "<locals>" in target:
            raise InvalidInput(
                f"The step {call.name!r} is defined inside another function, where no other process finds it.",
                fix="Define it at the top level of a module, or run it in this process.",
            )
        (folder / "artifacts").mkdir()
        inputs = {}
        for name, value in call.inputs.items():
            encoded = artifacts.encode(name, value, of_value)
            for artifact, data in encoded.parts:
                (folder / "artifacts" / artifact.digest).write_bytes(data)
            inputs[name] = encoded.artifacts
        if self._code:
            (folder / "code.zip").write_bytes(self._code)
        task = StepTask(
            step=call.name,
            function=target,
            code=digest(self._code) if self._code else "",
            inputs=inputs,
            returns=call.returns,
            run=log.run,
            now=log.workspace.clock.now(),
            allow=call.allow,
            cwd=os.getcwd(),
            cpus=call.limits.cpus,
            memory_bytes=call.limits.memory_bytes,
            gpus=call.limits.gpus,
        )
        (folder / "task.json").write_bytes(msgspec.json.encode(task))

    def _result(self, call: StepCall, log: RunLog, folder: Path, ending: Ending, recorder: Recorder | None) -> Any:
        if ending.problem:
            hint = ", as a machine does that runs out of memory" if "SIGKILL" in ending.problem else ""
            raise self._failed(call, f"its process {ending.problem}{hint}", ending.output)
        try:
            answer = msgspec.json.decode((folder / _RESULT).read_bytes(), type=StepAnswer)
        except FileNotFoundError as problem:
            raise self._failed(call, "its process ended without a result", ending.output) from problem
        except msgspec.DecodeError as problem:
            raise self._failed(
                call, f"its process left a result that cannot be read: {problem}", ending.output
            ) from problem
        if answer.protocol != PROTOCOL:
            told = f"its process answered in protocol {answer.protocol}, expected was {PROTOCOL}"
            raise self._failed(call, told, "")
        if answer.state == "stopped" and answer.error is not None:
            raise RunStopped(answer.error.message, run_id=log.id, fix=STOPPED)
        if answer.state != "finished":
            told = "for no reason given" if answer.error is None else f"{answer.error.type}: {answer.error.message}"
            raise self._failed(call, told, "" if answer.error is None else answer.error.trace)
        if recorder is not None:
            recorder.take(answer.hidden, answer.undeclared)
        try:
            return cache.decode(answer.outputs, lambda artifact: bytes_in(folder, artifact))
        except (Corrupt, NotFound, IndexError) as problem:
            raise self._failed(call, f"its process left a result that cannot be used: {problem}", "") from problem

    def _failed(self, call: StepCall, told: str, trace: str) -> StepFailed:
        return StepFailed(
            f"The step {call.name!r} failed: {told}",
            step=call.name,
            trace=trace,
            fix="Mend it and run the pipeline again: the steps before it are found stored.",
        )
