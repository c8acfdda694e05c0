"""Starting, retrying and cancelling without a checkout: what is refused, what is written, and what happens twice."""

from dataclasses import replace

import pytest
from msgspec.structs import replace as changed

from slipway.errors import Conflict, Denied, InvalidInput, NotFound, OverQuota
from slipway.flows.limits import declare_limits
from slipway.flows.starting import get_begun, list_pipelines, start
from slipway.ledger import entries
from slipway.loop.cancelling import cancel
from slipway.operations.declare import Empty, call
from slipway.operations.pipelines import CancelRun, GetBegun, RetryRun, StartPipeline
from slipway.operations.table import operation
from slipway.pipelines import staging
from slipway.pipelines.snapshot import AboutPipeline
from slipway.ports.runner import CANCELLED_FILE, LOCK_FILE
from slipway.ports.workspace import Workspace
from slipway.records.limits import Quota, Retention
from slipway.records.people import Actor
from slipway.records.runs import Run
from starting import CANCELLABLE, FAILED, NotedRunner, code, run_of, started_store

GIVEN = {"until": "2013-04-01"}


@pytest.fixture
def store(workspace: Workspace) -> tuple[Workspace, NotedRunner]:
    return started_store(workspace)


def verbs(there: Workspace) -> list[str]:
    with there.ledger.read() as tx:
        return [event.verb for event in tx.events()]


def test_a_store_without_code_says_what_to_do(workspace: Workspace) -> None:
    known = list_pipelines(workspace, Empty())
    assert (known.code, known.pipelines) == (None, ())
    assert "slipway run PIPELINE" in known.why
    with pytest.raises(Conflict, match="No pipeline can be started here"):
        start(workspace, StartPipeline(pipeline="train"))


def test_code_of_an_earlier_release_and_code_that_is_gone_say_so(workspace: Workspace) -> None:
    run_of(workspace, FAILED, code(workspace, {}))
    assert "an earlier release" in list_pipelines(workspace, Empty()).why
    run_of(workspace, "fb" * 16, "9" * 64)
    assert "slipway run PIPELINE" in list_pipelines(workspace, Empty()).why


def test_the_newest_code_is_that_of_a_checkout(store: tuple[Workspace, NotedRunner]) -> None:
    there, _ = store
    other = code(there, {"other": AboutPipeline()})
    run_of(there, "fc" * 16, other, tags={"slipway.reruns": FAILED})
    run_of(there, "fd" * 16, other, tags={"slipway.start": "k"})
    known = list_pipelines(there, Empty())
    assert [one.name for one in known.pipelines] == ["train"]
    assert known.code is not None
    assert (known.code.run_id, known.code.by) == (FAILED, "run train")


def test_a_start_is_a_task_of_its_own_and_the_same_key_the_same_start(store: tuple[Workspace, NotedRunner]) -> None:
    there, runner = store
    wanted = StartPipeline(pipeline="train", params={**GIVEN, "rate": "0.3", "is_full": "true"}, key="k1", reason="new")
    assert call(there, operation("pipelines.start"), wanted).state == "starting"
    assert call(there, operation("pipelines.start"), wanted).printed == "it makes ready\n"
    assert len({*runner.started}) == 1
    task = staging.read_task(runner.started[0])
    assert task.params == {"until": "2013-04-01", "rate": 0.3, "is_full": True}
    assert (task.tags, task.is_release, task.actor.name) == ({"slipway.start": "k1"}, True, "ada")
    assert verbs(there).count("pipelines.start") == 1
    with pytest.raises(Conflict):
        start(there, StartPipeline(pipeline="train", params=GIVEN, key="k1"))
    run_of(there, "ab" * 16, task.snapshot, state="running", tags={"slipway.start": "k1"})
    begun = get_begun(there, GetBegun(key="k1", wait_s=5))
    assert (begun.state, begun.run_id) == ("begun", "ab" * 16)


def test_a_start_beyond_the_quota_leaves_nothing(store: tuple[Workspace, NotedRunner]) -> None:
    there, runner = store
    declare_limits(replace(there, actor=Actor("ann", roles=("admin",))), Retention(), Quota(runs_a_day=1))
    run_of(there, "ab" * 16, "", state="finished")
    with pytest.raises(OverQuota, match="runs_a_day = 1"):
        start(there, StartPipeline(pipeline="train", params=GIVEN, key="k1"))
    assert (runner.started, verbs(there).count("pipelines.start")) == ([], 0)
    assert not (there.root / "tasks" / "start-k1").exists()


@pytest.mark.parametrize(
    ("params", "field", "words"),
    [
        ({}, "until", "needs the parameter 'until'"),
        ({"until": "soon"}, "until", "It takes a date"),
        ({**GIVEN, "rate": "much"}, "rate", "It takes a number"),
        ({**GIVEN, "rate": "nan"}, "rate", "It takes a number"),
        ({**GIVEN, "rate": float("inf")}, "rate", "It takes a number"),
        ({**GIVEN, "loss": "<script>"}, "loss", "Give one of: squared, absolute"),
        ({**GIVEN, "is_full": "maybe"}, "is_full", "It takes a boolean"),
        ({**GIVEN, "ratte": "1"}, "ratte", "rate"),
    ],
)
def test_what_does_not_fit_is_said_at_its_field(
    store: tuple[Workspace, NotedRunner], params: dict[str, object], field: str, words: str
) -> None:
    there, runner = store
    with pytest.raises(InvalidInput) as refused:
        start(there, StartPipeline(pipeline="train", params=params))
    assert refused.value.field == field
    assert words in str(refused.value)
    assert runner.started == []


def test_a_start_that_ends_before_its_run_says_why(store: tuple[Workspace, NotedRunner]) -> None:
    there, runner = store
    start(there, StartPipeline(pipeline="train", params=GIVEN, key="k2"))
    runner.end(runner.started[0], "no module named shop")
    ended = get_begun(there, GetBegun(key="k2"))
    assert ended.state == "failed"
    assert ended.error is not None
    assert ended.error.told == "ValueError: no module named shop"
    start(there, StartPipeline(pipeline="train", params=GIVEN, key="k3"))
    runner.is_gone = True
    assert get_begun(there, GetBegun(key="k3")).state == "gone"
    for key in ("nobody", "../x"):
        with pytest.raises((NotFound, InvalidInput)):
            get_begun(there, GetBegun(key=key))
    with pytest.raises(NotFound):
        get_begun(replace(there, project="other"), GetBegun(key="k3"))


def test_a_retry_goes_on_or_begins_anew(store: tuple[Workspace, NotedRunner]) -> None:
    there, runner = store
    retry = operation("pipelines.retry")
    call(there, retry, RetryRun(id=FAILED[:12], key="k4"))
    on = staging.read_task(runner.started[0])
    assert (on.resume, on.params_of, on.use_cache) == (FAILED, "", True)
    call(there, retry, RetryRun(id=FAILED, begin="start", code="newest", key="k5"))
    anew = staging.read_task(runner.started[1])
    assert (anew.resume, anew.params_of, anew.use_cache) == ("", FAILED, False)
    assert anew.tags["slipway.reruns"] == FAILED
    assert verbs(there).count("pipelines.retry") == 2
    run_of(there, "fe" * 16, on.snapshot, state="finished", error=None)
    with pytest.raises(Conflict, match="nothing to go on with"):
        call(there, retry, RetryRun(id="fe" * 16))
    run_of(there, "ff" * 16, on.snapshot, state="running", ended_at=None)
    with pytest.raises(Conflict, match="is still running"):
        call(there, retry, RetryRun(id="ff" * 16))
    run_of(there, "f0" * 16, "", state="killed", error=None)
    with pytest.raises(InvalidInput, match="no project snapshot"):
        call(there, retry, RetryRun(id="f0" * 16))


def test_who_may_only_look_starts_and_ends_nothing(store: tuple[Workspace, NotedRunner]) -> None:
    there, runner = store
    viewer = replace(there, actor=Actor("bob", roles=("business owner",)))
    for name, wanted in (
        ("pipelines.start", StartPipeline(pipeline="train", params=GIVEN)),
        ("pipelines.retry", RetryRun(id=FAILED)),
        ("pipelines.cancel", CancelRun(id=FAILED)),
    ):
        with pytest.raises(Denied, match=name):
            call(viewer, operation(name), wanted)
    assert runner.started == []


def test_a_run_is_cancelled_by_whom_and_why_is_written_first(store: tuple[Workspace, NotedRunner]) -> None:
    there, runner = store
    start(there, StartPipeline(pipeline="train", params=GIVEN, key="k6"))
    folder = runner.started[0]
    (folder / LOCK_FILE).write_text("4711\n")
    run_of(
        there,
        CANCELLABLE,
        staging.read_task(folder).snapshot,
        state="running",
        ended_at=None,
        host="4711.5@elsewhere",
        tags={"slipway.start": "k6"},
    )
    cancel(there, CancelRun(id=CANCELLABLE, reason="wrong rate"))
    assert runner.stopped == [folder]
    assert (folder / CANCELLED_FILE).read_text() == "ada cancelled it: wrong rate"
    assert "pipelines.cancel" in verbs(there)
    with pytest.raises(Conflict, match="did not start"):
        cancel(there, CancelRun(id=CANCELLABLE))
    with there.ledger.write() as tx:
        entries.put(tx, changed(entries.get(tx, Run, CANCELLABLE), state="failed"))
    with pytest.raises(Conflict, match="nothing to end"):
        cancel(there, CancelRun(id=CANCELLABLE))
