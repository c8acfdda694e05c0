"""Two runs side by side: what counts as equal, where they first differ, and the reason that is told."""

from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from slipway.code import CodeClosure
from slipway.pipelines import reasons
from slipway.pipelines.comparison import Compared, Made, compare
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.runs import Artifact, Environment, Run, RunError, StepRun

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
    return compare(workspace.blobs, before, after, lambda old, new: apart)


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
        (old, replace(HERE, python="3.12.0", platform="Darwin"), "Python 3.11.7 -> 3.12.0, Linux -> Darwin"),
    ):
        found = told(workspace, run(old), run(replace(new, outputs=(kept("2"),)), environment=environment))
        assert why in found.sentence


def test_models_that_answer_alike_are_within_tolerance(workspace: Workspace) -> None:
    before = run(step("rows", kept("1")), step("train", kept("m", form="model")), result=kept("m", form="model"))
    after = run(step("rows", kept("1")), step("train", kept("n", form="model")), result=kept("n", form="model"))
    found = told(workspace, before, after, 3e-12)
    assert (found.verdict, found.compared) == ("within tolerance", 2)
    assert "at most 3e-12 apart; 1 of 3 results are equal." in found.sentence
    for apart in (None, 1e-6, float("nan")):
        assert told(workspace, before, after, apart).verdict == "differs"
