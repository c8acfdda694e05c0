"""Two runs side by side: what counts as equal, where they first differ, and the reason that is told."""

from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from slipway.code import CodeClosure
from slipway.pipelines import reasons
from slipway.pipelines.comparison import Apart, Compared, Made, compare, scaled
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.runs import Artifact, Environment, Machine, Run, RunError, StepRun

NOW = datetime(2013, 4, 1, tzinfo=UTC)
HERE = Environment(python="3.11.7", platform="Linux", lock=("lightgbm==4.6.0", "numpy==2.0.0"))


def kept(value: str, name: str = "result", form: str = "json", digest: str = "") -> Artifact:
    return Artifact(name=name, digest=digest or f"bytes of {value}", fingerprint=value, format=form, size_bytes=1)


def step(name: str, *outputs: Artifact, **more: Any) -> StepRun:
    fields = {"id": "r.1", "project": "p", "parent_id": "r", "created_at": NOW, "state": "finished", **more}
    return StepRun(name=name, outputs=outputs, **fields)


def run(*steps: StepRun, result: Artifact | None = None, **more: Any) -> Made:
    fields = {"id": "r" * 32, "project": "p", "created_at": NOW, "actor": Actor("ada"), "started_at": NOW, **more}
    artifacts = () if result is None else (result,)
    return Made(Run(**{"state": "finished", "environment": HERE, "artifacts": artifacts, **fields}), steps)


def told(workspace: Workspace, before: Made, after: Made, apart: float | None = None) -> Compared:
    far = None if apart is None else Apart(apart, apart, apart, "column x")
    return compare(workspace.blobs, before, after, lambda old, new: far)


def test_equal_results_are_equal_however_they_are_stored(workspace: Workspace) -> None:
    before = run(step("a", kept("1")), step("b", kept("2")), result=kept("2"))
    after = run(step("a", kept("1", digest="other bytes")), step("b", kept("2")), result=kept("2"))
    found = told(workspace, before, after)
    assert (found.verdict, found.step, found.compared) == ("equal", "", 2)
    assert found.sentence == f"The results of 2 steps and of the pipeline are equal to those of run {'r' * 12}."
    alone = told(workspace, run(result=kept("1")), run(result=kept("1")))
    assert alone.sentence == f"The result of the pipeline is equal to that of run {'r' * 12}."


def test_what_was_not_kept_is_said_and_never_called_equal(workspace: Workspace) -> None:
    pickled = kept("p", form="pickle", digest="p"), kept("q", form="pickle", digest="q")
    before, after = run(step("a", kept("1")), step("b", pickled[0])), run(step("a", kept("1")), step("b", pickled[1]))
    found = told(workspace, before, after)
    assert found.verdict == "equal"
    assert found.sentence.endswith("These results were not kept, so they could not be compared: b, the pipeline's own.")
    assert told(workspace, run(step("a")), run(step("a"))).verdict == "cannot"


def test_the_first_difference_is_named(workspace: Workspace) -> None:
    before = run(step("a", kept("1")), step("a", kept("2")), step("b", kept("3")), result=kept("3"))
    for steps, where, why in (
        ((step("a", kept("1")), step("a", kept("9")), step("b", kept("9"))), "a", "something that nobody records"),
        ((step("a", kept("1")), step("a", kept("2"))), "b", "it was not called again"),
        ((*before.steps, step("c", kept("1"))), "c", "it was not called by the first run"),
        ((step("a", kept("1"), kept("1", "more")),), "a", "nobody records"),
    ):
        found = told(workspace, before, run(*steps, result=kept("3")))
        assert (found.verdict, found.step) == ("differs", where)
        assert found.sentence.startswith(f"It differs first at {where}: ")
        assert why in found.sentence
    own = told(workspace, before, run(*before.steps, result=kept("4")))
    assert (own.step, own.verdict) == ("result", "differs")
    assert "outside any step" in own.sentence


def test_a_repetition_that_fails_differs_where_it_failed(workspace: Workspace) -> None:
    before = run(step("a", kept("1")), step("b", kept("2")))
    error = RunError(type="ValueError", message="no luck", step="b")
    failed = step("b", state="failed", error=error)
    found = told(workspace, before, run(step("a", kept("1")), failed, state="failed", error=error))
    assert (found.verdict, found.step) == ("differs", "b")
    assert found.sentence == "It differs first at b: it failed: ValueError: no luck."
    body = told(workspace, before, run(step("a", kept("1")), state="failed", error=replace(error, step="")))
    assert body.sentence == "It differs first at the pipeline itself: it failed: ValueError: no luck."


def test_the_reason_is_told_where_it_is_known(workspace: Workspace) -> None:
    def closed(**libraries: str) -> str:
        one = CodeClosure(
            root="m:a",
            hash=str(libraries),
            entries={},
            kinds={},
            libraries=libraries,
            python="3.11",
        )
        return reasons.write_closures(workspace.blobs, (one,))

    old = step("a", kept("1"), inputs={"x": "1"}, closure=closed(lightgbm="4.6.0"))
    newer = replace(HERE, lock=("lightgbm==4.6.0", "numpy==2.1.0", "scipy==1.0"))
    for new, environment, why in (
        (
            replace(old, inputs={"x": "2"}),
            HERE,
            "its argument x is another, which the pipeline makes between its steps",
        ),
        (replace(old, closure=closed(lightgbm="4.7.0")), newer, "a: library lightgbm 4.6.0 -> 4.7.0"),
        (old, newer, "but not what is installed: numpy 2.0.0 -> 2.1.0, scipy (absent) -> 1.0"),
        (
            old,
            replace(HERE, python="3.12.0", platform="Darwin"),
            "what is installed: Python 3.11.7 -> 3.12.0, and not what computed: Linux -> Darwin",
        ),
    ):
        found = told(workspace, run(old), run(replace(new, outputs=(kept("2"),)), environment=environment))
        assert why in found.sentence


def test_what_is_a_little_apart_is_within_tolerance(workspace: Workspace) -> None:
    before = run(step("rows", kept("1")), step("train", kept("m", form="model")), result=kept("m", form="model"))
    after = run(step("rows", kept("1")), step("train", kept("n", form="model")), result=kept("n", form="model"))
    found = told(workspace, before, after, 3e-12)
    assert (found.verdict, found.compared) == ("within tolerance", 2)
    assert found.sentence.startswith(f"2 of 3 results differ from those of run {'r' * 12} by no more than is forgiven")
    assert "Most differs train; at most 3e-12 apart (3e-12 of it), most in column x." in found.sentence
    for apart in (None, 1e-6, float("nan")):
        assert told(workspace, before, after, apart).verdict == "differs"


def test_a_step_or_pipeline_forgives_what_it_declares(workspace: Workspace) -> None:
    strict, lenient = step("a", kept("1"), tolerance=0.0), step("a", kept("1"), tolerance=1e-3)
    new = step("a", kept("2"))
    for old, apart, general, verdict in (
        (strict, 1e-12, None, "differs"),
        (lenient, 1e-4, None, "within tolerance"),
        (lenient, 1e-2, None, "differs"),
        (step("a", kept("1")), 1e-4, 1e-3, "within tolerance"),
        (strict, 1e-4, 1e-3, "differs"),
    ):
        found = told(workspace, run(old, result=kept("r"), tolerance=general), run(new, result=kept("r")), apart)
        assert found.verdict == verdict


def test_what_is_forgiven_early_is_named_where_it_grows_too_great(workspace: Workspace) -> None:
    forgiving = step("a", kept("1"), tolerance=1.0)
    before = run(forgiving, step("b", kept("2"), inputs={"x": "1"}), result=kept("2"))
    newer = replace(HERE, lock=("lightgbm==4.6.0", "numpy==2.1.0"))
    after = run(step("a", kept("3")), step("b", kept("4"), inputs={"x": "3"}), result=kept("4"), environment=newer)
    found = told(workspace, before, after, 1e-3)
    assert (found.verdict, found.step, found.cause) == ("differs", "b", "library")
    assert "it makes more of what was forgiven at a" in found.sentence
    assert "numpy 2.0.0 -> 2.1.0" in found.sentence


def test_metrics_count_but_for_those_of_the_machine(workspace: Workspace) -> None:
    def logged(**metrics: float) -> Made:
        return replace_metrics(run(step("a", kept("1")), result=kept("1")), metrics)

    same = {"auc": 0.7, "train_s": 1.0, "system/cpu": 3.0, "latency": 2.0, "fit_time": 1.0, "lost": float("nan")}
    first = logged(**same)
    again = logged(**{**same, "train_s": 2.0, "system/cpu": 5.0, "latency": 4.0, "fit_time": 9.0})
    assert told(workspace, first, again).verdict == "equal"
    for metrics, why in (
        ({**same, "auc": 0.71}, "auc was 0.7 and is 0.71"),
        ({name: value for name, value in same.items() if name != "auc"}, "auc was not logged again"),
        ({**same, "brier": 0.1}, "brier was not logged by the first run"),
    ):
        found = told(workspace, first, logged(**metrics))
        assert (found.verdict, found.step) == ("differs", "metrics")
        assert why in found.sentence
    assert told(workspace, first, logged(**{**same, "auc": 0.7 + 1e-12})).verdict == "equal"


def replace_metrics(made: Made, metrics: dict[str, float]) -> Made:
    return Made(made.run, made.steps, metrics)


def test_the_cause_is_a_kind_of_its_own(workspace: Workspace) -> None:
    machine = Machine(cpu="Zen 4", cores=2, threads={"OMP_NUM_THREADS": "1"})
    before = run(step("a", kept("1")), result=kept("1"), machine=machine)
    for changed, cause, why in (
        ({"machine": replace(machine, threads={"OMP_NUM_THREADS": "2"})}, "hardware", "OMP_NUM_THREADS 1 -> 2"),
        ({"machine": replace(machine, threads={})}, "hardware", "OMP_NUM_THREADS 1 -> (not set)"),
        ({"machine": replace(machine, cpu="M3", cores=8)}, "hardware", "processor Zen 4 -> M3, cores 2 -> 8"),
        ({"machine": machine}, "unknown", "nobody records"),
        ({"machine": machine, "environment": replace(HERE, python="3.12.1")}, "python", "Python 3.11.7 -> 3.12.1"),
        ({"machine": machine, "environment": replace(HERE, lock=())}, "library", "numpy 2.0.0 -> (absent)"),
    ):
        found = told(workspace, before, run(step("a", kept("2")), result=kept("2"), **changed))
        assert (found.verdict, found.cause) == ("differs", cause)
        assert why in found.sentence
    read = step("a", kept("1"), reads=(f"table:p/numbers@{'a' * 64}",))
    other = step("a", kept("2"), reads=(f"table:p/numbers@{'b' * 64}",))
    found = told(workspace, run(read), run(other))
    assert found.cause == "data"
    assert f"it read table:p/numbers@{'b' * 12}, and table:p/numbers@{'a' * 12} before" in found.sentence


def test_numbers_are_scaled_by_their_size() -> None:
    assert scaled(1e6, 1e6 + 1).scaled == 1e-6
    assert scaled(0.0, 1e-12).scaled == 1e-12
    assert scaled(float("nan"), float("nan")).scaled == 0
    assert scaled(1.0, float("nan")).scaled == float("inf")
    assert scaled(float("inf"), float("inf")).scaled == 0
