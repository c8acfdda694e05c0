"""How steps stand, in a terminal and elsewhere."""

import io
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import pytest

from slipway.cli.progress import progress
from slipway.records.runs import RunError, StepRun

State = Literal["waiting", "running", "finished", "failed", "cached", "cancelled"]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def step(position: int, name: str, state: State) -> StepRun:
    error = RunError(type="ValueError", message="no") if state == "failed" else None
    return StepRun(
        id=f"r.{position}",
        project="p",
        name=name,
        created_at=datetime(2013, 1, 1, tzinfo=UTC),
        parent_id="r",
        state=state,
        reason="first run",
        error=error,
    )


def tell(told: Callable[[StepRun, str], None], record: StepRun) -> None:
    told(record, record.name)


def test_in_a_terminal_one_line_below_what_is_printed_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    with progress() as told:
        tell(told, step(1, "load", "cached"))
        tell(told, step(2, "train", "running"))
        tell(told, step(3, "train", "waiting"))
        while "running" not in terminal.getvalue():
            time.sleep(0.01)
        print("a step says something")
        tell(told, step(2, "train", "finished"))
        print("half a line", end="")
        time.sleep(0.5)
        print(" and its end")
    assert "half a line and its end\n" in terminal.getvalue()
    text = terminal.getvalue()
    assert "1 found stored, 1 waiting, running: train 0 s" in text
    assert "\r\x1b[Ka step says something\n" in text  # the line was taken away before
    assert sys.stdout is terminal
    assert text.endswith(("\x1b[K", " and its end\n"))


def test_elsewhere_it_is_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as told:
        tell(told, step(1, "load", "running"))
        tell(told, step(1, "load", "running"))
        tell(told, step(1, "load", "failed"))
    assert capsys.readouterr().err == "load: begins (first run)\nload: failed after 0.0 s: ValueError: no\n"
