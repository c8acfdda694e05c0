"""A step handed to another process by files, and what came of it as a value or a sentence."""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from slipway.code import reference
from slipway.errors import (
    BackendError,
    Corrupt,
    InvalidInput,
    NotFound,
    RunStopped,
    SlipwayError,
    StepFailed,
    Unavailable,
)
from slipway.hashing import digest
from slipway.ledger import artifacts
from slipway.ledger.run_log import RunLog
from slipway.ledger.run_notes import STOPPED
from slipway.ledger.step_scope import StepCall
from slipway.pipelines import cache
from slipway.pipelines.following import Following, Seen, bytes_in
from slipway.pipelines.hidden.recorder import Recorder, current
from slipway.ports.executor import Ending, Executor, Resources
from slipway.records.runs import RunFinding
from slipway.records.tasks import PROTOCOL, StepAnswer, StepTask
from slipway.schema.fingerprints import of_value

__all__ = ["Remote"]

_RESULT = "result.json"
_LOST_TIMES = 5


def _target(call: StepCall) -> str:
    """Where another process finds the step's function; one of a script is in the module of the script's name there."""
    module, _, name = reference(call.function).partition(":")
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if module == "__main__" and script:
        module = Path(script).stem
    return f"{module}:{name}"


def _tell_lost(call: StepCall, log: RunLog, ending: Ending, attempt: int) -> None:
    """Say that it was not the step that failed: its own retries are not used up by that."""
    words = f"The step {call.name!r} {ending.problem}; it was run again elsewhere"
    log.workspace.say(words)
    log.add_finding(RunFinding(kind="lost", key=call.name, step=attempt, words=words, at=datetime.now(UTC)))


class Remote:
    """Runs step calls elsewhere. Safe for threads.

    Args:
        executor: Where.
        code: The project's snapshot, as `snapshot.pack` makes it; b"" where the code is installed there.
        folder: Where task folders are made; each is removed when its step has ended.
        timeout_s: After how many seconds a step is ended, None for never.
        beside: The folder of which `code` was taken: what else lies there is found beside the copy too; None for nothing.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        code: bytes,
        folder: Path,
        timeout_s: float | None = None,
        beside: Path | None = None,
    ) -> None:
        self._executor = executor
        self._code = code
        self._digest = digest(code) if code else ""
        self._folder = folder
        self._timeout_s = timeout_s
        self._beside = str(beside or "")

    def __call__(self, call: StepCall, log: RunLog) -> Any:
        """The step's result. What it logs reaches the run while it runs.

        Args:
            call: The step.
            log: The pipeline's run.

        Raises:
            RunStopped: A watch of the run ended the step.
            StepFailed: The step raised, or its process crashed, was killed, took too long or answered nonsense.
            InvalidInput: The call cannot be handed over: its function is local, or an argument cannot be stored.
            BackendError: The place where it ran was lost again and again, or its folder cannot be written.
        """
        seen, recorder = Seen(), current.get()
        for attempt in range(1, _LOST_TIMES + 1):
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                # What the step reads, its own process records.
                with (
                    current.filled(None),
                    tempfile.TemporaryDirectory(
                        prefix=f"{log.id}-{call.name}-", dir=self._folder, ignore_cleanup_errors=True
                    ) as made,
                ):
                    folder = Path(made)
                    self._write(call, log, folder)
                    with Following(log, folder, seen):
                        ending = self._executor.execute(folder, self._needs(call))
                    if not ending.is_lost:
                        return self._result(call, log, folder, ending, recorder)
            except OSError as problem:
                if isinstance(problem, SlipwayError):
                    raise
                raise BackendError(
                    f"The task of the step {call.name!r} cannot be written or read in {self._folder}: {problem}.",
                    fix="Look after this disk, then run the pipeline again: finished steps are found stored.",
                ) from problem
            _tell_lost(call, log, ending, attempt)
            seen.begin_again()
        raise Unavailable(
            f"The step {call.name!r} was begun {_LOST_TIMES} times, and each time what ran it was lost: {ending.problem}.",
            fix="Look after the machines that run steps, then run the pipeline again: finished steps are found stored.",
        )

    def _needs(self, call: StepCall) -> Resources:
        limits = call.limits
        return Resources(
            timeout_s=limits.timeout_s or self._timeout_s,
            memory_bytes=limits.memory_bytes or None,
            cpus=limits.cpus,
            gpus=limits.gpus,
        )

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
            code=self._digest,
            beside=self._beside,
            inputs=inputs,
            returns=call.returns,
            run=log.run,
            now=log.workspace.clock.now(),
            allow=call.allow,
            cwd=os.getcwd(),
            cpus=call.limits.cpus,
            memory_bytes=call.limits.memory_bytes,
            gpus=call.limits.gpus,
            feature_names=dict(log.feature_names),
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
            if answer.error is None:
                raise self._failed(call, "its process gave no reason", "")
            raised = (answer.error.type, answer.error.message)
            raise self._failed(call, ": ".join(raised), answer.error.trace, raised)
        if recorder is not None:
            recorder.take(answer.hidden, answer.undeclared)
        try:
            return cache.decode(answer.outputs, lambda artifact: bytes_in(folder, artifact))
        except (Corrupt, NotFound, IndexError) as problem:
            raise self._failed(call, f"its process left a result that cannot be used: {problem}", "") from problem

    def _failed(self, call: StepCall, told: str, trace: str, raised: tuple[str, str] | None = None) -> StepFailed:
        return StepFailed(
            f"The step {call.name!r} failed: {told}",
            step=call.name,
            trace=trace,
            told=raised or ("", told),
            fix="Mend it and run the pipeline again: the steps before it are found stored.",
        )
