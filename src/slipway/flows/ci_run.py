"""A commit's way to production, stage by stage, each of which may be a job of its own in a CI system.

Every stage calls the flow that a person's command calls; what is kept here is which of them are done for the commit. So the
same commit is the same work: what is done is not done again, what was killed or failed is taken up where it stands. Where
a word is asked for, the run ends and says whose: no machine waits for a person.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol

import msgspec

from slipway.data.declare import Table
from slipway.data.ingest import ingest
from slipway.data.schedules import declare_schedule
from slipway.errors import Conflict, Corrupt, InvalidInput, NotFound, SlipwayError, near
from slipway.flows.endpoint import Endpoint
from slipway.flows.judging import declared_endpoint, judge_version, refusal
from slipway.flows.keyed import Begun, run_once
from slipway.flows.promotions import newest_of
from slipway.flows.release import Released, declare_endpoint, run_pipeline
from slipway.flows.who_can import is_hopeless
from slipway.hashing import fingerprint
from slipway.ledger import entries, events
from slipway.models import bundle as bundles
from slipway.models import registry
from slipway.operations.declare import check_allowed
from slipway.pipelines.declare import Pipeline
from slipway.pipelines.single_flight import SingleFlight
from slipway.ports.workspace import Workspace
from slipway.records.ci_runs import CiRun, CiStage, CiState
from slipway.records.models import ModelVersion
from slipway.records.promotions import Promotion

__all__ = ["STAGES", "Checkout", "PromoteTo", "Work", "ci_runs", "fed_endpoint", "run_commit", "standing"]

APPROVE = "approve"
_LAST = "deploy-prod"
_DEPLOY = "deploy"
_SHOWN = 12
_MANY = 10_000

PromoteTo = Callable[[ModelVersion, str, str], Promotion]
"""Takes a version as far as it comes: the version, the environment, and the promotion's stage before which it stops."""


class Checkout(Protocol):
    """The project's folder with its declarations, opened where its models are trained."""

    @property
    def folder(self) -> Path:
        """Where slipway.toml lies."""
        ...

    @property
    def workspace(self) -> Workspace:
        """Where the model is trained."""
        ...

    def declared(self, kind: type | tuple[type, ...]) -> dict[str, Any]:
        """The declarations of a kind, by name."""
        ...

    def published(self) -> str:
        """The digest of the snapshot of what shall run without the folder."""
        ...

    def declare_settings(self) -> None:
        """Keep what slipway.toml says of who answers for what."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is taken to production.

    Args:
        checkout: The project as it is at the commit.
        commit: The commit's full hash.
        endpoint: Whose pipeline trains, and where it is to serve.
        params: The pipeline's parameters, those that were given.
        test: Tests the project; returns a sentence, and raises where a test failed.
        promote: See `PromoteTo`.
    """

    checkout: Checkout
    commit: str
    endpoint: Endpoint
    params: Mapping[str, object]
    test: Callable[[], str]
    promote: PromoteTo

    @property
    def workspace(self) -> Workspace:
        """Where the model is trained, and where the run is kept."""
        return self.checkout.workspace

    @property
    def pipeline(self) -> Pipeline[..., Any]:
        """What trains it."""
        found = self.endpoint.pipeline
        assert found is not None  # `fed_endpoint` chose it by that
        return found


def fed_endpoint(declared: Mapping[str, Endpoint], pipeline: str = "") -> Endpoint:
    """The endpoint that a push is for.

    Args:
        declared: The project's endpoints by name.
        pipeline: The name of the pipeline that trains, "" where only one endpoint names one.

    Raises:
        NotFound: No endpoint names a pipeline, or none the given one.
        InvalidInput: Several do, and none was chosen.
    """
    fed = {one.pipeline.name: one for one in declared.values() if type(one) is Endpoint and one.pipeline is not None}
    if not fed:
        raise NotFound(
            "The project declares no endpoint that says which pipeline feeds it.",
            why="A push is to end with something that serves.",
            fix='Declare one: sw.Endpoint("NAME", pipeline=release, gate=sw.Gate(...))',
        )
    if pipeline:
        if pipeline not in fed:
            raise NotFound(f"No endpoint is fed by a pipeline {pipeline!r}.", fix=near(pipeline, fed, what="pipelines"))
        return fed[pipeline]
    if len(fed) > 1:
        raise InvalidInput(
            f"The project has {len(fed)} pipelines that feed endpoints: {', '.join(sorted(fed))}.",
            fix=f"Name one: slipway ci run {min(fed)}",
        )
    return next(iter(fed.values()))


def run_commit(work: Work, stage: str = "") -> CiRun:
    """Take a commit as far as it comes now, or carry out one stage of its way.

    Another run of the project on this machine is waited for.

    Args:
        work: What is taken where.
        stage: The only stage to carry out, "" for all that are left.

    Returns:
        The run as it stands: done, waiting for somebody, or, with `stage`, under way.

    Raises:
        InvalidInput: There is no such stage.
        Denied: Whoever asks may not run pipelines.
        Conflict: A stage before the wanted one is not done.
        StepFailed: A test, or a step of the pipeline, failed.
        GateRefused: A gate or a person said no.
    """
    if stage and stage not in STAGES:
        raise InvalidInput(f"There is no stage {stage!r}.", fix=near(stage, STAGES, what="stages"), field="stage")
    check_allowed(work.workspace, "ci.run", "runs.write")
    one = SingleFlight(work.workspace.root / "ci-runs", threading.Event())
    with one.alone(fingerprint(work.workspace.project), _told(work.workspace)):
        run = _begun(work)
        for name, carry_out in STAGES.items():
            if stage and name != stage:
                _check_before(run, name, stage)
                if name == stage:
                    break
                continue
            run = _through(work, run, name, carry_out)
            if stage or _state_of(run, name) != "done":
                break
    return run


def standing(workspace: Workspace, run: CiRun) -> CiRun:
    """A run as it stands now: promotions go on without it, after an approval or with a roll-out."""
    if run.state == "done" or not run.version:
        return run
    try:
        bundle = registry.get(workspace, run.model, run.version).bundle
    except NotFound:  # thrown away since: it stands where it stood
        return run
    for name, environment in _TARGETS.items():
        found = newest_of(workspace, run.model, environment, bundle=bundle)
        if found is None:
            continue
        reached = next((one.state for one in found.stages if one.name == _DEPLOY), "to do")
        known = _state_of(run, name)
        if known not in ("to do", "done") or (name == _LAST and reached != "to do"):
            run = _moved(run, _seen(found, name))
    return run


def ci_runs(workspace: Workspace, commit: str = "") -> tuple[CiRun, ...]:
    """The project's runs as they stand, newest first.

    Args:
        workspace: Where they are kept.
        commit: Only those of the commit that begins so, "" for all.
    """
    with workspace.ledger.read() as tx:
        found = entries.find(tx, CiRun, project=workspace.project, limit=_MANY)
    wanted = sorted((one for one in found if one.commit.startswith(commit)), key=lambda one: -one.number)
    return tuple(standing(workspace, one) for one in wanted)


# The stages


def _test(work: Work, run: CiRun) -> CiRun:
    """The checks of the project: `slipway ci check`."""
    return _done(run, "test", work.test())


def _train(work: Work, run: CiRun) -> CiRun:
    """Tables, the pipeline's steps, the packaged and registered model: once a commit, resumed where it was killed."""
    checkout, workspace, pipeline = work.checkout, work.workspace, work.pipeline
    snapshot = checkout.published()
    for table in checkout.declared(Table).values():
        ingest(workspace, table, folder=checkout.folder)
        declare_schedule(workspace, table, snapshot=snapshot, folder=checkout.folder)
    checkout.declare_settings()

    def go(begun: Begun, resume: str | None) -> Released:
        params = None if resume else work.params
        return run_pipeline(
            workspace, pipeline, params, endpoint=work.endpoint, snapshot=snapshot, resume=resume, begun=begun
        )

    every = dict(pipeline.arguments(**work.params).arguments)
    trained = run_once(workspace, pipeline.name, f"commit {work.commit}", every, go)
    version = trained.version
    if version is None:
        raise NotFound(
            f"The run {trained.run.id} registered no model that is still there.",
            why="It was thrown away since, or the pipeline returns none.",
            fix="slipway trash list; or a new commit: git commit --allow-empty -m 'Train again'",
        )
    run = msgspec.structs.replace(run, model=version.name, version=version.number)
    return _done(run, "train", f"{version.name} {version.number}, by run {trained.run.id}.")


def _gate(work: Work, run: CiRun) -> CiRun:
    """The gate as it is declared at the commit, but for the words of people: those are asked for where it goes."""
    workspace, version = work.workspace, _version(work, run)
    declare_endpoint(workspace, work.endpoint, snapshot=work.checkout.published())
    declared = declared_endpoint(workspace, work.endpoint.name, model=version.name)
    ruling = judge_version(workspace, version, registry.bundle_of(workspace, version), declared, keep=True)
    against = [one for one in ruling.outcomes if one.result in ("refused", "cannot tell")]
    if [one for one in against if is_hopeless(one) or one.kind != "approval"]:
        raise refusal(version, ruling)
    passed = sum(one.result == "passed" for one in ruling.outcomes)
    return _done(run, "gate", f"{passed} of {len(ruling.outcomes)} checks passed (verdict {ruling.id}).")


def _package(work: Work, run: CiRun) -> CiRun:
    """What is to be deployed is whole and signed: each byte by its digest, the manifest by its signature."""
    workspace, version = work.workspace, _version(work, run)
    manifest = workspace.blobs.get(version.manifest)
    if workspace.signer.verify(workspace.blobs.get(version.signature), bundles.PAYLOAD_TYPE) != manifest:
        raise Corrupt(
            f"The signature of {version.name} {version.number} is of another manifest.",
            fix="Take the store's blobs from a backup, or train again: git commit --allow-empty -m 'Train again'",
        )
    files = registry.bundle_of(workspace, version).files
    for one in files:
        workspace.blobs.get(one.digest)  # which compares
    sentence = (
        f"Bundle {version.bundle[:_SHOWN]}: {len(files)} files hold by their digests, the manifest by its signature."
    )
    return _done(run, "package", sentence)


def _deploy_test(work: Work, run: CiRun) -> CiRun:
    """Promoted to test."""
    return _moved(run, _seen(work.promote(_version(work, run), "test", ""), "deploy-test"))


def _approve(work: Work, run: CiRun) -> CiRun:
    """Promoted to prod as far as to what deploys it: copied, judged, and those are asked whose word it needs."""
    return _moved(run, _seen(work.promote(_version(work, run), "prod", _DEPLOY), APPROVE))


def _deploy_prod(work: Work, run: CiRun) -> CiRun:
    """Promoted to prod, by way of the roll-out that its endpoint declares."""
    return _moved(run, _seen(work.promote(_version(work, run), "prod", ""), _LAST))


STAGES: dict[str, Callable[[Work, CiRun], CiRun]] = {
    "test": _test,
    "train": _train,
    "gate": _gate,
    "package": _package,
    "deploy-test": _deploy_test,
    APPROVE: _approve,
    _LAST: _deploy_prod,
}
"""In order; each by what carries it out."""

_TARGETS = {"deploy-test": "test", APPROVE: "prod", _LAST: "prod"}
"""Stages that are promotions, and where to. They are asked again even when done: what was replaced since begins anew."""


def _through(work: Work, run: CiRun, name: str, carry_out: Callable[[Work, CiRun], CiRun]) -> CiRun:
    """The run after one stage of it, written down whatever came of it."""
    workspace, former = work.workspace, next(one for one in run.stages if one.name == name)
    if former.state == "done" and name not in _TARGETS:
        workspace.say(f"{name}: done for this commit before. {former.sentence}")
        return run
    if former.state != "done":
        run = _kept(workspace, _moved(run, CiStage(name=name, state="under way")))
    try:
        after = carry_out(work, run)
    except SlipwayError as problem:
        _kept(workspace, _moved(run, CiStage(name=name, state="failed", sentence=str(problem))))
        raise
    found = next(one for one in after.stages if one.name == name)
    workspace.say(f"{name}: {found.sentence}")
    return _kept(workspace, after)


def _check_before(run: CiRun, name: str, wanted: str) -> None:
    """A stage begins when those before it are done."""
    order = list(STAGES)
    state = _state_of(run, name)
    if order.index(name) < order.index(wanted) and state != "done":
        raise Conflict(
            f"The stage {wanted!r} of commit {run.commit[:_SHOWN]} comes after {name!r}, which is {state}.",
            why="Each stage takes what the one before it made.",
            fix=f"slipway ci run --stage {name}; or all that are left: slipway ci run",
        )


def _begun(work: Work) -> CiRun:
    """The run of this commit; a new one where there is none."""
    workspace = work.workspace
    id = f"{workspace.project}/{work.pipeline.name}/{work.commit}"
    with workspace.ledger.read() as tx:
        if entries.etag(tx, CiRun, id):
            return entries.get(tx, CiRun, id)
        number = len(entries.find(tx, CiRun, project=workspace.project, limit=_MANY)) + 1
    now = workspace.clock.now()
    begun = CiRun(
        id=id,
        project=workspace.project,
        name=work.pipeline.name,
        created_at=now,
        number=number,
        commit=work.commit,
        stages=tuple(CiStage(name=name) for name in STAGES),
        actor=workspace.actor,
        updated_at=now,
    )
    return _kept(workspace, begun)


def _kept(workspace: Workspace, run: CiRun) -> CiRun:
    now = workspace.clock.now()
    stages = tuple(
        msgspec.structs.replace(one, at=now) if one.at is None and one.state != "to do" else one for one in run.stages
    )
    run = msgspec.structs.replace(run, stages=stages, updated_at=now)
    at = next((one for one in stages if one.state not in ("done", "to do")), stages[-1])
    with workspace.ledger.write() as tx:
        entries.put(tx, run)
        told = {"commit": run.commit, "state": run.state, "stage": at.name, "stage_state": at.state}
        events.record(tx, workspace, "ci.stage", f"ci_run:{run.id}", **told)
    return run


def _moved(run: CiRun, stage: CiStage) -> CiRun:
    """A run with one of its stages as it stands now."""
    stages = tuple(stage if one.name == stage.name else one for one in run.stages)
    state = "done" if all(one.state == "done" for one in stages) else "under way"
    if stage.state in ("waiting", "failed"):
        state = stage.state
    return msgspec.structs.replace(run, stages=stages, state=state)


def _done(run: CiRun, name: str, sentence: str) -> CiRun:
    return _moved(run, CiStage(name=name, state="done", sentence=sentence))


def _seen(promotion: Promotion, name: str) -> CiStage:
    """What a promotion as it stands means for a stage."""
    stages = list(promotion.stages)
    if name == APPROVE:
        stages = list(takewhile(lambda one: one.name != _DEPLOY, stages))
    left = next((one for one in stages if one.state != "done"), None)
    if left is None:
        told = "approval" if name == APPROVE else _DEPLOY
        sentence = next((one.sentence for one in stages if one.name == told), "The way there asks for nobody's word.")
        return CiStage(name=name, state="done", sentence=sentence)
    return CiStage(name=name, state=left.state, sentence=left.sentence, asked=left.asked, command=left.command)


def _state_of(run: CiRun, name: str) -> CiState:
    return next(one.state for one in run.stages if one.name == name)


def _version(work: Work, run: CiRun) -> ModelVersion:
    return registry.get(work.workspace, run.model, run.version)


def _told(workspace: Workspace) -> nullcontext[None]:
    class Told(nullcontext[None]):
        def __enter__(self) -> None:
            workspace.say("Another run of the project's stages is under way here: waiting for its end.")

    return Told()
