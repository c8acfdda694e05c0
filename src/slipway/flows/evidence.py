"""Collect what a gate judges: proofs, figures, the environment, and a comparison with the champion on the same rows."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from slipway.charts.consistency import sentence
from slipway.code.wheels import about, find
from slipway.errors import NoAnswer, NotFound, SlipwayError
from slipway.features.certificate import is_proof, proof_words
from slipway.flows.asking import AskedModel, loaded_within
from slipway.flows.consistency import latest_report
from slipway.flows.evidence_behaviour import collect_behaviour
from slipway.flows.evidence_measured import measured
from slipway.flows.kpi_rows import kpi_beside, kpi_evidence
from slipway.flows.metric_contracts import signed_evidence
from slipway.gates import evidence as make
from slipway.ledger import entries
from slipway.ledger.reproductions import reproductions_of
from slipway.models import bundle as bundles
from slipway.models import registry
from slipway.models.bundle import LoadedModel
from slipway.models.evaluation import evaluated_rows
from slipway.models.numbered import run_stayed
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.gates import CheckKind, Evidence, GateSpec
from slipway.records.models import Bundle, ModelVersion
from slipway.records.projects import Project
from slipway.records.runs import Run
from slipway.runs.tracking import WATCHED
from slipway.runs.watching import BAD
from slipway.stats.intervals import paired_difference

__all__ = ["CHAMPION", "champion_of", "collect"]

CHAMPION = "champion"
TARGET = "process"
"""Where a deployment goes: processes of Slipway's own."""

_LOADING: tuple[CheckKind, ...] = ("signature", "loads")
_COMPARED: frozenset[CheckKind] = frozenset({"champion", "latency"})
_OF_KPI: tuple[CheckKind, ...] = ("contract",)
_TIMED_ROWS = 200


def champion_of(workspace: Workspace, name: str, *, endpoint: str = "", besides: str = "") -> ModelVersion | None:
    """What a candidate is compared with: what serves at the endpoint; before anything does, the alias champion.

    What serves is read from the revisions, because an alias can be moved by whoever may write models.

    Args:
        workspace: Where to look.
        name: The candidate's model.
        endpoint: Where it would serve; an endpoint of the model's own name when left out.
        besides: A bundle's digest: the champion is not compared with itself.

    Returns:
        None when nothing was ever released there, or the champion is that very bundle. What is found need not load.

    Raises:
        NotFound: What serves, or what the alias points at, is not in the registry.
    """
    with workspace.ledger.read() as tx:
        serving = tx.ref(workspace.project, "endpoint", endpoint or name)
        revision = entries.get(tx, Revision, serving) if serving else None
    if revision is not None:
        found = registry.get(workspace, revision.served.model, revision.served.number)
    elif CHAMPION in registry.aliases(workspace, name):
        found = registry.find(workspace, name, CHAMPION)
    else:
        return None
    return None if besides and found.bundle == besides else found


def collect(
    workspace: Workspace, candidate: ModelVersion, bundle: Bundle, gate: GateSpec, *, endpoint: str = ""
) -> list[Evidence]:
    """Everything that the checks of a gate read, approvals aside.

    Args:
        workspace: Where the bundles are.
        candidate: The version to be judged.
        bundle: Its manifest.
        gate: The effective gate: what it does not ask for is not collected.
        endpoint: Where it would serve; an endpoint of the model's own name when left out.
    """
    kinds = {check.kind for check in gate.checks}
    subject, now = candidate.bundle, workspace.clock.now()
    found = [make.figures(subject, now, bundle.metrics)] if bundle.metrics else []
    found.append(make.proof("parity", subject, now, holds=bool(bundle.parity), note=bundle.parity))
    collectors: tuple[tuple[CheckKind, Callable[[], list[Evidence]]], ...] = (
        ("no_skew", lambda: _skew(bundle, subject, now)),
        ("environment", lambda: _environment(bundle, subject, now)),
        ("template", lambda: [make.named("template", subject, now, _template(workspace))]),
        ("consistent", lambda: _consistency(workspace, subject, endpoint or candidate.name)),
        ("no_finding", lambda: _findings(workspace, bundle, subject, now)),
        ("reproduced", lambda: _reproductions(workspace, candidate)),
        ("contract_signed", lambda: signed_evidence(workspace, gate, subject, now, endpoint or candidate.name)),
    )
    found += [make.named("format", subject, now, bundle.format), make.named("target", subject, now, TARGET)]
    for kind, collector in collectors:
        if kind in kinds or kind in ("no_skew", "environment"):
            found += _told((kind,), subject, now, collector)
    for kind in sorted(kinds & {"load", "replayed", "environment"}):
        asked = GateSpec(checks=tuple(check for check in gate.checks if check.kind == kind))
        found += _told((kind,), subject, now, partial(measured, workspace, candidate, bundle, asked))
    with tempfile.TemporaryDirectory(prefix="slipway-evidence-") as temporary:
        folder = Path(temporary)
        model = _loading(workspace, candidate, folder / "candidate", found)
        compared = tuple(sorted(kinds & _COMPARED))
        if model is not None and compared:
            side = _Side(workspace, candidate, model, gate, endpoint, folder / "champion")
            found += _told(compared, subject, now, lambda: _beside_champion(side))
        if model is not None and "contract" in kinds:
            kpis = _Side(workspace, candidate, model, gate, endpoint, folder / "other")
            found += _told(_OF_KPI, subject, now, lambda: _kpis(kpis))
        found += collect_behaviour(workspace, candidate, bundle, model, gate, endpoint=endpoint or candidate.name)
    return found


def _told(
    kinds: Sequence[CheckKind], subject: str, now: datetime, collector: Callable[[], list[Evidence]]
) -> list[Evidence]:
    """What a collector found; where it raised, that nobody can tell, so that the gate stays closed and says why."""
    try:
        return collector()
    except SlipwayError as problem:
        why, fix = problem.what.rstrip("."), problem.fix or problem.why
    except Exception as problem:  # whatever it is: it must not hide what the other checks found
        why, fix = f"collecting it raised {type(problem).__name__}: {problem}", "Mend that, and judge again."
    return [make.untold(kind, subject, now, why=why, fix=fix) for kind in kinds]


class _Side(NamedTuple):
    """A candidate that is to be set beside the champion."""

    workspace: Workspace
    candidate: ModelVersion
    model: AskedModel
    gate: GateSpec
    endpoint: str
    folder: Path


def _beside_champion(side: _Side) -> list[Evidence]:
    """What comparing with the champion shows; nothing where there is none.

    Raises:
        NotFound: What is called champion is not there, or has no bundle.
        Corrupt: It does not load.
    """
    workspace, candidate, model = side.workspace, side.candidate, side.model
    champion = champion_of(workspace, candidate.name, endpoint=side.endpoint, besides=candidate.bundle)
    if champion is None:
        return []
    if not champion.bundle:
        raise NotFound(
            f"The champion {champion.name} {champion.number} has no bundle, so that it cannot be asked.",
            fix=f"Point the alias at a version that was released: slipway models alias {champion.name} VERSION champion",
        )
    other = _load(workspace, champion, side.folder)
    metrics = sorted({check.metric for check in side.gate.checks if check.kind == "champion"})
    found = _against(workspace, candidate, champion, model, other, metrics)
    if any(check.kind == "latency" for check in side.gate.checks):
        found += _latency(workspace, candidate, model, other)
    return found


def _kpis(side: _Side) -> list[Evidence]:
    """The KPIs of the gate's metric contracts on the evaluated rows, beside the champion's where there is one."""
    workspace, candidate, model = side.workspace, side.candidate, side.model
    champion = champion_of(workspace, candidate.name, endpoint=side.endpoint, besides=candidate.bundle)
    other = None if champion is None or not champion.bundle else _load(workspace, champion, side.folder)
    found = []
    for check in side.gate.checks:
        if check.kind == "contract" and check.contract is not None:
            values = kpi_evidence(workspace, model.bundle, model, check.contract)
            if other is not None and values["value"] is not None:
                values |= kpi_beside(workspace, model.bundle, model, other, check.contract)
            found.append(make.behaviour(check, candidate.bundle, workspace.clock.now(), **values))
    return found


def _skew(bundle: Bundle, subject: str, now: datetime) -> list[Evidence]:
    if bundle.certificate is None or bundle.features is None:
        return []
    held, words = is_proof(bundle.certificate, bundle.features), proof_words(bundle.certificate, bundle.features)
    return [make.proof("no_skew", subject, now, holds=held, note=words)]


def _environment(bundle: Bundle, subject: str, now: datetime) -> list[Evidence]:
    if bundle.environment is None:
        return []
    differing, checked = _differing(bundle.environment.lock)
    return [make.environment(subject, now, differing=differing, checked=checked)]


def _reproductions(workspace: Workspace, candidate: ModelVersion) -> list[Evidence]:
    subject = candidate.bundle
    found = [
        make.reproduction(subject, one.created_at, verdict=one.verdict, id=one.id, note=one.sentence)
        for one in reproductions_of(workspace, subject)
    ]
    with workspace.ledger.read() as tx:
        has_stayed = run_stayed(tx, candidate)
    if not found and has_stayed:
        note = "its run stayed in the store that it came from, where nobody has reproduced it"
        fix = f"Reproduce it there (slipway reproduce {candidate.name}), then promote it again."
        now = workspace.clock.now()
        found = [make.reproduction(subject, now, verdict="cannot", id="", note=note, fix=fix)]
    return found


def _template(workspace: Workspace) -> str:
    """The template that the project was made from, "" for none."""
    with workspace.ledger.read() as tx:
        known = entries.etag(tx, Project, workspace.project)
        return entries.get(tx, Project, workspace.project).template if known else ""


def _consistency(workspace: Workspace, subject: str, endpoint: str) -> list[Evidence]:
    """The newest report on what the endpoint serves; none where nobody made one."""
    with workspace.ledger.read() as tx:
        report = latest_report(tx, workspace.project, endpoint)
    if report is None:
        return []
    return [
        make.consistency(
            subject,
            report.created_at,
            endpoint=endpoint,
            model=report.model,
            share=report.share,
            compared=report.compared,
            note=sentence(report),
        )
    ]


def _findings(workspace: Workspace, bundle: Bundle, subject: str, now: datetime) -> list[Evidence]:
    """What was found while the model's run was watched; nothing where nobody watched it."""
    if not bundle.run_id:
        return []
    with workspace.ledger.read() as tx:
        if tx.get(entries.kind_of(Run), bundle.run_id) is None:
            return []
        run = entries.get(tx, Run, bundle.run_id)
    watched = run.tags.get(WATCHED, "")
    if not watched:
        return []
    bad = [one for one in run.findings if one.kind in BAD]
    note = "; ".join(f"{one.kind}: {one.told}" for one in bad) or f"watched {watched}, and found nothing bad"
    return [make.proof("no_finding", subject, now, holds=not bad, note=note)]


def _loading(workspace: Workspace, candidate: ModelVersion, folder: Path, found: list[Evidence]) -> AskedModel | None:
    """Load the bundle as an endpoint will; what that shows is evidence for signature and loading."""
    subject, now = candidate.bundle, workspace.clock.now()
    try:
        model = _load(workspace, candidate, folder)
        found.append(make.proof("signature", subject, now, holds=True, note="signed by a key that is trusted here"))
        checked = model.check_sample(whole=True)
    except NoAnswer as problem:
        missing: tuple[CheckKind, ...] = ("loads",) if any(one.kind == "signature" for one in found) else _LOADING
        for each in missing:
            found.append(make.untold(each, subject, now, why=problem.what.rstrip("."), fix=problem.fix))
        return None
    except SlipwayError as problem:
        kind = "loads" if any(proof.kind == "signature" for proof in found) else "signature"
        found.append(make.proof(kind, subject, now, holds=False, note=str(problem)))  # type: ignore[arg-type]
        return None
    except Exception as problem:  # a framework's own: what raises where it is loaded would raise where it serves
        kind = "loads" if any(proof.kind == "signature" for proof in found) else "signature"
        note = f"loading it raised {type(problem).__name__}: {problem}"
        found.append(make.proof(kind, subject, now, holds=False, note=note))  # type: ignore[arg-type]
        return None
    note = f"loaded here{': ' if checked.is_erased else ' and '}{checked.sentence}"
    found.append(make.proof("loads", subject, now, holds=True, note=note))
    return model


def _load(workspace: Workspace, version: ModelVersion, folder: Path) -> AskedModel:
    bundles.unpack(workspace, version.manifest, folder, signature=version.signature, expect=version.bundle)
    return loaded_within(folder, expect=version.bundle, signer=workspace.signer)


def _differing(lock: Sequence[str]) -> tuple[list[str], int]:
    """The distributions of a lock that are installed here in another version, or not at all."""
    differing = []
    for pinned in lock:
        name, _, wanted = pinned.partition("==")
        here = find(name)
        if here is None:
            differing.append(f"{name} {wanted} in the lock, not installed here")
        elif (version := about(here).version) != wanted:
            differing.append(f"{name} {wanted} in the lock, {version} installed here")
    return differing, len(lock)


def _against(
    workspace: Workspace,
    candidate: ModelVersion,
    champion: ModelVersion,
    model: LoadedModel,
    other: LoadedModel,
    metrics: Sequence[str],
) -> list[Evidence]:
    if not model.bundle.evaluated or not workspace.blobs.has(model.bundle.evaluated):
        return []  # never evaluated, or rows of a person were among them and erased: nobody compared, the gate says
    rows = evaluated_rows(workspace.blobs.get(model.bundle.evaluated))
    wanted = [field.name for field in other.signature.inputs]
    if not set(wanted) <= set(rows.columns):
        return []  # the champion takes inputs that these rows lack: the gate then says that nobody compared
    truth = rows[model.bundle.label].cast(pl.Float64).to_numpy()
    own = model.predict_rows(_rows(rows, [field.name for field in model.signature.inputs]))
    theirs = other.predict_rows(_rows(rows, wanted))
    found = []
    for metric in metrics:
        difference = paired_difference(truth, own, theirs, metric)
        found.append(
            make.against_champion(
                candidate.bundle,
                workspace.clock.now(),
                metric=metric,
                difference=difference.value,
                low=difference.low,
                high=difference.high,
                n=difference.n,
                champion=f"{champion.name} {champion.number}",
            )
        )
    return found


def _rows(frame: pl.DataFrame, names: list[str]) -> list[list[Any]]:
    return [list(row) for row in frame.select(names).rows()]


def _latency(workspace: Workspace, candidate: ModelVersion, model: AskedModel, other: AskedModel) -> list[Evidence]:
    asked, theirs = (_timed_rows(workspace, model, one) for one in (model, other))
    if not asked or not theirs:
        return []  # no row is left that it could be asked: nobody measured, the gate says
    own, champion = model.within(_milliseconds, model, asked), other.within(_milliseconds, other, theirs)
    return [make.latency(candidate.bundle, workspace.clock.now(), candidate_ms=own, champion_ms=champion)]


def _timed_rows(workspace: Workspace, candidate: LoadedModel, model: LoadedModel) -> list[list[Any]]:
    """Rows that a model can be asked: of its own sample, else of those that the candidate was evaluated on."""
    rows = [case.row for case in model.cases() or () if case.answer is not None]
    judged = candidate.bundle.evaluated
    if rows or not judged or not workspace.blobs.has(judged):
        return rows
    frame, names = evaluated_rows(workspace.blobs.get(judged)), [field.name for field in model.signature.inputs]
    return _rows(frame.head(_TIMED_ROWS), names) if set(names) <= set(frame.columns) else []


def _milliseconds(model: LoadedModel, rows: list[list[Any]]) -> float:
    """Median machine time of one answer, one row at a time."""
    taken = []
    for turn in range(_TIMED_ROWS):
        started = time.perf_counter()
        model.predict_rows([rows[turn % len(rows)]])
        taken.append(time.perf_counter() - started)
    return sorted(taken)[len(taken) // 2] * 1000
