"""What the levels of maturity consist of, and whether a model shows it: pure judgement over what the ledger knows.

The levels are Google's (Cloud Architecture Center, "MLOps: Continuous delivery and automation pipelines in machine
learning"): 0 by hand, 1 a pipeline that trains, validates and is triggered by itself, 2 a pipeline that is itself built,
tested and delivered by machines.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime
from shlex import quote
from typing import NamedTuple

from slipway.flows.journey_evidence import LABELLED, Known
from slipway.operations.journey import JourneyItem, JourneyStage
from slipway.records.promotions import Promotion
from slipway.records.reproductions import REPRODUCED

__all__ = ["items_of"]

_JUDGED = frozenset({"metric", "champion", "calibrated", "kpi", "contract", "fair", "robust"})
"""Checks of a gate that judge how good a model is."""


class _Shown(NamedTuple):
    """What shows an item: in words, which record, when."""

    found: str
    evidence: str = ""
    at: datetime | None = None


class _Missing(NamedTuple):
    """What is there instead, what to declare first, what to type."""

    found: str
    commands: tuple[str, ...]
    line: str = ""


_Judged = _Shown | _Missing


class _Item(NamedTuple):
    """One item: where it belongs, what is asked, and how it is judged; None where it does not apply."""

    level: int
    stage: JourneyStage
    name: str
    asked: str
    judge: Callable[[Known], _Judged | None]


def items_of(known: Known) -> tuple[JourneyItem, ...]:
    """Every item that applies to a model, by level and stage."""
    return tuple(_judged(known))


def _judged(known: Known) -> Iterator[JourneyItem]:
    for one in _ITEMS:
        answer = one.judge(known)
        if answer is None:
            continue
        yield JourneyItem(
            level=one.level,
            stage=one.stage,
            name=one.name,
            asked=one.asked,
            is_shown=isinstance(answer, _Shown),
            found=answer.found,
            evidence=answer.evidence if isinstance(answer, _Shown) else "",
            at=answer.at if isinstance(answer, _Shown) else None,
            line=answer.line if isinstance(answer, _Missing) else "",
            commands=tuple(_there(known, each) for each in answer.commands) if isinstance(answer, _Missing) else (),
        )


def _there(known: Known, command: str) -> str:
    """The command for the environment that is asked; one that names an environment already stays as it is."""
    names_one = known.environment == "dev" or " --env " in command
    # These are of the project and all of its environments.
    names_one = names_one or command.startswith(("slipway promote ", "slipway ci "))
    return command if names_one else f"{command} --env {known.environment}"


def _version(known: Known) -> str:
    return f"{quote(known.model)}:{known.version.number}" if known.version is not None else quote(known.model)


def _run(known: Known) -> tuple[str, ...]:
    return (f"slipway run {known.pipeline}",)


def _deploy(known: Known) -> tuple[str, ...]:
    there = "" if known.endpoint == known.model else f" --endpoint {quote(known.endpoint)}"
    return (f"slipway deploy {quote(known.model)}{there}",)


def _of_version(known: Known) -> tuple[str, datetime | None]:
    return (f"model:{known.version.id}", known.version.created_at) if known.version is not None else ("", None)


# Level 0: a person makes a model, and lets it serve.


def _tracked(known: Known) -> _Judged:
    version = known.version
    if version is None or not (version.run_id or version.made_by):
        return _Missing("no run is known that made it", _run(known))
    if known.run is not None:
        return _Shown(f"run {known.run.id[:12]} by {known.run.actor}", f"run:{known.run.id}", known.run.created_at)
    told = f"by {', '.join(version.made_by)}, elsewhere" if version.made_by else f"run {version.run_id[:12]}, not here"
    return _Shown(told, *_of_version(known))


def _evaluated(known: Known) -> _Judged:
    bundle = known.bundle
    if bundle is None or not bundle.metrics:
        return _Missing("no figure was measured of it", _run(known), 'return sw.evaluate(model, rows, label="LABEL")')
    figures = [one for one in bundle.metrics if not one.slice]
    told = ", ".join(f"{one.metric} {one.value:.4g}" for one in figures[:3])
    return _Shown(told or f"{len(bundle.metrics)} figures by slice", *_of_version(known))


def _registered(known: Known) -> _Judged:
    if known.version is None:
        return _Missing("no version carries a signed bundle", _run(known), "return the sw.Model from the pipeline")
    return _Shown(f"version {known.version.number}, bundle {known.version.bundle[:12]}", *_of_version(known))


def _in_prod(known: Known) -> Promotion | None:
    """The newest promotion that brought it to prod, whose own store knows what serves there."""
    return next((one for one in known.promotions if one.state == "done" and one.target == "prod"), None)


def _answers(known: Known) -> _Judged:
    if not known.live:
        if (there := _in_prod(known)) is not None:
            return _Shown(
                f"{there.endpoint} in prod, version {there.version}", f"promotion:{there.id}", there.updated_at
            )
        return _Missing("nothing serves it", _deploy(known))
    newest = known.live[0]
    if known.is_batch:
        done = [one for one in known.scorings if one.state == "finished"]
        if not done:
            return _Missing("nothing was scored yet", (f"slipway score {quote(newest.name)}",))
        return _Shown(f"{newest.name}: {done[0].rows:,} rows scored", f"scoring:{done[0].id}", done[0].ended_at)
    return _Shown(
        f"{newest.name}, revision {newest.number}, {newest.environment}", f"revision:{newest.id}", newest.created_at
    )


# Level 1: the pipeline trains by itself, and nothing reaches callers that was not validated.


def _scoped(known: Known) -> _Judged:
    if known.scope is None:
        name = quote(known.endpoint)
        return _Missing(
            "nobody wrote down what it is for", (f"slipway scope new {name}", f"slipway scope keep scopes/{name}.toml")
        )
    scope = known.scope
    return _Shown(f"{scope.terms.decision[:80]} (owner: {scope.terms.owner})", f"scope:{scope.id}", scope.updated_at)


def _versioned(known: Known) -> _Judged:
    nodes = known.bundle.data if known.bundle is not None else ()
    if not nodes:
        line = '@sw.table(key="KEY", time="TIME") above the function that reads the data'
        return _Missing("it learned from no stored table", _run(known), line)
    names = sorted({node.removeprefix("table:").partition("@")[0].rpartition("/")[2] for node in nodes})
    return _Shown(f"versions of {', '.join(names)}", nodes[0], _of_version(known)[1])


def _checked(known: Known) -> _Judged:
    line = '@sw.table(..., checks=[sw.unique("COLUMN")])'
    if not known.tables:
        return _Missing("no table that it learned from is here", _run(known), line)
    checked = [one for one in known.tables if one.checks]
    failed = [one for one in checked if any(not each.passed and each.severity == "block" for each in one.checks)]
    ingest = tuple(f"slipway data ingest {quote(one.name)}" for one in known.tables)
    if not checked:
        return _Missing("no table has checks", ingest, line)
    if failed:
        name = quote(failed[0].name)
        return _Missing(f"failed: {name}", (f"slipway data failing {name}", f"slipway data ingest {name}"))
    count = sum(len(one.checks) for one in checked)
    newest = max(checked, key=lambda one: one.created_at)
    told = f"{count} checks of {', '.join(one.name for one in checked)}"
    return _Shown(told, f"table:{newest.name}@{newest.version}", newest.created_at)


def _symmetric(known: Known) -> _Judged:
    bundle = known.bundle
    if bundle is not None and bundle.certificate is not None and not bundle.certificate.mismatches:
        return _Shown(bundle.certificate.sentence, *_of_version(known))
    if bundle is not None and bundle.features is None and bundle.parity:
        return _Shown(f"no features; {bundle.parity}", *_of_version(known))
    if bundle is not None and bundle.certificate is not None:
        return _Missing(bundle.certificate.sentence, (f"slipway features certify {quote(known.model)}",))
    line = "sw.inputs(rows, FEATURES, ...) with a sw.FeatureSet, that serving computes by the same code"
    return _Missing("nothing proves that serving computes what training had", _run(known), line)


def _pipelined(known: Known) -> _Judged:
    run, entry = known.run, known.bundle.code.entry if known.bundle is not None else ""
    if run is not None and run.pipeline:
        return _Shown(f"pipeline {run.pipeline}", f"run:{run.id}", run.created_at)
    if run is None and ":" in entry:
        return _Shown(f"pipeline {entry}, elsewhere", *_of_version(known))
    return _Missing(
        "it was made by hand, outside a pipeline", _run(known), "@sw.pipeline above the function that returns the model"
    )


def _triggered(known: Known) -> _Judged:
    for one in known.declared:
        if one.retrain is not None and one.retrain.when:
            words = ", ".join(each.cron or each.kind for each in one.retrain.when)
            return _Shown(f"{one.name} is trained again: {words}", f"endpoint:{one.id}", one.created_at)
    for schedule in known.schedules:
        if schedule.spec.when:
            words = ", ".join(each.cron or each.kind for each in schedule.spec.when)
            return _Shown(f"schedule {schedule.name}: {words}", f"schedule:{schedule.id}", schedule.created_at)
    line = f'sw.Endpoint("{known.endpoint}", ..., retrain=sw.Retrain({known.pipeline}, when=[sw.cron("0 3 1 * *")]))'
    return _Missing("nothing starts its pipeline but people", _deploy(known), line)


def _retrained(known: Known) -> _Judged:
    for one in known.retrainings:
        if one.state in ("made", "refused", "unchanged"):
            return _Shown(f"{one.trigger}: {one.state}", f"retraining:{one.id}", one.created_at)
    for firing in known.firings:
        if firing.state == "finished" and firing.version:
            told = f"{firing.trigger}: version {firing.version}"
            return _Shown(told, f"firing:{firing.id}", firing.ended_at or firing.created_at)
    if known.schedules and not any(one.retrain for one in known.declared):
        return _Missing(
            "its schedule made no version yet", (f"slipway schedules fire {quote(known.schedules[0].name)}",)
        )
    name = quote(known.endpoint)
    line = ""
    if not any(one.retrain for one in known.declared):
        line = f'sw.Endpoint("{known.endpoint}", ..., retrain=sw.Retrain({known.pipeline})), then: {_deploy(known)[0]}'
    if any(one.state == "running" for one in known.retrainings):
        return _Missing("a retraining has begun, and a server has not seen its end", ("slipway up",))
    commands = (f'slipway retrain {name} --reason "to see that it works"', "slipway up")
    return _Missing("it was never trained again", commands, line)


def _validated(known: Known) -> _Judged:
    bundle = known.version.bundle if known.version is not None else ""
    for one in known.verdicts:
        good = [each for each in one.outcomes if each.kind in _JUDGED and each.result == "passed"]
        if one.bundle == bundle and one.passed and good:
            return _Shown(f"{one.environment}: {good[0].check}", f"verdict:{one.id}", one.created_at)
    refused = next((one for one in known.verdicts if one.bundle == bundle and not one.passed), None)
    if refused is not None:
        first = next((each for each in refused.outcomes if each.result in ("refused", "cannot tell")), None)
        told = f"its gate refused it: {first.check if first else ''}"
        return _Missing(told, _deploy(known))
    line = f'sw.Endpoint("{known.endpoint}", ..., gate=sw.Gate(sw.metric("METRIC") >= LIMIT))'
    return _Missing("no gate judged how good it is", _deploy(known), line)


def _approved(known: Known) -> _Judged:
    for one in reversed(known.approvals):
        if one.decision == "approved":
            return _Shown(f"by {one.actor} as {one.name}", f"approval:{one.id}", one.created_at)
    bundle = known.version.bundle if known.version is not None else ""
    for verdict in known.verdicts:
        word = next((each for each in verdict.outcomes if each.kind == "approval" and each.result == "passed"), None)
        if verdict.bundle == bundle and word is not None:
            return _Shown(word.found or word.check, f"verdict:{verdict.id}", verdict.created_at)
    number = f" --version {known.version.number}" if known.version is not None else ""
    return _Missing("nobody said that it may serve", (f"slipway approve {quote(known.model)}{number}",))


def _watches(kinds: Collection[str]) -> bool:
    return "drift" in kinds and not {*LABELLED, "estimated"}.isdisjoint(kinds)


def _watched(known: Known) -> _Judged:
    for one in known.live:
        kinds = {monitor.kind for monitor in one.monitors}
        if _watches(kinds):
            names = ", ".join(monitor.name for monitor in one.monitors)
            return _Shown(f"{one.name}: {names}", f"revision:{one.id}", one.created_at)
    if not known.live and (there := _in_prod(known)) is not None:  # whose own store has the revision
        declared = next((one for one in known.declared if one.name == there.endpoint), None)
        kinds = {monitor.kind for monitor in declared.monitors} if declared is not None else set()
        if _watches(kinds) and any(one.name == "monitors" and one.state == "done" for one in there.stages):
            return _Shown(
                f"in prod, as declared: {', '.join(sorted(kinds))}", f"promotion:{there.id}", there.updated_at
            )
    line = f'sw.Endpoint("{known.endpoint}", ..., monitors=[sw.Drift(), sw.Quality("METRIC")])'
    return _Missing("no monitor watches both its inputs and its quality", _deploy(known), line)


def _labelled(known: Known) -> _Judged:
    names = {(one.name, each.name) for one in known.live for each in one.monitors if each.kind in LABELLED}
    for one in known.findings:
        if (one.parent_id.partition("/")[2], one.name) in names and one.state in ("ok", "note", "alert"):
            return _Shown(f"{one.name}, {one.rows:,} rows: {one.state}", f"finding:{one.id}", one.created_at)
    name = quote(known.endpoint)
    commands = (f"slipway labels {name} LABELS.json", f"slipway endpoints watch {name}")
    return _Missing("no labels judged what it answered", commands)


# Level 2: the pipeline itself is built, proven and delivered by machines.


def _committed(known: Known) -> _Judged:
    code = known.bundle.code if known.bundle is not None else None
    if code is not None and code.commit and not code.dirty:
        return _Shown(f"commit {code.commit[:12]}", *_of_version(known))
    for run in reversed(known.runs):  # a retraining runs a snapshot, which lies in no repository
        is_same = code is not None and code.closure and run.code.closure == code.closure
        if is_same and run.code.commit and not run.code.dirty:
            return _Shown(f"the same code as commit {run.code.commit[:12]}", f"run:{run.id}", run.created_at)
    found = "its code was changed after the commit" if code is not None and code.commit else "its code is in no commit"
    return _Missing(found, _run(known), "git add -A && git commit -m WHY, in the project's folder")


def _reproduced(known: Known) -> _Judged:
    for one in known.reproductions:
        if one.verdict in REPRODUCED:
            return _Shown(f"{one.verdict}: {one.sentence}"[:160], f"reproduction:{one.id}", one.created_at)
    found = known.reproductions[0].sentence[:160] if known.reproductions else "nobody ran its run again"
    return _Missing(found, (f"slipway reproduce {_version(known)}",))


def _proven(known: Known) -> _Judged:
    for one in known.ci_runs:
        stage = next((each for each in one.stages if each.name == "test" and each.state == "done"), None)
        if stage is not None:
            return _Shown(f"commit {one.commit[:12]}: {stage.sentence}"[:160], f"ci_run:{one.id}", stage.at)
    failed = next((each for one in known.ci_runs for each in one.stages if each.state == "failed"), None)
    found = (
        f"{failed.name} failed: {failed.sentence}"[:160] if failed is not None else "no commit was tested on its way"
    )
    return _Missing(found, ("slipway ci check", "slipway ci run --stage test"))


def _pushed(known: Known) -> _Judged:
    for ci_run in known.ci_runs:
        stage = next((each for each in ci_run.stages if each.name == "train" and each.state == "done"), None)
        if stage is not None:
            return _Shown(f"commit {ci_run.commit[:12]}: {stage.sentence}"[:160], f"ci_run:{ci_run.id}", stage.at)
    for one in known.firings:
        if one.commit and one.state == "finished":
            return _Shown(f"push {one.commit[:12]}", f"firing:{one.id}", one.ended_at or one.created_at)
    has_one = any(each.kind == "push" for one in known.schedules for each in one.spec.when)
    if has_one:
        return _Missing("its schedule waits for a push", ("slipway schedules list", "slipway up"), "push a commit")
    line = "a clone that is pushed to a repository; slipway.toml with the environments test and prod"
    return _Missing("no push of its code runs its pipeline", ("slipway ci init --hook", "slipway ci run"), line)


def _promoted(known: Known) -> _Judged:
    for one in known.promotions:
        if one.state == "done":
            told = f"version {one.version} from {one.source} to {one.target}"
            return _Shown(told, f"promotion:{one.id}", one.updated_at)
    if known.promotions:
        one = known.promotions[0]
        stage = next((each for each in one.stages if each.state != "done"), None)
        begun = f"slipway promote {quote(known.model)}:{one.version} --to {one.target}"
        there = (stage.command, begun) if stage is not None and stage.command.startswith("slipway ") else (begun,)
        where = f", at {stage.name}" if stage is not None else ""
        return _Missing(f"on its way to {one.target}: {one.state}{where}", tuple(dict.fromkeys(there)))
    line, there = '[environments.test]\nstore = ".slipway-test"', (f"slipway promote {_version(known)} --to test",)
    return _Missing("no promotion brought it into another environment", there, line)


def _rolled_out(known: Known) -> _Judged:
    for one in known.rollouts:
        if one.state == "promoted":
            told = f"version {one.challenger.number}, {len(one.looks)} looks"
            return _Shown(told, f"rollout:{one.id}", one.ended_at)
    line = f'sw.Endpoint("{known.endpoint}", ..., rollout=[sw.Shadow("log_loss"), sw.Canary()])'
    declared = any(one.rollout is not None for one in known.declared)
    return _Missing(
        "no version was compared with the one before on live traffic", _deploy(known), "" if declared else line
    )


def _delivered(known: Known) -> _Judged:
    for one in known.rollouts:
        if one.retraining_id and one.state == "promoted":
            told = f"version {one.challenger.number}, from its trigger until it served"
            return _Shown(told, f"rollout:{one.id}", one.ended_at)
    name = quote(known.endpoint)
    asked = f'slipway retrain {name} --reason "to see that it works"'
    commands = (f"slipway approve {name} --standing", asked, "slipway up")
    line = "" if any(one.retrain for one in known.declared) else f"retrain=sw.Retrain({known.pipeline}) on the endpoint"
    return _Missing("no retraining got from its trigger to callers by itself", commands, line)


def _goes_back(known: Known) -> _Judged | None:
    if known.is_batch:
        return None
    for one in known.drills:
        if one.state == "passed":
            return _Shown(one.sentence[:160], f"drill:{one.id}", one.created_at)
    return _Missing("nobody proved that the way back works", (f"slipway rollback {quote(known.endpoint)} --drill",))


def _promised(known: Known) -> _Judged | None:
    if known.is_batch:
        return None
    for one in known.live:
        promise = next((each.service for each in one.monitors if each.kind == "service"), None)
        if promise is not None:
            return _Shown(f"{promise.availability:.3%} get a result", f"revision:{one.id}", one.created_at)
    line = f'sw.Endpoint("{known.endpoint}", ..., monitors=[..., sw.Service(availability=0.999)])'
    return _Missing("nothing says how many requests must get a result", _deploy(known), line)


def _answered_for(known: Known) -> _Judged:
    if known.raci is not None and known.raci.rows:
        named: Iterable[str] = dict.fromkeys(name for row in known.raci.rows for name in row.accountable)
        return _Shown(f"accountable: {', '.join(named)}", f"raci:{known.raci.id}", known.raci.created_at)
    line = '[raci.default]\nresponsible = ["NAME"]\naccountable = "NAME"'
    return _Missing("nothing says who answers for what", _run(known), line)


_ITEMS = (
    _Item(0, "experiment", "tracked run", "a recorded run made it", _tracked),
    _Item(0, "validation", "evaluation", "figures of rows that judged it", _evaluated),
    _Item(0, "registry", "signed version", "a version with a signed bundle", _registered),
    _Item(0, "deployment", "answers", "an endpoint serves it, or scores a table by it", _answers),
    _Item(1, "scoping", "scope", "what it is for, and who wants it", _scoped),
    _Item(1, "data", "versioned data", "it learned from versions of tables", _versioned),
    _Item(1, "data", "data checks", "the tables that it learned from have checks, and pass them", _checked),
    _Item(1, "data", "same features", "serving is proven to compute what training had", _symmetric),
    _Item(1, "pipeline", "pipeline", "a pipeline made it", _pipelined),
    _Item(1, "pipeline", "trigger", "a clock, an alarm or new data start the pipeline", _triggered),
    _Item(1, "validation", "gate", "a gate judged how good it is, and let it through", _validated),
    _Item(1, "monitoring", "monitors", "its inputs and its quality are watched", _watched),
    _Item(1, "monitoring", "labels", "labels judge what it answered", _labelled),
    _Item(1, "retraining", "retraining", "the pipeline trained it again without anybody's checkout", _retrained),
    _Item(1, "governance", "approval", "somebody said by name that it may serve", _approved),
    _Item(2, "CI/CD", "source control", "its code is a commit, and nothing beside it", _committed),
    _Item(2, "CI/CD", "reproduced", "its run was run again, and came to the same", _reproduced),
    _Item(2, "CI/CD", "checks", "the project's checks passed for a commit on its way", _proven),
    _Item(2, "CI/CD", "push", "a push of its code ran the pipeline", _pushed),
    _Item(2, "CI/CD", "promotion", "it came from one environment into the next, stage by stage", _promoted),
    _Item(2, "deployment", "roll-out", "a version got to its callers by evidence, step by step", _rolled_out),
    _Item(2, "deployment", "way back", "the way back was tried", _goes_back),
    _Item(2, "monitoring", "service", "a promise of how many requests get a result is watched", _promised),
    _Item(2, "retraining", "delivery by itself", "a retraining got to its callers by itself", _delivered),
    _Item(2, "governance", "responsibility", "slipway.toml says who answers for what", _answered_for),
)
