"""A pipeline's run: recorded, cached, resumed, failed."""

import logging
import shutil
import sqlite3
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from slipway.backends.clocks import SimulatedClock
from slipway.errors import Conflict, InvalidInput, NotFound, StepFailed
from slipway.ledger import run_log
from slipway.ledger.step_scope import run_step
from slipway.pipelines import engine, reasons, why
from slipway.pipelines.declare import pipeline, step
from slipway.ports import workspace as ports
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run, StepRun
from slipway.runs import search
from slipway.schema.fingerprints import of_value
from slipway.tables import versions


class _Calls(logging.Handler):
    """Which steps really ran. A list of this module would be part of the steps' code; a logger is the library's."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.names.append(record.getMessage())


handler = _Calls()
calls = handler.names
logging.getLogger("called").addHandler(handler)


def called(name: str) -> None:
    logging.getLogger("called").warning(name)


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    calls.clear()


def steps(workspace: Workspace, run: Run) -> list[StepRun]:
    with workspace.ledger.read() as tx:
        return reasons.steps_of(tx, run.id)


@step
def load(until: date, rows: int = 3) -> pl.DataFrame:
    called("load")
    return pl.DataFrame({"n": list(range(rows)), "until": [until] * rows})


@step(returns=["fit", "test"])
def split(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    called("split")
    return rows[:-1], rows[-1:]


@step
def total(rows: pl.DataFrame, weight: float = 1.0) -> float:
    called("total")
    return float(rows["n"].sum()) * weight


@pipeline
def release(until: date = date(2013, 4, 1), weight: float = 1.0) -> float:
    fit, test = split(load(until))
    return total(fit, weight) + total(test)


def test_the_second_run_computes_nothing_and_says_the_same(workspace: Workspace) -> None:
    first = engine.run(workspace, release)
    assert first.value == 3.0
    assert calls == ["load", "split", "total", "total"]
    second = engine.run(workspace, release)
    assert second.value == first.value
    assert len(calls) == 4
    recorded = steps(workspace, second.run)
    assert [(s.name, s.state, s.source_run_id) for s in recorded] == [
        (name, "cached", first.run.id) for name in ("load", "split", "total", "total")
    ]
    assert [[a.name for a in s.outputs] for s in recorded] == [["result"], ["fit", "test"], ["result"], ["result"]]
    assert [s.outputs for s in recorded] == [s.outputs for s in steps(workspace, first.run)]
    assert (first.run.state, first.run.pipeline, first.run.params) == (
        "finished",
        "release",
        {"until": "2013-04-01", "weight": 1.0},
    )
    assert first.run.code.entry == f"{__name__}:release"
    assert len(first.run.code.closure) == 64


def test_only_what_depends_on_a_change_runs_again(workspace: Workspace) -> None:
    engine.run(workspace, release)
    calls.clear()
    result = engine.run(workspace, release, {"weight": 2.0})
    assert result.value == 4.0
    assert calls == ["total"]
    assert [s.reason for s in steps(workspace, result.run)][2] == "argument weight changed"
    assert why.explain(workspace, "load").endswith(
        "has changed since run " + steps(workspace, result.run)[0].source_run_id[:12] + "."
    )


def test_a_parameters_type_counts(workspace: Workspace) -> None:
    engine.run(workspace, release, {"weight": 1.0})
    calls.clear()
    engine.run(workspace, release, {"weight": 1})
    assert calls == ["total"]


def test_equal_output_of_a_changed_input_cuts_off(workspace: Workspace) -> None:
    @step
    def clip(n: int) -> int:
        called("clip")
        return min(n, 10)

    @step
    def double(n: int) -> int:
        called("double")
        return n * 2

    @pipeline
    def both(n: int) -> int:
        return double(clip(n))

    engine.run(workspace, both, {"n": 11})
    assert engine.run(workspace, both, {"n": 12}).value == 20
    assert calls == ["clip", "double", "clip"]


def test_outside_a_run_everything_is_plain(workspace: Workspace) -> None:
    assert total(pl.DataFrame({"n": [1, 2]}), weight=2.0) == 6.0
    assert release() == 3.0
    assert run_step("own", lambda: 7, inputs={}) == 7
    with workspace.ledger.read() as tx:
        assert tx.find("run") == []


@pytest.mark.parametrize("damage", ["gone", "corrupt", "truncated"])
def test_lost_or_damaged_results_are_misses(workspace: Workspace, damage: str) -> None:
    first = engine.run(workspace, release)
    output = steps(workspace, first.run)[0].outputs[0]
    path = workspace.root / "blobs" / output.digest[:2] / output.digest[2:]
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-4] + (b"" if damage == "truncated" else b"oops"))
    calls.clear()
    second = engine.run(workspace, release)
    assert second.value == 3.0
    assert calls == ["load"]
    assert "the stored result" in steps(workspace, second.run)[0].reason
    calls.clear()
    engine.run(workspace, release)
    assert calls == []


def test_a_raising_step_fails_the_run_with_the_users_traceback(workspace: Workspace) -> None:
    @step
    def explode(n: int) -> int:
        return {}["missing"] + n  # type: ignore[no-any-return]

    @pipeline
    def doomed(n: int) -> int:
        total(load(date(2013, 1, 1)))
        return explode(n)

    with pytest.raises(StepFailed, match="The step 'explode' failed: KeyError: 'missing'") as caught:
        engine.run(workspace, doomed, {"n": 1})
    error = caught.value
    assert isinstance(error.__cause__, KeyError)
    assert 'return {}["missing"] + n' in error.trace
    assert "slipway/pipelines" not in error.trace
    with workspace.ledger.read() as tx:
        run = tx.find("run")[0]
    record = search.get_run(workspace, run.id)
    assert record.id == error.run_id
    assert record.state == "failed"
    assert record.error is not None
    assert (record.error.type, record.error.step) == ("KeyError", "explode")
    assert [(s.name, s.state) for s in steps(workspace, record)] == [
        ("load", "finished"),
        ("total", "finished"),
        ("explode", "failed"),
    ]
    calls.clear()
    with pytest.raises(StepFailed):
        engine.run(workspace, doomed, {"n": 1})
    assert calls == []
    assert "failed after" in why.explain(workspace, "explode")
    assert "it failed in run" in why.explain(workspace, "explode")


def test_resume_takes_the_parameters_in_their_types(workspace: Workspace) -> None:
    should_fail = [True]

    @step(cache=False)
    def last(until: date) -> str:
        if should_fail:
            raise OSError("network")
        return until.isoformat()

    @pipeline
    def fragile(until: date, rows: int = 2) -> str:
        load(until, rows)
        return last(until)

    with pytest.raises(StepFailed) as caught:
        engine.run(workspace, fragile, {"until": date(2013, 5, 1)})
    should_fail.clear()
    calls.clear()
    result = engine.run(workspace, fragile, resume=caught.value.run_id)
    assert result.value == "2013-05-01"
    assert calls == []
    assert result.run.tags["slipway.resumes"] == caught.value.run_id
    with pytest.raises(NotFound, match="There is no run 'x' to resume"):
        engine.run(workspace, fragile, resume="x")
    with pytest.raises(InvalidInput, match="is of fragile, not of 'release'"):
        engine.run(workspace, release, resume=caught.value.run_id)


def test_a_resume_finds_a_call_before_which_a_kill_left_no_record(workspace: Workspace) -> None:
    should_fail = [True]

    @step(cache=False)
    def fetch(n: int) -> int:
        called(f"fetch {n}")
        return n

    @step(cache=False)
    def last(total: int) -> int:
        if should_fail:
            raise OSError("network")
        return total

    @pipeline
    def fragile() -> int:
        return last(sum(fetch(n) for n in range(3)))

    with pytest.raises(StepFailed) as caught:
        engine.run(workspace, fragile)
    with workspace.ledger.write() as tx:
        tx.remove("step", f"{caught.value.run_id}.1")  # calls beside each other begin in any order
    should_fail.clear()
    calls.clear()
    assert engine.run(workspace, fragile, resume=caught.value.run_id).value == 3
    assert calls == ["fetch 0"]


def test_what_cannot_be_cached_runs_and_says_why(workspace: Workspace) -> None:
    class Odd:
        pass

    @step
    def take(thing: object) -> int:
        called("take")
        return 1

    @step(cache=False)
    def fetch() -> int:
        called("fetch")
        return 1

    @step
    def many(n: int) -> Any:
        return (i for i in range(n))

    @pipeline
    def odd() -> int:
        assert list(many(2)) == [0, 1]
        return take(Odd()) + fetch()

    engine.run(workspace, odd)
    result = engine.run(workspace, odd)
    assert calls == ["take", "fetch"] * 2
    told = {s.name: s.reason for s in steps(workspace, result.run)}
    assert told["take"].startswith("not cached: argument thing: A value of type")
    assert told["fetch"] == "not cached: the step says cache=False"
    assert "its result is not stored: A generator cannot be stored" in told["many"]


def test_pickle_is_flagged(workspace: Workspace) -> None:
    @step
    def cut() -> slice:
        called("cut")
        return slice(1, 2)

    @pipeline
    def pickled() -> slice:
        return cut()

    first = engine.run(workspace, pickled)
    assert "slice, which only pickle can store" in steps(workspace, first.run)[0].reason
    assert engine.run(workspace, pickled).value == slice(1, 2)
    assert calls == ["cut"]


def test_a_step_that_changes_its_argument_is_never_stood_in_for(workspace: Workspace) -> None:
    @step
    def grow(items: list[int]) -> int:
        items.append(1)
        return len(items)

    @step
    def shift(frame: pd.DataFrame, array: np.ndarray[Any, Any]) -> float:
        array += 1
        return float(frame["a"].sum() + array.sum())

    @pipeline
    def mutating() -> tuple[list[int], float]:
        items, array = [0], np.zeros(2)
        grow(items)
        shift(pd.DataFrame({"a": [1]}), array)
        return items, float(array.sum())

    for _ in range(2):
        result = engine.run(workspace, mutating)
        assert result.value == ([0, 1], 2.0)
    told = [s.reason for s in steps(workspace, result.run)]
    assert "it changed its argument items in place" in told[0]
    assert "it changed its argument array in place" in told[1]


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.insert_column(0, pl.Series("z", [1])),
        lambda frame: setattr(frame, "columns", ["b"]),
        lambda frame: frame.__setitem__((0, "a"), 9),
        lambda frame: frame.drop_in_place("a"),
    ],
    ids=["inserted", "renamed", "set", "dropped"],
)
def test_a_step_that_changes_a_polars_frame_is_never_stood_in_for(
    workspace: Workspace, change: Callable[[pl.DataFrame], object]
) -> None:
    @step
    def prepare(rows: pl.DataFrame) -> int:
        change(rows)
        return 1

    @pipeline
    def mutating() -> str:
        rows = pl.DataFrame({"a": [1]})
        prepare(rows)
        return str(rows.to_dict(as_series=False))

    first = engine.run(workspace, mutating)
    again = engine.run(workspace, mutating)
    assert again.value == first.value != "{'a': [1]}"
    assert "it changed its argument rows in place" in steps(workspace, again.run)[0].reason


def test_the_order_of_a_mapping_given_to_a_step_counts(workspace: Workspace) -> None:
    @step
    def names(columns: dict[str, list[int]]) -> list[str]:
        return pl.DataFrame(columns).columns

    @pipeline
    def ordered(turned: bool = False) -> list[str]:
        return names({"b": [1], "a": [2]} if turned else {"a": [2], "b": [1]})

    assert engine.run(workspace, ordered).value == ["a", "b"]
    assert engine.run(workspace, ordered, {"turned": True}).value == ["b", "a"]


def test_values_come_back_equal(workspace: Workspace) -> None:
    @step
    def make() -> tuple[object, ...]:
        called("make")
        return (
            *(1, 1.0, "1", None, [date(2013, 1, 1)], {"a": (timedelta(hours=1),)}),
            np.arange(3),
            pl.Series("s", [1]).to_frame().lazy(),
        )

    @pipeline
    def values() -> tuple[object, ...]:
        return make()

    first, second = engine.run(workspace, values), engine.run(workspace, values)
    assert calls == ["make"]
    assert [type(v) for v in second.value] == [type(v) for v in make()]
    assert of_value(second.value) == of_value(first.value) == of_value(make())


def test_tables_read_inside_are_inputs_and_part_of_the_key(workspace: Workspace) -> None:
    @step
    def count() -> int:
        called("count")
        return versions.read(ports.workspace(), "rows").collect().height

    @pipeline
    def counting() -> int:
        return count()

    one = versions.overwrite(workspace, "rows", pl.DataFrame({"a": [1]}))
    node = versions.node(workspace.project, "rows", one.version)
    first = engine.run(workspace, counting)
    second = engine.run(workspace, counting)
    assert (first.value, second.value, calls) == (1, 1, ["count"])
    assert first.run.inputs == second.run.inputs == (node,)
    with workspace.ledger.read() as tx:
        assert [link.target for link in tx.links(node, towards=False)] == sorted(
            [f"run:{first.run.id}", f"run:{second.run.id}"]
        )
    versions.append(workspace, "rows", pl.DataFrame({"a": [2]}))
    third = engine.run(workspace, counting)
    assert third.value == 2
    assert steps(workspace, third.run)[0].reason == "table rows, which it reads, has another version"


def test_what_a_step_logs_is_logged_by_a_hit_too(workspace: Workspace, clock: SimulatedClock) -> None:
    @step
    def fit(rate: float) -> float:
        log = run_log.current_run.get()
        assert log is not None
        log.log_params({"rate.used": rate})
        log.log_metric("loss", rate * 2, 1)
        log.set_tags({"note": "x"})
        return rate

    @pipeline
    def logging(rate: float = 0.5) -> float:
        return fit(rate)

    first = engine.run(workspace, logging)
    clock.advance_to(clock.now() + timedelta(days=1))
    second = engine.run(workspace, logging)
    assert first.run.id != second.run.id
    for result in (first, second):
        assert result.run.params["rate.used"] == 0.5
        assert result.run.tags["note"] == "x"
        with workspace.ledger.read() as tx:
            assert [(p.key, p.value, p.step) for p in tx.latest_points([result.run.id])[result.run.id]] == [
                ("loss", 1.0, 1)
            ]
    assert steps(workspace, second.run)[0].state == "cached"


def test_slipways_own_steps_take_part(workspace: Workspace) -> None:
    def weight(n: int) -> int:
        return n * 2

    def training_set(label: str) -> pl.DataFrame:
        def compute() -> pl.DataFrame:
            called(label)
            if label == "gone":
                raise NotFound("There is no column 'gone'.")
            return pl.DataFrame({label: [weight(1)]})

        return run_step("training_set", compute, inputs={"label": label}, code=(weight,))

    @pipeline
    def own(label: str = "late") -> int:
        return int(training_set(label).item())

    assert engine.run(workspace, own).value == 2
    assert engine.run(workspace, own).value == 2
    assert calls == ["late"]
    with pytest.raises(NotFound, match="no column 'gone'"):
        engine.run(workspace, own, {"label": "gone"})


def test_steps_inside_steps_are_part_of_the_outer_one(workspace: Workspace) -> None:
    @step
    def outer(n: int) -> float:
        return total(pl.DataFrame({"n": [n]}))

    @pipeline
    def nested() -> float:
        return outer(2)

    result = engine.run(workspace, nested)
    assert [s.name for s in steps(workspace, result.run)] == ["outer"]


def test_the_pipelines_value_is_an_artifact_of_the_run(workspace: Workspace) -> None:
    result = engine.run(workspace, release)
    kept = {a.name: a for a in result.run.artifacts}
    assert kept["result"].fingerprint == of_value(3.0)

    @pipeline
    def only() -> pl.DataFrame:
        return load(date(2013, 1, 1))

    result = engine.run(workspace, only)
    assert result.run.artifacts == steps(workspace, result.run)[0].outputs


def test_wrong_parameters_are_named(workspace: Workspace) -> None:
    with pytest.raises(InvalidInput, match=r"has no parameter 'wight'\. Did you mean 'weight'"):
        engine.run(workspace, release, {"wight": 1})

    @pipeline
    def needy(until: date) -> None: ...

    with pytest.raises(InvalidInput, match="needs until"):
        engine.run(workspace, needy)


def test_an_interrupt_fails_the_run_but_is_no_step_failure(workspace: Workspace) -> None:
    @step
    def wait() -> None:
        raise KeyboardInterrupt

    @pipeline
    def interrupted() -> None:
        wait()

    with pytest.raises(KeyboardInterrupt):
        engine.run(workspace, interrupted)
    with workspace.ledger.read() as tx:
        assert [e.state for e in tx.find("run")] == ["failed"]
        assert [e.state for e in tx.find("step")] == ["failed"]


def test_a_failing_store_is_not_the_steps_failure(workspace: Workspace) -> None:
    @step
    def work() -> int:
        blobs = ports.workspace().root / "blobs"
        shutil.rmtree(blobs)
        blobs.write_text("in the way")
        return 1

    @pipeline
    def unlucky() -> int:
        return work()

    with pytest.raises(OSError, match="blobs"):
        engine.run(workspace, unlucky)
    run = search.list_runs(workspace)[0]
    assert run.state == "failed"
    assert [(s.name, s.state) for s in steps(workspace, run)] == [("work", "failed")]


def test_one_transaction_a_step(workspace: Workspace) -> None:
    @pipeline
    def wide(n: int) -> float:
        return sum(total(pl.DataFrame({"n": [i]})) for i in range(n))

    def commits() -> int:
        seen: list[str] = []
        connection: sqlite3.Connection = workspace.ledger._connection()  # type: ignore[attr-defined]
        connection.set_trace_callback(seen.append)
        engine.run(workspace, wide, {"n": 30})
        connection.set_trace_callback(None)
        return seen.count("COMMIT")

    assert 30 <= commits() <= 33
    assert commits() <= 3


def test_why_says_what_was_never_run(workspace: Workspace) -> None:
    with pytest.raises(NotFound, match=r"No step 'totl' was ever run here\. There are no steps yet"):
        why.explain(workspace, "totl")
    result = engine.run(workspace, release)
    with pytest.raises(NotFound, match="Did you mean 'total'"):
        why.explain(workspace, "totl")
    assert "was called 2 times:" in why.explain(workspace, "total")
    assert "because: first run" in why.explain(workspace, "load", result.run.id)


def test_a_finished_run_takes_no_steps(workspace: Workspace) -> None:
    kept: list[Callable[[], float]] = []

    @pipeline
    def leaking() -> None:
        kept.append(run_log.current_run.get().log_metric)  # type: ignore[union-attr, arg-type]

    engine.run(workspace, leaking)
    with pytest.raises(Conflict, match="has ended"):
        kept[0]("a", 1)  # type: ignore[call-arg]


def test_the_store_may_move(workspace: Workspace, tmp_path: Path) -> None:
    from slipway.hosts.project import open_workspace

    engine.run(workspace, release)
    workspace.ledger.close()
    moved = (tmp_path / "store").rename(tmp_path / "elsewhere")
    calls.clear()
    opened = open_workspace(moved, project=workspace.project, clock=workspace.clock)
    engine.run(opened, release)
    opened.ledger.close()
    assert calls == []
