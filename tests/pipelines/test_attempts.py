"""Steps that fail for a while, hang, need too much, or return what they did not promise."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import slipway as sw
from slipway.errors import InvalidInput, StepFailed
from slipway.ledger.step_scope import StepLimits
from slipway.pipelines import engine, reasons, why
from slipway.pipelines.attempts import check_type, pause_before
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run, StepRun
from slipway.runs import search

PROJECT = """
import os, signal, time
from pathlib import Path
import slipway as sw


@sw.step(timeout_s=2.0)
def hangs(marker: str) -> int:
    Path(marker).write_text(str(os.getpid()))
    print("about to hang", flush=True)
    time.sleep(600)
    return 1


@sw.step(timeout_s=60, retries=2, backoff_s=0.01)
def late(folder: str) -> int:
    tries = len(list(Path(folder).iterdir()))
    (Path(folder) / str(tries)).touch()
    if tries == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if tries == 1:
        raise ValueError("not yet")
    return os.getpid()


@sw.step(timeout_s=60, memory="300MB")
def eats(size: int) -> int:
    held = b"x" * size
    if size > 1000:
        time.sleep(600)
    return len(held)


@sw.pipeline
def hanging(marker: str) -> int:
    return hangs(marker)


@sw.pipeline
def retried(folder: str) -> int:
    return late(folder)


@sw.pipeline
def eating(size: int) -> int:
    return eats(size)
"""


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "attempts_flow.py").write_text(PROJECT)
    monkeypatch.syspath_prepend(str(folder))
    import attempts_flow  # type: ignore[import-not-found]  # written above

    yield attempts_flow
    sys.modules.pop("attempts_flow", None)


def steps(workspace: Workspace, run: Run) -> list[StepRun]:
    with workspace.ledger.read() as tx:
        return reasons.steps_of(tx, run.id)


def newest(workspace: Workspace) -> Run:
    return search.list_runs(workspace)[0]


def test_a_step_is_tried_again_and_its_record_says_why(workspace: Workspace, said: list[str]) -> None:
    left = [2]

    @sw.step(retries=3, backoff_s=0.001, cache=False)
    def flaky() -> int:
        sw.active_run().log_metric("tries", left[0], 3 - left[0])
        if left[0]:
            left[0] -= 1
            raise OSError(f"{left[0]} more")
        return 7

    @sw.pipeline
    def patient() -> int:
        return flaky()

    result = engine.run(workspace, patient)
    assert result.value == 7
    (found,) = steps(workspace, result.run)
    assert (found.state, [one.error.message for one in found.attempts]) == ("finished", ["1 more", "0 more"])
    assert found.notes is not None  # of the attempt that succeeded alone
    assert "OSError: 1 more" in why.explain(workspace, "flaky")
    assert any("flaky: attempt 1 failed: OSError: 1 more" in line for line in said)


def test_retries_that_are_used_up_fail_the_step(workspace: Workspace) -> None:
    @sw.step(retries=1, backoff_s=0)
    def broken() -> int:
        raise OSError("down")

    @sw.step(retries=5)
    def wrong() -> int:
        raise InvalidInput("Nothing fits.", fix="Give another.")

    @sw.pipeline
    def failing(which: bool) -> int:
        return broken() if which else wrong()

    with pytest.raises(StepFailed, match="'broken' failed: OSError: down"):
        engine.run(workspace, failing, {"which": True})
    (found,) = steps(workspace, newest(workspace))
    assert (found.state, len(found.attempts)) == ("failed", 1)
    with pytest.raises(StepFailed, match="'wrong' failed"):  # what was given wrongly stays wrong
        engine.run(workspace, failing, {"which": False})
    assert steps(workspace, newest(workspace))[0].attempts == ()


def test_pauses_double_up_to_five_minutes() -> None:
    limits = StepLimits(retries=50, backoff_s=2.0)
    for number, longest in ((2, 2.0), (3, 4.0), (6, 32.0), (40, 300.0)):
        assert all(longest / 2 <= pause_before(limits, number) <= longest for _ in range(50))


def test_a_step_that_takes_too_long_is_ended(workspace: Workspace, flow: Any, tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    with pytest.raises(StepFailed, match="The step 'hangs' failed: its process took longer than 2 seconds"):
        engine.run(workspace, flow.hanging, {"marker": str(marker)})
    run = newest(workspace)
    assert (run.state, run.error.step if run.error else "") == ("failed", "hangs")
    if marker.exists():  # not, where even starting took longer
        assert not Path(f"/proc/{marker.read_text()}").exists()


def test_a_step_with_a_time_out_has_a_process_of_its_own_and_may_die_in_it(
    workspace: Workspace, flow: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "tries"
    folder.mkdir()
    result = engine.run(workspace, flow.retried, {"folder": str(folder)})
    assert result.value > 0
    told = [one.error for one in steps(workspace, result.run)[0].attempts]
    assert len(told) == 2
    assert "its process was killed by SIGKILL" in told[0].message
    assert (told[1].type, told[1].message) == ("ValueError", "not yet")


def test_a_step_gets_no_more_memory_than_it_says(workspace: Workspace, flow: Any) -> None:
    assert engine.run(workspace, flow.eating, {"size": 1000}).value == 1000
    with pytest.raises(StepFailed, match="The step 'eats' failed: its process held more than the 300 MB of memory"):
        engine.run(workspace, flow.eating, {"size": 800_000_000})


def test_a_time_out_needs_a_function_that_another_process_finds(workspace: Workspace) -> None:
    @sw.step(timeout_s=5)
    def local() -> int:
        return 1

    @sw.pipeline
    def calls() -> int:
        return local()

    with pytest.raises(StepFailed, match="is defined inside another function, where no other process finds it"):
        engine.run(workspace, calls)


def gives_frame() -> pl.DataFrame: ...  # type: ignore[empty-body]
def gives_int() -> int: ...  # type: ignore[empty-body]
def gives_float() -> float: ...  # type: ignore[empty-body]
def gives_maybe() -> pl.DataFrame | None: ...  # type: ignore[empty-body]
def gives_list() -> list[int]: ...  # type: ignore[empty-body]
def gives_many() -> Sequence[int]: ...  # type: ignore[empty-body]
def gives_any() -> Any: ...
def gives_none() -> None: ...
def gives_unknown() -> "Unknown": ...  # type: ignore[name-defined]  # noqa: F821
def gives_truth() -> bool: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (gives_frame, pl.DataFrame()),
        (gives_int, True),
        (gives_int, np.int64(3)),
        (gives_float, 3),
        (gives_float, np.float32(3)),
        (gives_maybe, None),
        (gives_list, []),
        (gives_many, (1,)),
        (gives_any, None),
        (gives_none, 3),
        (gives_unknown, 3),
        (gives_truth, np.bool_(1)),
    ],
)
def test_what_fits_an_annotation_is_taken(function: Any, value: object) -> None:
    check_type(function, value)


@pytest.mark.parametrize(
    ("function", "value", "told"),
    [
        (gives_frame, None, "It returned None, and says that it returns polars.DataFrame"),
        (gives_frame, pl.LazyFrame(), "It returned a polars.LazyFrame, and says"),
        (gives_int, 1.0, "It returned a float, and says that it returns int"),
        (gives_float, "1", "It returned a str, and says that it returns float"),
        (gives_maybe, 1, "says that it returns NoneType or polars.DataFrame"),
        (gives_list, (1,), "It returned a tuple"),
    ],
)
def test_what_does_not_fit_an_annotation_is_refused(function: Any, value: object, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        check_type(function, value)


def test_a_step_that_returns_something_else_fails_by_name(workspace: Workspace) -> None:
    @sw.step
    def load() -> pl.DataFrame:
        return None  # type: ignore[return-value]

    @sw.pipeline
    def loading() -> pl.DataFrame:
        return load()

    with pytest.raises(StepFailed, match=r"The step 'load' failed: .*It returned None"):
        engine.run(workspace, loading)
